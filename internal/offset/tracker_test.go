package offset

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var topicID = [16]byte{1, 2, 3}

// track gives offsets to a tracker and fails where one is not fresh.
func track(t *testing.T, tr *Tracker, offsets ...int64) []*Entry {
	t.Helper()
	entries := make([]*Entry, len(offsets))
	for i, o := range offsets {
		entries[i] = new(Entry)
		if fate := tr.Track(entries[i], o, 7, time.UnixMilli(o)); fate != PriorNone {
			t.Fatalf("offset %d: fate %d, want fresh", o, fate)
		}
	}
	return entries
}

func committable(t *testing.T, tr *Tracker, want int64) {
	t.Helper()
	if got := tr.Progress().Committable; got != want {
		t.Fatalf("committable %d, want %d", got, want)
	}
}

func TestCommitIsTheContiguousPrefixWhateverTheOrderOfSettling(t *testing.T) {
	tr := NewTracker(topicID, 10, nil)
	e := track(t, tr, 10, 11, 12, 13)
	e[2].Settle()
	e[1].Settle()
	committable(t, tr, 10)
	e[0].Settle()
	committable(t, tr, 13)
	e[3].Settle()
	committable(t, tr, 14)
	if c, ok := tr.PendingCommit(); !ok || c.Offset != 14 || c.Epoch != 7 || c.Metadata != "" {
		t.Fatalf("commit %+v, %v", c, ok)
	}
}

func TestGapsInTheLogCountAsSettled(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := track(t, tr, 5, 9)
	committable(t, tr, 5)
	e[0].Settle()
	committable(t, tr, 9)
	e[1].Settle()
	committable(t, tr, 10)
}

func TestDroppedRecordHoldsTheCommitAndIsNotWaitedFor(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := track(t, tr, 0, 1)
	e[0].Release()
	e[1].Settle()
	select {
	case <-tr.Idle():
	default:
		t.Fatal("not idle although nothing is held")
	}
	committable(t, tr, 0)
}

func TestFencedTrackerCommitsNothingMore(t *testing.T) {
	changed := make(chan struct{}, 1)
	tr := NewTracker(topicID, 0, changed)
	e := track(t, tr, 0)
	tr.Fence()
	e[0].Settle()
	if _, ok := tr.PendingCommit(); ok {
		t.Fatal("a fenced tracker wants a commit")
	}
	if len(changed) != 0 {
		t.Fatal("a fenced tracker signals")
	}
	if !e[0].Fenced() {
		t.Fatal("the entry does not know of the fence")
	}
}

func TestSentIsCoveredOnlyOnceConfirmed(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := track(t, tr, 0, 1)
	v := e[1].MarkIntent()
	if e[1].IntentCommitted(v) {
		t.Fatal("covered before a commit")
	}
	c, ok := tr.PendingCommit()
	if !ok || c.Offset != 0 {
		t.Fatalf("commit %+v, %v", c, ok)
	}
	tr.ConfirmCommit(c.Version)
	if !e[1].IntentCommitted(v) {
		t.Fatal("not covered after the commit")
	}
	next := NewTracker(topicID, 0, nil)
	if err := next.RestoreMetadata(c.Metadata); err != nil {
		t.Fatal(err)
	}
	fates := [2]PriorState{next.Track(new(Entry), 0, 0, time.Time{}), next.Track(new(Entry), 1, 0, time.Time{})}
	if fates != [2]PriorState{PriorNone, PriorIntent} {
		t.Fatalf("fates %v", fates)
	}
}

func TestChangeDuringACommitIsNotLostWithItsConfirmation(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := track(t, tr, 0, 1)
	e[0].Settle()
	c, _ := tr.PendingCommit()
	e[1].Settle()
	tr.ConfirmCommit(c.Version)
	if c, ok := tr.PendingCommit(); !ok || c.Offset != 2 {
		t.Fatalf("commit %+v, %v", c, ok)
	}
}

