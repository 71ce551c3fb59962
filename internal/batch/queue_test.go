package batch

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Unix(1_800_000_000, 0)

func flat(n int) func(string) int { return func(string) int { return n } }

func values(entries []*Entry[int]) []int {
	var out []int
	for _, e := range entries {
		out = append(out, e.Value)
	}
	return out
}

func newQueue(caps Limits) *Queue[int] { return NewQueue[int](caps, flat(10)) }

func TestABatchIsReadyWhenFullOrOldOrHastened(t *testing.T) {
	cases := []struct {
		name  string
		caps  Limits
		sizes []int
		limit int
		after time.Duration
		ready bool
		wait  time.Duration
	}{
		{"empty waits for ever", Limits{10, 1000, time.Second}, nil, 10, 0, false, Forever},
		{"below every cap waits for the linger", Limits{10, 1000, time.Second}, []int{5, 5}, 10, 300 * time.Millisecond, false, 700 * time.Millisecond},
		{"items are full", Limits{2, 1000, time.Second}, []int{5, 5}, 10, 0, true, 0},
		{"the limit is full", Limits{10, 1000, time.Second}, []int{5, 5}, 2, 0, true, 0},
		{"bytes are full to the byte", Limits{10, 10 + 5 + 1 + 5, time.Second}, []int{5, 5}, 10, 0, true, 0},
		{"bytes lack one", Limits{10, 10 + 5 + 1 + 6, time.Second}, []int{5, 5}, 10, 0, false, time.Second},
		{"the oldest has lingered", Limits{10, 1000, time.Second}, []int{5}, 10, time.Second, true, 0},
		{"no linger", Limits{10, 1000, 0}, []int{5}, 10, 0, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			q := newQueue(c.caps)
			for i, n := range c.sizes {
				q.Add(Entry[int]{Value: i, Size: n, At: start})
			}
			ready, wait := q.NextReady(start.Add(c.after), c.limit)
			if ready != c.ready || wait != c.wait {
				t.Fatalf("Ready = %v, %v, want %v, %v", ready, wait, c.ready, c.wait)
			}
		})
	}
}

func TestAnItemLargerThanTheCapGoesAlone(t *testing.T) {
	q := newQueue(Limits{10, 100, 0})
	for i, n := range []int{20, 500, 20} {
		q.Add(Entry[int]{Value: i, Size: n, At: start})
	}
	for want := range 3 {
		if got := values(q.TakeBatch(start, 10)); !slices.Equal(got, []int{want}) {
			t.Fatalf("batch %d holds %v", want, got)
		}
	}
}

func TestABatchIsFilledToTheByte(t *testing.T) {
	q := newQueue(Limits{10, 10 + 5 + 1 + 5, 0})
	for i := range 3 {
		q.Add(Entry[int]{Value: i, Size: 5, At: start})
	}
	if got := values(q.TakeBatch(start, 10)); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("the batch holds %v", got)
	}
}

// Groups are in a map: what holds for one order of it must hold for each.
func TestOfSeveralGroupsTheOldestGoesFirstAndTheNextToBeDueIsWaitedFor(t *testing.T) {
	for range 20 {
		q := newQueue(Limits{10, 1000, time.Minute})
		for i, group := range []string{"a", "b", "c"} {
			q.Add(Entry[int]{Value: i, EnvelopeKey: group, Size: 5, At: start.Add(time.Duration(i) * time.Second)})
		}
		if ready, wait := q.NextReady(start, 10); ready || wait != time.Minute {
			t.Fatalf("Ready = %v, %v", ready, wait)
		}
		for want := range 3 {
			if got := values(q.TakeBatch(start.Add(2*time.Minute), 10)); !slices.Equal(got, []int{want}) {
				t.Fatalf("batch %d holds %v", want, got)
			}
		}
	}
}

func TestALaterOneOfAKeyWaitsUntilTheEarlierHasEnded(t *testing.T) {
	q := newQueue(Limits{10, 1000, 0})
	for i, key := range []string{"a", "a", "b", "a"} {
		q.Add(Entry[int]{Value: i, OrderKey: []byte(key), At: start})
	}
	first := q.TakeBatch(start, 10)
	if got := values(first); !slices.Equal(got, []int{0, 2}) {
		t.Fatalf("the first batch holds %v, want the first of each key", got)
	}
	q.Return(first[0], start.Add(time.Minute))
	q.Finish(first[1])
	if ready, wait := q.NextReady(start, 10); ready || wait != time.Minute {
		t.Fatalf("while the first of the key waits in place: Ready = %v, %v", ready, wait)
	}
	again := q.TakeBatch(start.Add(time.Minute), 10)
	if got := values(again); !slices.Equal(got, []int{0}) {
		t.Fatalf("when due, the batch holds %v", got)
	}
	q.Finish(again[0])
	if got := values(q.TakeBatch(start, 10)); !slices.Equal(got, []int{1}) {
		t.Fatalf("after the first ended, the batch holds %v", got)
	}
}

