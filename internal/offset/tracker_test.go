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

// trackOffsets tracks records at these offsets, which must have no prior state.
func trackOffsets(t *testing.T, tr *Tracker, offsets ...int64) []*Entry {
	t.Helper()
	entries := make([]*Entry, len(offsets))
	for i, o := range offsets {
		entries[i] = new(Entry)
		if prior := tr.Track(entries[i], o, 7, time.UnixMilli(o)); prior != PriorNone {
			t.Fatalf("offset %d: got prior state %d, want none", o, prior)
		}
	}
	return entries
}

func checkCommittable(t *testing.T, tr *Tracker, want int64) {
	t.Helper()
	if got := tr.Progress().Committable; got != want {
		t.Fatalf("got committable offset %d, want %d", got, want)
	}
}

func TestCommittableOffsetIsTheEndOfTheSettledPrefix(t *testing.T) {
	tr := NewTracker(topicID, 10, nil)
	e := trackOffsets(t, tr, 10, 11, 12, 13)
	e[2].Settle()
	e[1].Settle()
	checkCommittable(t, tr, 10)
	e[0].Settle()
	checkCommittable(t, tr, 13)
	e[3].Settle()
	checkCommittable(t, tr, 14)
	if c, ok := tr.PendingCommit(); !ok || c.Offset != 14 || c.Epoch != 7 || c.Metadata != "" {
		t.Fatalf("got commit %+v, pending %v, want one of offset 14 at epoch 7", c, ok)
	}
}

func TestGapsInTheLogCountAsSettled(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := trackOffsets(t, tr, 5, 9)
	checkCommittable(t, tr, 5)
	e[0].Settle()
	checkCommittable(t, tr, 9)
	e[1].Settle()
	checkCommittable(t, tr, 10)
}

func TestReleasedRecordIsNeitherCommittedNorInFlight(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := trackOffsets(t, tr, 0, 1)
	e[0].Release()
	e[1].Settle()
	select {
	case <-tr.Idle():
	default:
		t.Fatal("got a tracker with records in flight, want an idle one")
	}
	checkCommittable(t, tr, 0)
}

func TestFencedTrackerHasNothingToCommit(t *testing.T) {
	changed := make(chan struct{}, 1)
	tr := NewTracker(topicID, 0, changed)
	e := trackOffsets(t, tr, 0)
	tr.Fence()
	e[0].Settle()
	if _, ok := tr.PendingCommit(); ok {
		t.Fatal("got a pending commit from a fenced tracker, want none")
	}
	if len(changed) != 0 {
		t.Fatal("got a signal from a fenced tracker, want none")
	}
	if !e[0].Fenced() {
		t.Fatal("got an entry that is not fenced, want it fenced")
	}
}

func TestIntentIsCommittedOnceItsCommitIsConfirmed(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := trackOffsets(t, tr, 0, 1)
	v := e[1].MarkIntent()
	if e[1].IntentCommitted(v) {
		t.Fatal("got the intent committed before a commit, want it pending")
	}
	c, ok := tr.PendingCommit()
	if !ok || c.Offset != 0 {
		t.Fatalf("got commit %+v, pending %v, want one of offset 0", c, ok)
	}
	tr.ConfirmCommit(c.Version)
	if !e[1].IntentCommitted(v) {
		t.Fatal("got the intent pending after the commit, want it committed")
	}
	next := NewTracker(topicID, 0, nil)
	if err := next.RestoreMetadata(c.Metadata); err != nil {
		t.Fatal(err)
	}
	priors := [2]PriorState{next.Track(new(Entry), 0, 0, time.Time{}), next.Track(new(Entry), 1, 0, time.Time{})}
	if want := [2]PriorState{PriorNone, PriorIntent}; priors != want {
		t.Fatalf("got prior states %v, want %v", priors, want)
	}
}

// The next owner must know whether a call that it cannot know the outcome of was the first one.
func TestResendIntentIsAStateOfItsOwn(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := trackOffsets(t, tr, 0, 1, 2, 3, 4)
	for _, entry := range e[:4] {
		entry.MarkIntent()
		entry.MarkResendIntent()
	}
	e[1].MarkIntent()  // the second call did no harm
	e[2].ClearIntent() // neither call did
	e[3].Settle()
	want := []PriorState{PriorResendIntent, PriorIntent, PriorNone, PriorSettled, PriorNone}
	checkPriorStates(t, tr, want)
	for i, entry := range trackOffsets(t, tr, sequence(5, 200)...) { // too many for runs
		if i%2 == 0 {
			entry.MarkResendIntent()
			want = append(want, PriorResendIntent)
		} else {
			want = append(want, PriorNone)
		}
	}
	checkPriorStates(t, tr, want)
}