func TestCopiesFoundInRetryTopicsAreSettledAndGoIntoTheNextCommit(t *testing.T) {
	tr := NewTracker(topicID, 100, nil)
	tr.MarkSettled([]int64{101, 103})
	e := track(t, tr, 100)
	for o, want := range map[int64]PriorState{101: PriorSettled} {
		if got := tr.Track(new(Entry), o, 0, time.Time{}); got != want {
			t.Fatalf("offset %d: fate %d, want %d", o, got, want)
		}
	}
	c, ok := tr.PendingCommit()
	if !ok {
		t.Fatal("nothing to commit")
	}
	runs, err := decodeMetadata(c.Metadata, topicID, c.Offset)
	if err != nil || len(runs) != 2 || runs[0] != (run{101, 102, done}) || runs[1] != (run{103, 104, done}) {
		t.Fatalf("runs %v, %v", runs, err)
	}
	e[0].Settle()
	committable(t, tr, 102)
}

func TestRecordGivenTwiceIsSeen(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	track(t, tr, 3)
	if got := tr.Track(new(Entry), 3, 0, time.Time{}); got != PriorSeen {
		t.Fatalf("fate %d, want seen", got)
	}
}

func TestEndingAnEntryTwiceIsFatal(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	tr := NewTracker(topicID, 0, nil)
	e := track(t, tr, 0)
	e[0].Settle()
	e[0].Settle()
}

// TestManyOwnersLoseNothing plays owners of one partition one after the other: each takes records in its own batches, settles, sends or
// drops them in any order, commits now and then, and is replaced at any moment by one that knows only the last commit.
func TestManyOwnersLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := rapid.SliceOfNDistinct(rapid.Int64Range(0, 400), 1, 120, rapid.ID).Draw(t, "log")
		var m model
		m.start(t, log)
		for range rapid.IntRange(1, 8).Draw(t, "owners") {
			m.own(t)
		}
		m.finish(t)
	})
}

type model struct {
	log       []int64 // ascending
	settled   map[int64]bool
	sent      map[int64]bool // as committed
	committed Commit
	handled   map[int64]int
}

func (m *model) start(t *rapid.T, log []int64) {
	*m = model{settled: map[int64]bool{}, sent: map[int64]bool{}, handled: map[int64]int{}}
	seen := map[int64]bool{}
	for _, o := range log {
		seen[o] = true
	}
	for o := range int64(401) {
		if seen[o] {
			m.log = append(m.log, o)
		}
	}
}

func (m *model) take(t *rapid.T) (*Tracker, []int64) {
	tr := NewTracker(topicID, m.committed.Offset, nil)
	if err := tr.RestoreMetadata(m.committed.Metadata); err != nil {
		t.Fatalf("restoring: %v", err)
	}
	var rest []int64
	for _, o := range m.log {
		if o >= m.committed.Offset {
			rest = append(rest, o)
		} else if !m.settled[o] {
			t.Fatalf("offset %d is below the commit %d and not settled", o, m.committed.Offset)
		}
	}
	return tr, rest
}

func (m *model) own(t *rapid.T) {
	tr, rest := m.take(t)
	entries := map[int64]*Entry{}
	var held []int64
	for range rapid.IntRange(0, 60).Draw(t, "steps") {
		switch rapid.IntRange(0, 4).Draw(t, "step") {
		case 0, 1:
			if len(rest) > 0 {
				held = m.arrive(t, tr, rest[0], entries, held)
				rest = rest[1:]
			}
		case 2:
			held = m.settle(t, entries, held)
		case 3:
			if len(held) > 0 {
				entries[held[0]].MarkIntent()
			}
		case 4:
			m.commit(t, tr)
		}
	}
}

func (m *model) arrive(t *rapid.T, tr *Tracker, o int64, entries map[int64]*Entry, held []int64) []int64 {
	e := new(Entry)
	fate := tr.Track(e, o, 0, time.Time{})
	if fate == PriorSettled {
		if !m.settled[o] {
			t.Fatalf("offset %d is taken for settled and is not", o)
		}
		return held
	}
	if (fate == PriorIntent) != m.sent[o] {
		t.Fatalf("offset %d: fate %d, committed as sent: %v", o, fate, m.sent[o])
	}
	entries[o] = e
	return append(held, o)
}