func TestTwoOfOneEntityAreNeverInOneBatch(t *testing.T) {
	q := newQueue(Limits{10, 1000, 0})
	for i, entity := range []string{"x", "x", "", ""} {
		q.Add(Entry[int]{Value: i, EntityKey: entity, At: start})
	}
	first := q.TakeBatch(start, 10)
	if got := values(first); !slices.Equal(got, []int{0, 2, 3}) {
		t.Fatalf("the first batch holds %v", got)
	}
	q.Finish(first[0])
	if got := values(q.TakeBatch(start, 10)); !slices.Equal(got, []int{1}) {
		t.Fatalf("the second batch holds %v", got)
	}
}

func TestRemoveFreesWhatTheRemovedKeptBack(t *testing.T) {
	q := newQueue(Limits{10, 1000, 0})
	for i := range 4 {
		q.Add(Entry[int]{Value: i, OrderKey: []byte("k"), EntityKey: "e", At: start})
	}
	out := q.TakeBatch(start, 1)
	removed := q.RemoveMatching(func(e *Entry[int]) bool { return e.Value == 1 })
	if !slices.Equal(removed, []int{1}) || q.Len() != 2 {
		t.Fatalf("removed %v, %d left", removed, q.Len())
	}
	if got := q.TakeBatch(start, 10); got != nil {
		t.Fatalf("took %v while the first was out", values(got))
	}
	q.Finish(out[0])
	if got := values(q.TakeBatch(start, 10)); !slices.Equal(got, []int{2}) {
		t.Fatalf("the batch holds %v", got)
	}
}

func TestHastenEndsTheLingerOfTheBatchThatHoldsTheItem(t *testing.T) {
	q := newQueue(Limits{10, 1000, time.Hour})
	q.Add(Entry[int]{Value: 0, EnvelopeKey: "a", At: start})
	q.Add(Entry[int]{Value: 1, EnvelopeKey: "b", At: start})
	q.SkipLinger(func(e *Entry[int]) bool { return e.Value == 1 })
	if got := values(q.TakeBatch(start, 10)); !slices.Equal(got, []int{1}) {
		t.Fatalf("the batch holds %v", got)
	}
	if ready, _ := q.NextReady(start, 10); ready {
		t.Fatal("the other group is ready too")
	}
}

// model drives a queue with random arrivals, ends and returns, and checks each batch against what the queue may not do.
type model struct {
	q     *Queue[int]
	caps  Limits
	now   time.Time
	next  int
	specs []Entry[int]
	out   map[int]*Entry[int]
	ended map[int]bool
}

func (m *model) add(t *rapid.T) {
	e := Entry[int]{
		Value:       m.next,
		EnvelopeKey: rapid.SampledFrom([]string{"", "eur", "usd"}).Draw(t, "group"),
		EntityKey:   rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(t, "entity"),
		Size:        rapid.IntRange(1, 150).Draw(t, "size"),
		At:          m.now,
	}
	if key := rapid.SampledFrom([]string{"-", "-", "", "k", "l"}).Draw(t, "key"); key != "-" {
		e.OrderKey = []byte(key)
	}
	m.next++
	m.specs = append(m.specs, e)
	m.q.Add(e)
}

func (m *model) take(t *rapid.T) {
	limit := rapid.IntRange(1, m.caps.Items+2).Draw(t, "limit")
	ready, _ := m.q.NextReady(m.now, limit)
	got := m.q.TakeBatch(m.now, limit)
	if ready != (len(got) > 0) {
		t.Fatalf("ready is %v, %d taken", ready, len(got))
	}
	m.checkCaps(t, got, limit)
	if !slices.IsSorted(values(got)) {
		t.Fatalf("a batch out of order: %v", values(got))
	}
	for _, e := range got {
		m.checkOrder(t, e)
		m.out[e.Value] = e
	}
}

func (m *model) checkCaps(t *rapid.T, got []*Entry[int], limit int) {
	if len(got) > min(limit, m.caps.Items) {
		t.Fatalf("%d items of at most %d", len(got), min(limit, m.caps.Items))
	}
	size := 10 + len(got) - 1
	for _, e := range got {
		size += e.Size
		if e.EnvelopeKey != got[0].EnvelopeKey {
			t.Fatalf("groups %q and %q in one batch", e.EnvelopeKey, got[0].EnvelopeKey)
		}
	}
	if len(got) > 1 && size > m.caps.Bytes {
		t.Fatalf("%d bytes of at most %d", size, m.caps.Bytes)
	}
}

