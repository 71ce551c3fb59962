package offset

import "time"

// Entry is the place of one record in its tracker. Track fills it; the zero Entry belongs to no
// tracker and must not be used. Its methods are safe for concurrent use.
type Entry struct {
	tracker   *Tracker
	offset    int64
	timestamp int64 // the record's timestamp in ms
	epoch     int32
	state     entryState
	inFlight  bool // neither settled nor released
	truncated bool // the log lost the record
}

// Settle marks the record as settled. It ends the entry; call either Settle or Release, once.
func (e *Entry) Settle() {
	t := e.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endEntry(e)
	if e.truncated {
		return
	}
	t.arrived.settleEntry(e)
	t.noteChange()
}

// Release ends the entry of a record that was not settled. Its offset stays uncommitted, and Idle
// no longer waits for it.
func (e *Entry) Release() {
	e.tracker.mu.Lock()
	defer e.tracker.mu.Unlock()
	e.tracker.endEntry(e)
}

// MarkIntent records that a call with the record is about to start, so that the outcome is unknown
// until the record is settled. It returns the version of the commit that contains the intent, for
// IntentCommitted.
func (e *Entry) MarkIntent() uint64 { return e.setState(stateIntent) }

// MarkResendIntent is MarkIntent for a record that may have been sent before. After it, the next
// owner cannot tell how often the record was sent. MarkIntent withdraws it, if the vendor did not
// act on the latest call.
func (e *Entry) MarkResendIntent() uint64 { return e.setState(stateResendIntent) }

// ClearIntent withdraws the intent, because the vendor did not act on the call.
func (e *Entry) ClearIntent() { e.setState(statePending) }

func (e *Entry) setState(state entryState) uint64 {
	t := e.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.state != stateSettled && e.state != state && !e.truncated {
		e.state = state
		t.noteChange()
	}
	return t.version
}

// IntentCommitted reports whether the commit of a version has been confirmed. It also returns true
// if it never will be, because the assignment has ended or the log lost the record.
func (e *Entry) IntentCommitted(version uint64) bool {
	e.tracker.mu.Lock()
	defer e.tracker.mu.Unlock()
	return e.tracker.confirmed >= version || e.tracker.fenced || e.truncated
}

// Draining reports whether the assignment is ending or the log lost the record. until is the time
// until which a call with the record may run.
func (e *Entry) Draining() (until time.Time, draining bool) {
	if !e.tracker.disturbed.Load() {
		return time.Time{}, false
	}
	e.tracker.mu.Lock()
	defer e.tracker.mu.Unlock()
	return e.tracker.drainUntil, e.tracker.draining || e.truncated
}

// Fenced reports whether the assignment has ended or the log lost the record.
func (e *Entry) Fenced() bool {
	if !e.tracker.disturbed.Load() {
		return false
	}
	e.tracker.mu.Lock()
	defer e.tracker.mu.Unlock()
	return e.tracker.fenced || e.truncated
}