func (m *model) settle(t *rapid.T, entries map[int64]*Entry, held []int64) []int64 {
	if len(held) == 0 {
		return held
	}
	i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
	o := held[i]
	m.settled[o] = true
	m.handled[o]++
	entries[o].Settle()
	return append(held[:i:i], held[i+1:]...)
}

func (m *model) commit(t *rapid.T, tr *Tracker) {
	c, ok := tr.PendingCommit()
	if !ok {
		return
	}
	if len(c.Metadata) > MaxMetadata {
		t.Fatalf("metadata of %d bytes", len(c.Metadata))
	}
	tr.ConfirmCommit(c.Version)
	m.committed = c
	runs, err := decodeMetadata(c.Metadata, topicID, c.Offset)
	if err != nil {
		t.Fatal(err)
	}
	clear(m.sent)
	for _, r := range runs {
		for o := r.from; o < r.to; o++ {
			m.sent[o] = r.state == sent
		}
	}
}

func (m *model) finish(t *rapid.T) {
	tr, rest := m.take(t)
	for _, o := range rest {
		e := new(Entry)
		if tr.Track(e, o, 0, time.Time{}) != PriorSettled {
			m.settled[o] = true
			e.Settle()
		}
	}
	for _, o := range m.log {
		if !m.settled[o] {
			t.Fatalf("offset %d was never settled", o)
		}
	}
	if last := m.log[len(m.log)-1]; tr.Progress().Committable <= last {
		t.Fatalf("committable %d does not cover %d", tr.Progress().Committable, last)
	}
}

// TestMetadataFitsWhateverSettlesWhenRoomIsHeeded takes records as long as there is room and settles the worst patterns.
func TestMetadataFitsWhateverSettlesWhenRoomIsHeeded(t *testing.T) {
	for name, stride := range map[string]int64{"dense": 1, "sparse": 1 << 20} {
		for pattern, settle := range map[string]func(i int) bool{
			"none": func(int) bool { return false }, "every second": func(i int) bool { return i%2 == 1 },
			"two of three": func(i int) bool { return i%3 > 0 }, "all but the first": func(i int) bool { return i > 0 },
		} {
			t.Run(name+", "+pattern, func(t *testing.T) {
				tr := NewTracker(topicID, 1<<40, nil)
				o, taken := int64(1<<40), 0
				for i := 0; i < 30_000 && tr.RemainingCapacity() > 0; i++ {
					e := new(Entry)
					tr.Track(e, o, 0, time.Time{})
					o += stride
					taken++
					if settle(i) {
						e.Settle()
					} else if i%5 == 0 {
						e.MarkIntent()
					}
				}
				c, _ := tr.PendingCommit()
				if len(c.Metadata) > MaxMetadata {
					t.Fatalf("%d records give metadata of %d bytes", taken, len(c.Metadata))
				}
				if taken < 150 {
					t.Fatalf("only %d records were let in", taken)
				}
			})
		}
	}
}

func TestOneStuckRecordDoesNotStopThePartition(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	track(t, tr, 0)
	for o := int64(1); o < 100_000; o++ {
		if tr.RemainingCapacity() <= 0 {
			t.Fatalf("no room at offset %d", o)
		}
		track(t, tr, o)[0].Settle()
	}
	if n := len(tr.open); n > 200 {
		t.Fatalf("%d entries are kept for one that is open", n)
	}
}

func TestForeignAndDamagedMetadataIsIgnored(t *testing.T) {
	good := encodeMetadata(topicID, 5, []run{{5, 6, pending}, {6, 9, done}})
	other := [16]byte{9}
	cases := map[string]struct {
		text string
		id   [16]byte
		base int64
		want error
	}{
		"another program's":    {"kgo-member-1", topicID, 5, ErrForeignMetadata},
		"another topic id":     {good, other, 5, ErrForeignMetadata},
		"another offset":       {good, topicID, 6, ErrForeignMetadata},
		"cut":                  {good[:len(good)-3], topicID, 5, ErrDamagedMetadata},
		"one character other":  {strings.Replace(good, good[20:21], "/", 1), topicID, 5, ErrDamagedMetadata},
		"nothing after prefix": {prefix, topicID, 5, ErrDamagedMetadata},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tr := NewTracker(c.id, c.base, nil)
			if err := tr.RestoreMetadata(c.text); !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if len(tr.ahead) != 0 {
				t.Fatal("something of it was kept")
			}
		})
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(encodeMetadata(topicID, 5, []run{{5, 6, pending}, {6, 9, done}, {9, 11, sent}}))
	f.Add(prefix)
	f.Fuzz(func(t *testing.T, text string) {
		runs, err := decodeMetadata(text, topicID, 5)
		at := int64(5)
		for _, r := range runs {
			if err != nil || r.from < at || r.to <= r.from || r.state == pending {
				t.Fatalf("runs %v with error %v", runs, err)
			}
			at = r.to
		}
	})
}

