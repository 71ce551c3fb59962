package offset

import (
	"testing"
	"time"
)

func TestTruncationKeepsRecordsBelowTheTruncationPointOnly(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := trackOffsets(t, tr, 0, 1, 2, 3, 4)
	tr.MarkSettled([]int64{6})
	e[1].Settle()
	e[3].Settle()
	version := e[4].MarkIntent()
	tr.Truncate(2, 5)
	for _, gone := range []*Entry{e[2], e[4]} {
		if _, draining := gone.Draining(); !gone.Fenced() || !draining || !gone.IntentCommitted(version) {
			t.Error("got a lost record that is still waited for, want it fenced")
		}
		gone.MarkIntent()
	}
	if _, draining := e[0].Draining(); draining || e[0].Fenced() {
		t.Error("got a record below the cut fenced, want it as it was")
	}
	e[2].Settle()
	e[4].Release()
	if s := tr.Progress(); s.Unsettled != 1 {
		t.Errorf("got %d unsettled records, want the one below the cut", s.Unsettled)
	}
	rewritten := trackOffsets(t, tr, 2, 3, 6)
	rewritten[1].Settle()
	checkCommittable(t, tr, 0)
	want := encodeMetadata(topicID, 0, Owner{},
		[]run{{0, 1, statePending}, {1, 2, stateSettled}, {2, 3, statePending}, {3, 6, stateSettled}})
	if c, ok := tr.PendingCommit(); !ok || c.Metadata != want {
		t.Errorf("got commit %+v, pending %v, want metadata %q", c, ok, want)
	}
	rewritten[0].Settle()
	e[0].Settle()
	checkCommittable(t, tr, 6)
	select {
	case <-tr.Idle():
		t.Error("got an idle tracker, want one record in flight")
	default:
	}
}

func TestTruncationBelowTheCommitCommitsTheTruncationPoint(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	for _, e := range trackOffsets(t, tr, 0, 1, 2) {
		e.Settle()
	}
	c, _ := tr.PendingCommit()
	tr.ConfirmCommit(c.Version)
	tr.Truncate(1, 3)
	if c, ok := tr.PendingCommit(); !ok || c.Offset != 1 || c.Epoch != 3 {
		t.Errorf("got commit %+v, pending %v, want one of offset 1 at epoch 3", c, ok)
	}
	if prior := tr.Track(new(Entry), 1, 4, time.Time{}); prior != PriorNone {
		t.Errorf("got prior state %d, want none", prior)
	}
}

func TestTruncationBeyondTrackedRecordsForgetsOnlyPriorStates(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	tr.MarkSettled([]int64{4, 5, 6, 9})
	e := trackOffsets(t, tr, 0)
	tr.Truncate(6, 1)
	if e[0].Fenced() {
		t.Error("got a record below the cut fenced, want it as it was")
	}
	for o, want := range []PriorState{4: PriorSettled, 5: PriorSettled, 6: PriorNone, 9: PriorNone} {
		if o < 4 || o > 6 && o < 9 {
			continue
		}
		if got := tr.Track(new(Entry), int64(o), 0, time.Time{}); got != want {
			t.Errorf("offset %d: got prior state %d, want %d", o, got, want)
		}
	}
}
