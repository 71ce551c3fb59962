package batch

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var startTime = time.Unix(1_800_000_000, 0)

func constantSize(n int) func(string) int { return func(string) int { return n } }

func entryValues(entries []*Entry[int]) []int {
	var out []int
	for _, entry := range entries {
		out = append(out, entry.Value)
	}
	return out
}

func newQueue(limits Limits) *Queue[int] { return NewQueue[int](limits, constantSize(10)) }

func TestBatchIsReadyWhenFullOrAfterTheLinger(t *testing.T) {
	cases := []struct {
		name   string
		limits Limits
		sizes  []int
		limit  int
		after  time.Duration
		ready  bool
		wait   time.Duration
	}{
		{"empty waits forever", Limits{10, 1000, time.Second}, nil, 10, 0, false, Forever},
		{
			"below every limit waits for the linger", Limits{10, 1000, time.Second}, []int{5, 5}, 10,
			300 * time.Millisecond, false, 700 * time.Millisecond,
		},
		{"items are full", Limits{2, 1000, time.Second}, []int{5, 5}, 10, 0, true, 0},
		{"the limit is full", Limits{10, 1000, time.Second}, []int{5, 5}, 2, 0, true, 0},
		{"bytes are full to the byte", Limits{10, 10 + 5 + 1 + 5, time.Second}, []int{5, 5}, 10, 0, true, 0},
		{"one byte is missing", Limits{10, 10 + 5 + 1 + 6, time.Second}, []int{5, 5}, 10, 0, false, time.Second},
		{"the oldest has lingered", Limits{10, 1000, time.Second}, []int{5}, 10, time.Second, true, 0},
		{"no linger", Limits{10, 1000, 0}, []int{5}, 10, 0, true, 0},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			queue := newQueue(tc.limits)
			for i, n := range tc.sizes {
				queue.Add(Entry[int]{Value: i, Size: n, ArrivedAt: startTime})
			}
			ready, wait := queue.NextReady(startTime.Add(tc.after), tc.limit)
			if ready != tc.ready || wait != tc.wait {
				t.Fatalf("got %v, %v, want %v, %v", ready, wait, tc.ready, tc.wait)
			}
		})
	}
}

func TestItemAboveTheByteLimitFormsABatchOfItsOwn(t *testing.T) {
	queue := newQueue(Limits{10, 100, 0})
	for i, n := range []int{20, 500, 20} {
		queue.Add(Entry[int]{Value: i, Size: n, ArrivedAt: startTime})
	}
	for want := range 3 {
		if got := entryValues(queue.TakeBatch(startTime, 10)); !slices.Equal(got, []int{want}) {
			t.Fatalf("batch %d: got %v, want only that item", want, got)
		}
	}
}

func TestBatchIsFilledToTheByte(t *testing.T) {
	queue := newQueue(Limits{10, 10 + 5 + 1 + 5, 0})
	for i := range 3 {
		queue.Add(Entry[int]{Value: i, Size: 5, ArrivedAt: startTime})
	}
	if got := entryValues(queue.TakeBatch(startTime, 10)); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("got a batch of %v, want [0 1]", got)
	}
}

// Envelopes are in a map, so the order must not depend on its iteration.
func TestEnvelopeWithTheOldestItemGoesFirst(t *testing.T) {
	for range 20 {
		queue := newQueue(Limits{10, 1000, time.Minute})
		for i, envelopeKey := range []string{"a", "b", "c"} {
			queue.Add(Entry[int]{
				Value: i, EnvelopeKey: envelopeKey, Size: 5, ArrivedAt: startTime.Add(time.Duration(i) * time.Second),
			})
		}
		if ready, wait := queue.NextReady(startTime, 10); ready || wait != time.Minute {
			t.Fatalf("got %v, %v, want false, 1m", ready, wait)
		}
		for want := range 3 {
			got := entryValues(queue.TakeBatch(startTime.Add(2*time.Minute), 10))
			if !slices.Equal(got, []int{want}) {
				t.Fatalf("batch %d: got %v, want only that item", want, got)
			}
		}
	}
}

