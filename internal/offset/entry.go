package offset

import "time"

// Entry is one record's place in its tracker. The zero Entry belongs to no tracker; Track fills it.
type Entry struct {
	t      *Tracker
	offset int64
	at     int64 // the record's timestamp in ms, for the age of the oldest
	epoch  int32
	state  state
	held   bool // handed out and neither done nor dropped
	gone   bool // the log lost its record
}

// Settle says that the record is settled. It may be called by any goroutine, once for an entry, and not after Drop.
func (e *Entry) Settle() {
	t := e.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(e)
	if e.gone {
		return
	}
	e.state = done
	t.settled++
	if t.open[0] == e {
		t.popSettled()
	} else if t.settled > 64 && t.settled > len(t.open)/2 {
		t.compact()
	}
	t.change()
}

// Release says that the record was let go unsettled: it stays uncommitted, and is no longer waited for.
func (e *Entry) Release() {
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	e.t.release(e)
}

// MarkIntent says that a call carrying the record is about to start, so that its outcome is unknown until it is done. It returns the version whose
// commit says so; Committed tells when that is.
func (e *Entry) MarkIntent() uint64 { return e.mark(sent) }

// ClearIntent takes MarkSent back: the vendor did not act on the call.
func (e *Entry) ClearIntent() { e.mark(pending) }

func (e *Entry) mark(s state) uint64 {
	t := e.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.state != done && e.state != s && !e.gone {
		e.state = s
		t.change()
	}
	return t.version
}

// IntentCommitted tells whether the commit of a version was confirmed, or can never be because the assignment has ended or the record is gone.
func (e *Entry) IntentCommitted(version uint64) bool {
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	return e.t.committed >= version || e.t.fenced || e.gone
}

// Draining tells whether the assignment is ending, or the log lost the record, and until when a call may still run.
func (e *Entry) Draining() (time.Time, bool) {
	if !e.t.ending.Load() {
		return time.Time{}, false
	}
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	return e.t.until, e.t.draining || e.gone
}

// Fenced tells whether the assignment has ended, or the log lost the record.
func (e *Entry) Fenced() bool {
	if !e.t.ending.Load() {
		return false
	}
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	return e.t.fenced || e.gone
}