func FuzzMetadataBody(f *testing.F) {
	f.Add(byte(formRuns), []byte{4, 9})
	f.Add(byte(formMap), []byte{0x1b})
	f.Fuzz(func(t *testing.T, form byte, body []byte) {
		runs, err := decodeBody(form, body, 5)
		for _, r := range runs {
			if err != nil || r.to <= r.from {
				t.Fatalf("runs %v with error %v", runs, err)
			}
		}
	})
}

// The epoch that goes with a commit must not have ended before it, else the next owner's client takes the log for truncated and reads again.
func TestTheEpochOfACommitReachesToItWhateverSettlesBehindTheHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := NewTracker(topicID, 0, nil)
		tr.MarkSettled(sorted(rapid.SliceOfNDistinct(rapid.Int64Range(0, 600), 0, 40, rapid.ID).Draw(t, "copies")))
		epochs := map[int64]int32{}
		var held []*Entry
		at, epoch := int64(0), int32(0)
		for range rapid.IntRange(1, 300).Draw(t, "records") {
			at += rapid.Int64Range(0, 2).Draw(t, "gap")
			epoch += rapid.Int32Range(0, 1).Draw(t, "move")
			epochs[at] = epoch
			e := new(Entry)
			if fate := tr.Track(e, at, epoch, time.Time{}); fate == PriorNone {
				held = append(held, e)
			}
			at++
			for len(held) > 1 && rapid.Bool().Draw(t, "settle") { // the first one stays, so that what settles behind it is forgotten
				held[len(held)-1].Settle()
				held = held[:len(held)-1]
			}
		}
		for i := range held {
			checkEpoch(t, tr, epochs)
			held[i].Settle()
		}
		checkEpoch(t, tr, epochs)
	})
}

func sorted(s []int64) []int64 {
	slices.Sort(s)
	return s
}

// checkEpoch fails where the epoch of the pending commit ended before its offset.
func checkEpoch(t *rapid.T, tr *Tracker, epochs map[int64]int32) {
	c, ok := tr.PendingCommit()
	if !ok {
		return
	}
	for o, epoch := range epochs {
		if o < c.Offset && epoch > c.Epoch {
			t.Fatalf("commit %d has epoch %d, though the record at %d has %d", c.Offset, c.Epoch, o, epoch)
		}
	}
	if at, arrived := epochs[c.Offset]; arrived && c.Epoch > at {
		t.Fatalf("commit %d has epoch %d, though the record there has %d", c.Offset, c.Epoch, at)
	}
}

func TestOffsetIsKnownToBeSettledByMetadataAndByWhatRecoveryFound(t *testing.T) {
	id := [16]byte{7}
	earlier := NewTracker(id, 10, nil)
	entries := make([]Entry, 8)
	for i := range entries {
		earlier.Track(&entries[i], 10+int64(i), -1, time.Time{})
	}
	for _, i := range []int{0, 3, 4, 7} {
		entries[i].Settle()
	}
	entries[5].MarkIntent()
	commit, _ := earlier.PendingCommit()
	tr := NewTracker(id, commit.Offset, nil)
	if err := tr.RestoreMetadata(commit.Metadata); err != nil {
		t.Fatal(err)
	}
	tr.MarkSettled([]int64{16, 30})
	settled := map[int64]bool{9: true, 10: true, 13: true, 14: true, 16: true, 17: true, 30: true}
	for o := int64(9); o < 40; o++ {
		if got := tr.KnownSettled(o); got != settled[o] {
			t.Errorf("offset %d: got %v, want %v", o, got, settled[o])
		}
	}
}