func TestEntryIsBlockedUntilTheEarlierOnesOfItsKeyHaveFinished(t *testing.T) {
	queue := newQueue(Limits{10, 1000, 0})
	for i, key := range []string{"a", "a", "b", "a"} {
		queue.Add(Entry[int]{Value: i, OrderKey: []byte(key), ArrivedAt: startTime})
	}
	first := queue.TakeBatch(startTime, 10)
	if got := entryValues(first); !slices.Equal(got, []int{0, 2}) {
		t.Fatalf("got a first batch of %v, want the first of each key", got)
	}
	queue.Return(first[0], startTime.Add(time.Minute))
	queue.Finish(first[1])
	if ready, wait := queue.NextReady(startTime, 10); ready || wait != time.Minute {
		t.Fatalf("while the first of the key is delayed: got %v, %v, want false, 1m", ready, wait)
	}
	again := queue.TakeBatch(startTime.Add(time.Minute), 10)
	if got := entryValues(again); !slices.Equal(got, []int{0}) {
		t.Fatalf("after the delay: got a batch of %v, want 0", got)
	}
	queue.Finish(again[0])
	if got := entryValues(queue.TakeBatch(startTime, 10)); !slices.Equal(got, []int{1}) {
		t.Fatalf("after the first has finished: got a batch of %v, want 1", got)
	}
}

func TestEntriesOfOneEntityNeverShareABatch(t *testing.T) {
	queue := newQueue(Limits{10, 1000, 0})
	for i, entity := range []string{"x", "x", "", ""} {
		queue.Add(Entry[int]{Value: i, EntityKey: entity, ArrivedAt: startTime})
	}
	first := queue.TakeBatch(startTime, 10)
	if got := entryValues(first); !slices.Equal(got, []int{0, 2, 3}) {
		t.Fatalf("got a first batch of %v, want 0, 2 and 3", got)
	}
	queue.Finish(first[0])
	if got := entryValues(queue.TakeBatch(startTime, 10)); !slices.Equal(got, []int{1}) {
		t.Fatalf("got a second batch of %v, want 1", got)
	}
}

func TestRemovingAnEntryUnblocksWhatItBlocked(t *testing.T) {
	queue := newQueue(Limits{10, 1000, 0})
	for i := range 4 {
		queue.Add(Entry[int]{Value: i, OrderKey: []byte("k"), EntityKey: "e", ArrivedAt: startTime})
	}
	out := queue.TakeBatch(startTime, 1)
	removed := queue.RemoveMatching(func(entry *Entry[int]) bool { return entry.Value == 1 })
	if !slices.Equal(removed, []int{1}) || queue.Len() != 2 {
		t.Fatalf("got %v removed and %d left, want 1 removed and 2 left", removed, queue.Len())
	}
	if got := queue.TakeBatch(startTime, 10); got != nil {
		t.Fatalf("got %v while the first was taken, want nothing", entryValues(got))
	}
	queue.Finish(out[0])
	if got := entryValues(queue.TakeBatch(startTime, 10)); !slices.Equal(got, []int{2}) {
		t.Fatalf("got a batch of %v, want [2]", got)
	}
}

func TestSkipLingerMakesTheBatchThatContainsTheEntryReady(t *testing.T) {
	queue := newQueue(Limits{10, 1000, time.Hour})
	queue.Add(Entry[int]{Value: 0, EnvelopeKey: "a", ArrivedAt: startTime})
	queue.Add(Entry[int]{Value: 1, EnvelopeKey: "b", ArrivedAt: startTime})
	queue.SkipLinger(func(entry *Entry[int]) bool { return entry.Value == 1 })
	if got := entryValues(queue.TakeBatch(startTime, 10)); !slices.Equal(got, []int{1}) {
		t.Fatalf("got a batch of %v, want [1]", got)
	}
	if ready, _ := queue.NextReady(startTime, 10); ready {
		t.Fatal("got the other envelope ready too, want not")
	}
}