// checkPriorStates checks what the next owner would know of the offsets from 0 on.
func checkPriorStates(t *testing.T, tr *Tracker, want []PriorState) {
	t.Helper()
	commit, _ := tr.PendingCommit()
	next := NewTracker(topicID, commit.Offset, nil)
	if err := next.RestoreMetadata(commit.Metadata); err != nil {
		t.Fatal(err)
	}
	for o, state := range want {
		if got := next.Track(new(Entry), int64(o), 0, time.Time{}); got != state {
			t.Errorf("offset %d: got prior state %d, want %d", o, got, state)
		}
	}
}

// sequence returns the offsets from begin up to, but not including, end.
func sequence(begin, end int64) []int64 {
	var offsets []int64
	for o := begin; o < end; o++ {
		offsets = append(offsets, o)
	}
	return offsets
}

func TestConfirmationKeepsChangesMadeDuringTheCommit(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := trackOffsets(t, tr, 0, 1)
	e[0].Settle()
	c, _ := tr.PendingCommit()
	e[1].Settle()
	tr.ConfirmCommit(c.Version)
	if c, ok := tr.PendingCommit(); !ok || c.Offset != 2 {
		t.Fatalf("got commit %+v, pending %v, want one of offset 2", c, ok)
	}
}

func TestCopiesFoundInRetryTopicsAreInTheNextCommit(t *testing.T) {
	tr := NewTracker(topicID, 100, nil)
	tr.MarkSettled([]int64{101, 103})
	e := trackOffsets(t, tr, 100)
	if got := tr.Track(new(Entry), 101, 0, time.Time{}); got != PriorSettled {
		t.Fatalf("offset 101: got prior state %d, want settled", got)
	}
	c, ok := tr.PendingCommit()
	if !ok {
		t.Fatal("got no pending commit, want one")
	}
	_, runs, err := decodeMetadata(c.Metadata, topicID, c.Offset)
	want := []run{{101, 102, stateSettled}, {103, 104, stateSettled}}
	if err != nil || !slices.Equal(runs, want) {
		t.Fatalf("got runs %v with error %v, want %v", runs, err, want)
	}
	e[0].Settle()
	checkCommittable(t, tr, 102)
}

func TestRecordTrackedTwiceIsSeen(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	trackOffsets(t, tr, 3)
	if got := tr.Track(new(Entry), 3, 0, time.Time{}); got != PriorSeen {
		t.Fatalf("got prior state %d, want seen", got)
	}
}

func TestEndingAnEntryTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("got no panic, want one")
		}
	}()
	tr := NewTracker(topicID, 0, nil)
	e := trackOffsets(t, tr, 0)
	e[0].Settle()
	e[0].Settle()
}

// Owners of one partition follow each other. Each tracks records in batches, settles, releases or
// marks them in any order, and commits from time to time. It may be replaced at any moment by an
// owner that knows only the last commit.
func TestSuccessiveOwnersLoseNoRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := rapid.SliceOfNDistinct(rapid.Int64Range(0, 400), 1, 120, rapid.ID).Draw(t, "log")
		var m ownerModel
		m.startLog(log)
		for range rapid.IntRange(1, 8).Draw(t, "owners") {
			m.runOwner(t)
		}
		m.settleRest(t)
	})
}

// ownerModel is what can be observed from outside the trackers of successive owners.
type ownerModel struct {
	log       []int64 // ascending
	settled   map[int64]bool
	intents   map[int64]PriorState // as committed
	committed Commit
	handled   map[int64]int
}

