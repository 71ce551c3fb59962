package offset

import (
	"testing"
	"time"
)

func TestATruncatedTrackerOwesWhatIsBelowAndKnowsNothingOfTheRest(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	e := track(t, tr, 0, 1, 2, 3, 4)
	tr.MarkSettled([]int64{6})
	e[1].Settle()
	e[3].Settle()
	version := e[4].MarkIntent()
	tr.Truncate(2, 5)
	for _, gone := range []*Entry{e[2], e[4]} {
		if _, draining := gone.Draining(); !gone.Fenced() || !draining || !gone.IntentCommitted(version) {
			t.Error("a record that is gone is still waited for")
		}
		gone.MarkIntent()
	}
	if _, draining := e[0].Draining(); draining || e[0].Fenced() {
		t.Error("a record that is left counts as gone")
	}
	e[2].Settle()
	e[4].Release()
	if s := tr.Progress(); s.Unsettled != 1 {
		t.Errorf("%d are unsettled, want the one that is left", s.Unsettled)
	}
	anew := track(t, tr, 2, 3, 6)
	anew[1].Settle()
	committable(t, tr, 0)
	if c, ok := tr.PendingCommit(); !ok || c.Metadata != encodeMetadata(topicID, 0, []run{{0, 1, pending}, {1, 2, done}, {2, 3, pending}, {3, 6, done}}) {
		t.Errorf("commit %+v, %v", c, ok)
	}
	anew[0].Settle()
	e[0].Settle()
	committable(t, tr, 6)
	select {
	case <-tr.Idle():
		t.Error("idle while a record is held")
	default:
	}
}

func TestATruncatedTrackerCommitsAnOlderOffset(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	for _, e := range track(t, tr, 0, 1, 2) {
		e.Settle()
	}
	c, _ := tr.PendingCommit()
	tr.ConfirmCommit(c.Version)
	tr.Truncate(1, 3)
	if c, ok := tr.PendingCommit(); !ok || c.Offset != 1 || c.Epoch != 3 {
		t.Errorf("commit %+v, %v", c, ok)
	}
	if fate := tr.Track(new(Entry), 1, 4, time.Time{}); fate != PriorNone {
		t.Errorf("fate %d, want fresh", fate)
	}
}

func TestTruncationPastWhatArrivedForgetsOnlyWhatIsKnownAhead(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	tr.MarkSettled([]int64{4, 5, 6, 9})
	e := track(t, tr, 0)
	tr.Truncate(6, 1)
	if e[0].Fenced() {
		t.Error("a record below counts as gone")
	}
	for o, want := range []PriorState{4: PriorSettled, 5: PriorSettled, 6: PriorNone, 9: PriorNone} {
		if o < 4 || o > 6 && o < 9 {
			continue
		}
		if got := tr.Track(new(Entry), int64(o), 0, time.Time{}); got != want {
			t.Errorf("offset %d: fate %d, want %d", o, got, want)
		}
	}
}