// queueModel performs random operations on a queue, and checks each batch against the rules that
// the queue must obey.
type queueModel struct {
	queue     *Queue[int]
	limits    Limits
	now       time.Time
	nextValue int
	added     []Entry[int]
	taken     map[int]*Entry[int]
	finished  map[int]bool
}

func (m *queueModel) addEntry(t *rapid.T) {
	e := Entry[int]{
		Value:       m.nextValue,
		EnvelopeKey: rapid.SampledFrom([]string{"", "eur", "usd"}).Draw(t, "envelope"),
		EntityKey:   rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(t, "entity"),
		Size:        rapid.IntRange(1, 150).Draw(t, "size"),
		ArrivedAt:   m.now,
	}
	if key := rapid.SampledFrom([]string{"-", "-", "", "k", "l"}).Draw(t, "key"); key != "-" {
		e.OrderKey = []byte(key)
	}
	m.nextValue++
	m.added = append(m.added, e)
	m.queue.Add(e)
}

func (m *queueModel) takeBatch(t *rapid.T) {
	limit := rapid.IntRange(1, m.limits.Items+2).Draw(t, "limit")
	ready, _ := m.queue.NextReady(m.now, limit)
	got := m.queue.TakeBatch(m.now, limit)
	if ready != (len(got) > 0) {
		t.Fatalf("got a batch of %d entries, want some: %v", len(got), ready)
	}
	m.checkLimits(t, got, limit)
	if !slices.IsSorted(entryValues(got)) {
		t.Fatalf("got a batch out of order: %v", entryValues(got))
	}
	for _, entry := range got {
		m.checkOrder(t, entry)
		m.taken[entry.Value] = entry
	}
}

func (m *queueModel) checkLimits(t *rapid.T, got []*Entry[int], limit int) {
	if len(got) > min(limit, m.limits.Items) {
		t.Fatalf("got %d items, want at most %d", len(got), min(limit, m.limits.Items))
	}
	size := 10 + len(got) - 1
	for _, entry := range got {
		size += entry.Size
		if entry.EnvelopeKey != got[0].EnvelopeKey {
			t.Fatalf("got envelopes %q and %q in one batch", entry.EnvelopeKey, got[0].EnvelopeKey)
		}
	}
	if len(got) > 1 && size > m.limits.Bytes {
		t.Fatalf("got %d bytes, want at most %d", size, m.limits.Bytes)
	}
}

func (m *queueModel) checkOrder(t *rapid.T, entry *Entry[int]) {
	if m.taken[entry.Value] != nil || m.finished[entry.Value] {
		t.Fatalf("got %d taken twice", entry.Value)
	}
	for i, before := range m.added[:entry.Value] {
		sameKey := entry.OrderKey != nil && before.OrderKey != nil && string(entry.OrderKey) == string(before.OrderKey)
		sameEntity := entry.EntityKey != "" && entry.EntityKey == before.EntityKey
		if (sameKey || sameEntity) && !m.finished[i] {
			t.Fatalf("got %d taken before %d of its key or entity has finished", entry.Value, i)
		}
	}
}

func (m *queueModel) chooseTaken(t *rapid.T) *Entry[int] {
	var ids []int
	for id := range m.taken {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return m.taken[rapid.SampledFrom(ids).Draw(t, "which")]
}

func (m *queueModel) finishEntry(t *rapid.T) {
	if len(m.taken) == 0 {
		return
	}
	entry := m.chooseTaken(t)
	delete(m.taken, entry.Value)
	m.finished[entry.Value] = true
	m.queue.Finish(entry)
}

func (m *queueModel) returnEntry(t *rapid.T) {
	if len(m.taken) == 0 {
		return
	}
	entry := m.chooseTaken(t)
	delete(m.taken, entry.Value)
	m.queue.Return(entry, m.now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "wait"))*time.Second))
}