func (m *ownerModel) startLog(log []int64) {
	*m = ownerModel{settled: map[int64]bool{}, intents: map[int64]PriorState{}, handled: map[int64]int{}}
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

// takeOwnership returns a new owner's tracker and the offsets that it is to read.
func (m *ownerModel) takeOwnership(t *rapid.T) (*Tracker, []int64) {
	tr := NewTracker(topicID, m.committed.Offset, nil)
	if err := tr.RestoreMetadata(m.committed.Metadata); err != nil {
		t.Fatalf("restoring metadata: %v", err)
	}
	var rest []int64
	for _, o := range m.log {
		if o >= m.committed.Offset {
			rest = append(rest, o)
		} else if !m.settled[o] {
			t.Fatalf("offset %d is below the committed offset %d and not settled", o, m.committed.Offset)
		}
	}
	return tr, rest
}

func (m *ownerModel) runOwner(t *rapid.T) {
	tr, rest := m.takeOwnership(t)
	entries := map[int64]*Entry{}
	var inFlight []int64
	for range rapid.IntRange(0, 60).Draw(t, "steps") {
		switch rapid.IntRange(0, 4).Draw(t, "step") {
		case 0, 1:
			if len(rest) > 0 {
				inFlight = m.trackRecord(t, tr, rest[0], entries, inFlight)
				rest = rest[1:]
			}
		case 2:
			inFlight = m.settleRecord(t, entries, inFlight)
		case 3:
			if len(inFlight) > 0 {
				mark := []func(*Entry){
					func(e *Entry) { e.MarkIntent() }, func(e *Entry) { e.MarkResendIntent() }, (*Entry).ClearIntent,
				}[rapid.IntRange(0, 2).Draw(t, "intent")]
				mark(entries[inFlight[rapid.IntRange(0, len(inFlight)-1).Draw(t, "whose")]])
			}
		case 4:
			m.commitPending(t, tr)
		}
	}
}

func (m *ownerModel) trackRecord(
	t *rapid.T, tr *Tracker, o int64, entries map[int64]*Entry, inFlight []int64,
) []int64 {
	e := new(Entry)
	prior := tr.Track(e, o, 0, time.Time{})
	if prior == PriorSettled {
		if !m.settled[o] {
			t.Fatalf("offset %d: got prior state settled, want it unsettled", o)
		}
		return inFlight
	}
	if prior != m.intents[o] {
		t.Fatalf("offset %d: got prior state %d, want %d", o, prior, m.intents[o])
	}
	entries[o] = e
	return append(inFlight, o)
}

func (m *ownerModel) settleRecord(t *rapid.T, entries map[int64]*Entry, inFlight []int64) []int64 {
	if len(inFlight) == 0 {
		return inFlight
	}
	i := rapid.IntRange(0, len(inFlight)-1).Draw(t, "which")
	o := inFlight[i]
	m.settled[o] = true
	m.handled[o]++
	entries[o].Settle()
	return append(inFlight[:i:i], inFlight[i+1:]...)
}

func (m *ownerModel) commitPending(t *rapid.T, tr *Tracker) {
	c, ok := tr.PendingCommit()
	if !ok {
		return
	}
	if len(c.Metadata) > MaxMetadata {
		t.Fatalf("got metadata of %d bytes, want at most 4096", len(c.Metadata))
	}
	tr.ConfirmCommit(c.Version)
	m.committed = c
	_, runs, err := decodeMetadata(c.Metadata, topicID, c.Offset)
	if err != nil {
		t.Fatal(err)
	}
	clear(m.intents)
	for _, r := range runs {
		for o := r.from; o < r.to; o++ {
			m.intents[o] = map[entryState]PriorState{
				stateIntent: PriorIntent, stateResendIntent: PriorResendIntent,
			}[r.state]
		}
	}
}

// settleRest simulates the last owner, which settles everything.
func (m *ownerModel) settleRest(t *rapid.T) {
	tr, rest := m.takeOwnership(t)
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
		t.Fatalf("got committable offset %d, want it above %d", tr.Progress().Committable, last)
	}
}

// Records are tracked for as long as there is capacity, and settle in the patterns with the worst
// encodings.
func TestMetadataFitsWhileRemainingCapacityIsRespected(t *testing.T) {
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
					} else if i%5 == 1 {
						e.MarkResendIntent()
					}
				}
				c, _ := tr.PendingCommit()
				if len(c.Metadata) > MaxMetadata {
					t.Fatalf("got metadata of %[2]d bytes for %[1]d records, want at most 4096", taken, len(c.Metadata))
				}
				if taken < 150 {
					t.Fatalf("got room for %d records, want at least 150", taken)
				}
			})
		}
	}
}

func TestOneUnsettledRecordDoesNotFillTheMetadata(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	trackOffsets(t, tr, 0)
	for o := int64(1); o < 100_000; o++ {
		if tr.RemainingCapacity() <= 0 {
			t.Fatalf("got no capacity at offset %d, want some", o)
		}
		trackOffsets(t, tr, o)[0].Settle()
	}
	if n := len(tr.arrived.entries); n > 200 {
		t.Fatalf("got %d entries for one unsettled record, want at most 200", n)
	}
}