func (m *model) checkOrder(t *rapid.T, e *Entry[int]) {
	if m.out[e.Value] != nil || m.ended[e.Value] {
		t.Fatalf("%d was taken twice", e.Value)
	}
	for i, before := range m.specs[:e.Value] {
		related := e.OrderKey != nil && before.OrderKey != nil && string(e.OrderKey) == string(before.OrderKey) || e.EntityKey != "" && e.EntityKey == before.EntityKey
		if related && !m.ended[i] {
			t.Fatalf("%d was taken before %d of its key or entity had ended", e.Value, i)
		}
	}
}

func (m *model) some(t *rapid.T) *Entry[int] {
	var ids []int
	for id := range m.out {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return m.out[rapid.SampledFrom(ids).Draw(t, "which")]
}

func (m *model) end(t *rapid.T) {
	if len(m.out) == 0 {
		return
	}
	e := m.some(t)
	delete(m.out, e.Value)
	m.ended[e.Value] = true
	m.q.Finish(e)
}

func (m *model) giveBack(t *rapid.T) {
	if len(m.out) == 0 {
		return
	}
	e := m.some(t)
	delete(m.out, e.Value)
	m.q.Return(e, m.now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "wait"))*time.Second))
}

func (m *model) remove(t *rapid.T) {
	modulus := rapid.IntRange(2, 7).Draw(t, "modulus")
	if rapid.Bool().Draw(t, "hasten") {
		m.q.SkipLinger(func(e *Entry[int]) bool { return e.Value%modulus == 0 })
		return
	}
	for _, v := range m.q.RemoveMatching(func(e *Entry[int]) bool { return e.Value%modulus == 0 }) {
		if m.out[v] != nil || m.ended[v] {
			t.Fatalf("removed %d, which was not in the queue", v)
		}
		m.ended[v] = true
	}
}

func TestNothingIsLostDoubledMixedOrOvertaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		caps := Limits{Items: rapid.IntRange(1, 6).Draw(t, "items"), Bytes: rapid.IntRange(20, 400).Draw(t, "bytes"), Linger: time.Second}
		m := &model{q: newQueue(caps), caps: caps, now: start, out: map[int]*Entry[int]{}, ended: map[int]bool{}}
		t.Repeat(map[string]func(*rapid.T){
			"add":    m.add,
			"take":   m.take,
			"end":    m.end,
			"return": m.giveBack,
			"remove": m.remove,
			"tick":   func(t *rapid.T) { m.now = m.now.Add(400 * time.Millisecond) },
			"": func(t *rapid.T) {
				if m.q.Len()+len(m.out)+len(m.ended) != m.next {
					t.Fatalf("%d in the queue, %d out, %d ended, of %d", m.q.Len(), len(m.out), len(m.ended), m.next)
				}
			},
		})
		m.drain(t)
	})
}

// drain ends everything, so that an entry that nothing would ever free is found.
func (m *model) drain(t *rapid.T) {
	for len(m.ended) < m.next {
		m.now = m.now.Add(10 * time.Second)
		m.take(t)
		if len(m.out) == 0 {
			t.Fatalf("%d are in the queue and none can be taken", m.q.Len())
		}
		for len(m.out) > 0 {
			m.end(t)
		}
	}
}

func TestABacklogFillsBatchesTo95Percent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		caps := Limits{Items: rapid.IntRange(20, 200).Draw(t, "items"), Bytes: rapid.IntRange(2000, 20000).Draw(t, "bytes"), Linger: time.Hour}
		largest := caps.Bytes / 20
		q := newQueue(caps)
		for i := range 1000 {
			q.Add(Entry[int]{Value: i, Size: rapid.IntRange(1, largest-1).Draw(t, "size"), At: start})
		}
		for {
			got := q.TakeBatch(start, caps.Items)
			if got == nil {
				return
			}
			size := 10 + len(got) - 1
			for _, e := range got {
				size += e.Size
			}
			fill := max(float64(len(got))/float64(caps.Items), float64(size)/float64(caps.Bytes))
			if fill < 0.95 {
				t.Fatalf("a batch was %.3f full with %d waiting", fill, q.Len())
			}
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	for _, waiting := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			q := newQueue(Limits{1000, 1 << 20, time.Second})
			for range waiting {
				q.Add(Entry[int]{Size: 500, At: start})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				q.Add(Entry[int]{Size: 500, At: start})
				if i%1000 == 999 {
					for _, e := range q.TakeBatch(start, 1000) {
						q.Finish(e)
					}
				}
			}
		})
	}
}