func (m *queueModel) sweepEntries(t *rapid.T) {
	modulus := rapid.IntRange(2, 7).Draw(t, "modulus")
	if rapid.Bool().Draw(t, "skip linger") {
		m.queue.SkipLinger(func(entry *Entry[int]) bool { return entry.Value%modulus == 0 })
		return
	}
	for _, v := range m.queue.RemoveMatching(func(entry *Entry[int]) bool { return entry.Value%modulus == 0 }) {
		if m.taken[v] != nil || m.finished[v] {
			t.Fatalf("got %d removed, which was not in the queue", v)
		}
		m.finished[v] = true
	}
}

func TestNoEntryIsLostDuplicatedMixedOrOvertaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{
			Items: rapid.IntRange(1, 6).Draw(t, "items"), Bytes: rapid.IntRange(20, 400).Draw(t, "bytes"),
			Linger: time.Second,
		}
		m := &queueModel{
			queue: newQueue(limits), limits: limits, now: startTime, taken: map[int]*Entry[int]{},
			finished: map[int]bool{},
		}
		t.Repeat(map[string]func(*rapid.T){
			"add":    m.addEntry,
			"take":   m.takeBatch,
			"finish": m.finishEntry,
			"return": m.returnEntry,
			"remove": m.sweepEntries,
			"tick":   func(t *rapid.T) { m.now = m.now.Add(400 * time.Millisecond) },
			"": func(t *rapid.T) {
				if m.queue.Len()+len(m.taken)+len(m.finished) != m.nextValue {
					t.Fatalf("got %d in the queue, %d taken and %d finished, want %d in total",
						m.queue.Len(), len(m.taken), len(m.finished), m.nextValue)
				}
			},
		})
		m.drainAll(t)
	})
}

// drainAll finishes everything, which detects an entry that nothing would ever unblock.
func (m *queueModel) drainAll(t *rapid.T) {
	for len(m.finished) < m.nextValue {
		m.now = m.now.Add(10 * time.Second)
		m.takeBatch(t)
		if len(m.taken) == 0 {
			t.Fatalf("got %d in the queue of which none can be taken", m.queue.Len())
		}
		for len(m.taken) > 0 {
			m.finishEntry(t)
		}
	}
}

func TestBatchesOfAFullQueueAre95PercentFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{
			Items: rapid.IntRange(20, 200).Draw(t, "items"), Bytes: rapid.IntRange(2000, 20000).Draw(t, "bytes"),
			Linger: time.Hour,
		}
		largest := limits.Bytes / 20
		queue := newQueue(limits)
		for i := range 1000 {
			queue.Add(Entry[int]{Value: i, Size: rapid.IntRange(1, largest-1).Draw(t, "size"), ArrivedAt: startTime})
		}
		for {
			got := queue.TakeBatch(startTime, limits.Items)
			if got == nil {
				return
			}
			size := 10 + len(got) - 1
			for _, entry := range got {
				size += entry.Size
			}
			fill := max(float64(len(got))/float64(limits.Items), float64(size)/float64(limits.Bytes))
			if fill < 0.95 {
				t.Fatalf("got a batch %.3f full with %d waiting, want at least 0.95", fill, queue.Len())
			}
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	for _, waiting := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			queue := newQueue(Limits{1000, 1 << 20, time.Second})
			for range waiting {
				queue.Add(Entry[int]{Size: 500, ArrivedAt: startTime})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				queue.Add(Entry[int]{Size: 500, ArrivedAt: startTime})
				if i%1000 == 999 {
					for _, entry := range queue.TakeBatch(startTime, 1000) {
						queue.Finish(entry)
					}
				}
			}
		})
	}
}