func TestForeignOrDamagedMetadataIsIgnored(t *testing.T) {
	good := encodeMetadata(topicID, 5, Owner{}, []run{{5, 6, statePending}, {6, 9, stateSettled}})
	other := [16]byte{9}
	cases := map[string]struct {
		text string
		id   [16]byte
		base int64
		want error
	}{
		"another program":          {"kgo-member-1", topicID, 5, ErrForeignMetadata},
		"another topic ID":         {good, other, 5, ErrForeignMetadata},
		"another offset":           {good, topicID, 6, ErrForeignMetadata},
		"truncated":                {good[:len(good)-3], topicID, 5, ErrDamagedMetadata},
		"one character changed":    {strings.Replace(good, good[20:21], "/", 1), topicID, 5, ErrDamagedMetadata},
		"nothing after the prefix": {metadataPrefix, topicID, 5, ErrDamagedMetadata},
		"no owner after the prefix of one": {
			strings.Replace(good, metadataPrefix, ownedPrefix, 1), topicID, 5, ErrDamagedMetadata,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tr := NewTracker(c.id, c.base, nil)
			if err := tr.RestoreMetadata(c.text); !errors.Is(err, c.want) {
				t.Fatalf("got error %v, want %v", err, c.want)
			}
			if len(tr.prior) != 0 || tr.Owner() != (Owner{}) {
				t.Fatal("got prior state from ignored metadata, want none")
			}
		})
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(encodeMetadata(topicID, 5, Owner{}, []run{{5, 6, statePending}, {6, 9, stateSettled}, {9, 11, stateIntent}}))
	f.Add(encodeMetadata(topicID, 5, Owner{"writer", 1 << 40}, []run{{5, 6, statePending}, {6, 9, stateSettled}}))
	f.Add(metadataPrefix)
	f.Add(ownedPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		owner, runs, err := decodeMetadata(text, topicID, 5)
		if owner != (Owner{}) && (err != nil || owner.WriterID == "" || owner.Marker < 0) {
			t.Fatalf("got owner %+v with error %v", owner, err)
		}
		at := int64(5)
		for _, r := range runs {
			if err != nil || r.from < at || r.to <= r.from || r.state == statePending {
				t.Fatalf("got runs %v with error %v", runs, err)
			}
			at = r.to
		}
	})
}

func FuzzMetadataBody(f *testing.F) {
	f.Add(byte(formRuns), []byte{4, 9})
	f.Add(byte(formBitmap), []byte{0x1b})
	f.Fuzz(func(t *testing.T, form byte, body []byte) {
		runs, err := decodeBody(form, body, 5)
		for _, r := range runs {
			if err != nil || r.to <= r.from {
				t.Fatalf("got runs %v with error %v", runs, err)
			}
		}
	})
}

// The epoch of a commit must cover its offset: otherwise the next owner's client assumes that the
// log was truncated, and reads records again.
func TestCommittedEpochCoversTheCommittedOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := NewTracker(topicID, 0, nil)
		tr.MarkSettled(sorted(rapid.SliceOfNDistinct(rapid.Int64Range(0, 600), 0, 40, rapid.ID).Draw(t, "copies")))
		epochs := map[int64]int32{}
		var inFlight []*Entry
		at, epoch := int64(0), int32(0)
		for range rapid.IntRange(1, 300).Draw(t, "records") {
			at += rapid.Int64Range(0, 2).Draw(t, "gap")
			epoch += rapid.Int32Range(0, 1).Draw(t, "move")
			epochs[at] = epoch
			e := new(Entry)
			if prior := tr.Track(e, at, epoch, time.Time{}); prior == PriorNone {
				inFlight = append(inFlight, e)
			}
			at++
			// The first record stays unsettled, so that the window is compacted behind it.
			for len(inFlight) > 1 && rapid.Bool().Draw(t, "settle") {
				inFlight[len(inFlight)-1].Settle()
				inFlight = inFlight[:len(inFlight)-1]
			}
		}
		for i := range inFlight {
			checkEpoch(t, tr, epochs)
			inFlight[i].Settle()
		}
		checkEpoch(t, tr, epochs)
	})
}

func sorted(offsets []int64) []int64 {
	slices.Sort(offsets)
	return offsets
}

// checkEpoch fails the test if the epoch of the pending commit ended before its offset.
func checkEpoch(t *rapid.T, tr *Tracker, epochs map[int64]int32) {
	c, ok := tr.PendingCommit()
	if !ok {
		return
	}
	for o, epoch := range epochs {
		if o < c.Offset && epoch > c.Epoch {
			t.Fatalf("commit of %d: got epoch %d, want at least that of the record at %d, %d",
				c.Offset, c.Epoch, o, epoch)
		}
	}
	if at, arrived := epochs[c.Offset]; arrived && c.Epoch > at {
		t.Fatalf("commit of %d: got epoch %d, want at most that of its record, %d", c.Offset, c.Epoch, at)
	}
}

func TestKnownSettledCombinesMetadataAndRecovery(t *testing.T) {
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
