package offset

import (
	"sync"
	"sync/atomic"
	"time"
)

// PriorState is what a tracker knows about an offset when its record arrives.
type PriorState uint8

// The prior states.
const (
	// PriorNone: nothing is known. The record must be handled.
	PriorNone PriorState = iota
	// PriorSettled: it was settled before this assignment, although the committed offset does not
	// cover it yet. It must be skipped.
	PriorSettled
	// PriorIntent: an earlier owner may have sent it. It must be handled as a record of unknown
	// outcome.
	PriorIntent
	// PriorResendIntent: an earlier owner may have sent it more than once, and how often is not
	// known. It must be handled as a record of unknown outcome.
	PriorResendIntent
	// PriorSeen: it has already arrived in this assignment. It must be skipped.
	PriorSeen
)

// MayHaveBeenSent reports whether an earlier owner may have sent the record, with an unknown
// outcome.
func (s PriorState) MayHaveBeenSent() bool { return s == PriorIntent || s == PriorResendIntent }

// entryState is the state of an offset, as the metadata encodes it.
type entryState uint8

const (
	statePending entryState = iota // not settled: in flight, released or not read yet
	stateIntent                    // pending, and a call that carries the record may have started
	stateSettled
	stateResendIntent // as stateIntent, and an earlier call with the record may have reached the vendor
)

// Tracker tracks which offsets of one partition are settled during one assignment: the settled
// prefix, what is settled beyond it, and which records have a send intent. A partition that is
// assigned again gets a new tracker. It is safe for concurrent use.
//
// Offsets that are skipped between two consecutive records have no record (because of compaction or
// control records) and count as settled.
type Tracker struct {
	topicID [16]byte
	changed chan<- struct{}

	// disturbed is set once the tracker is draining, fenced or truncated. It avoids locking mu in
	// Draining and Fenced, which are called for every record at every stage.
	disturbed atomic.Bool

	mu       sync.Mutex
	arrived  window
	prior    priorRuns // what is known about offsets that have not arrived
	inFlight flightCounter
	owner    Owner // of a retry partition
	// version counts the changes of what must be committed; confirmed is the version that the
	// broker has confirmed.
	version    uint64
	confirmed  uint64
	draining   bool
	drainUntil time.Time
	fenced     bool
}

// NewTracker returns a tracker that starts at a committed offset, or at another chosen position. It
// signals each change of the pending commit on changed, which needs a buffer of 1 and may be nil.
func NewTracker(topicID [16]byte, start int64, changed chan<- struct{}) *Tracker {
	return &Tracker{
		topicID: topicID, changed: changed, inFlight: newFlightCounter(),
		arrived: window{base: start, next: start, lastEpoch: -1},
	}
}

// RestoreMetadata restores what an earlier owner committed as metadata of the start offset. If the
// metadata is damaged or foreign, the tracker is unchanged and the error is ErrDamagedMetadata or
// ErrForeignMetadata. It must be called before the first Track.
func (t *Tracker) RestoreMetadata(metadata string) error {
	owner, runs, err := decodeMetadata(metadata, t.topicID, t.arrived.base)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owner, t.prior = owner, runs
	return nil
}

// MarkSettled marks offsets as settled by an earlier owner although neither its commit nor the
// metadata covers them, because their copies were found in a retry topic. The offsets must be
// ascending, and at or beyond the start. It must be called before the first Track.
func (t *Tracker) MarkSettled(offsets []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.prior.overlaySettled(offsets)
	t.noteChange()
}

// KnownSettled reports whether an earlier owner is known to have settled an offset that has not
// arrived yet.
func (t *Tracker) KnownSettled(offset int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return offset < t.arrived.base || t.prior.stateAt(offset) == stateSettled
}

// Track adds a record that arrived, and returns its prior state. With PriorSettled and PriorSeen,
// the entry is unchanged; otherwise it is filled and must be ended with Settle or Release. Offsets
// must ascend; an offset that does not is PriorSeen.
func (t *Tracker) Track(entry *Entry, offset int64, epoch int32, at time.Time) PriorState {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset < t.arrived.next {
		return PriorSeen
	}
	t.arrived.next, t.arrived.lastEpoch = offset+1, epoch
	state := t.prior.takeState(offset)
	if state == stateSettled {
		if len(t.arrived.entries) == 0 {
			t.arrived.base = t.arrived.next
			t.noteChange()
		}
		return PriorSettled
	}
	*entry = Entry{tracker: t, offset: offset, timestamp: at.UnixMilli(), epoch: epoch, state: state, inFlight: true}
	t.arrived.appendEntry(entry)
	t.inFlight.addOne()
	switch state {
	case stateIntent:
		return PriorIntent
	case stateResendIntent:
		return PriorResendIntent
	case statePending, stateSettled:
	}
	return PriorNone
}

// noteChange records that the pending commit has changed.
func (t *Tracker) noteChange() {
	t.version++
	if t.fenced || t.changed == nil {
		return
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// endEntry records that an entry is no longer in flight.
func (t *Tracker) endEntry(entry *Entry) {
	if !entry.inFlight {
		panic("offset: an entry was ended twice")
	}
	entry.inFlight = false
	t.inFlight.removeOne()
}

// StartDraining declares that the assignment is ending: calls may run until the given time, and
// nothing may wait any longer.
func (t *Tracker) StartDraining(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining, t.drainUntil = true, until
	t.disturbed.Store(true)
}

// Fence ends the tracker: nothing that settles later is ever committed, although entries may still
// be ended. It returns the final commit, and false if there is nothing new to commit or the tracker
// has already been fenced.
func (t *Tracker) Fence() (Commit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	commit, ok := t.pendingCommit()
	t.fenced, t.draining = true, true
	t.disturbed.Store(true)
	return commit, ok
}

// Truncate records that the log has lost its records from an offset on. Everything known about
// these offsets is forgotten, and records written there later count as new. Entries of lost records
// count as fenced; those below the truncation point are unchanged. epoch is the leader epoch at the
// truncation point, or -1.
func (t *Tracker) Truncate(cut int64, epoch int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.prior.truncateAt(cut)
	if cut >= t.arrived.next {
		return
	}
	t.arrived.truncateAt(cut, epoch)
	t.disturbed.Store(true)
	t.noteChange()
}

// Idle returns a channel that is closed once no record is in flight.
func (t *Tracker) Idle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inFlight.idle
}

// Progress is a snapshot of how far a partition is settled.
type Progress struct {
	// Committable is the offset that may be committed: everything below it is settled.
	Committable int64
	// Next is one past the highest offset that arrived.
	Next int64
	// Unsettled counts the records that arrived and are not settled.
	Unsettled int
	// OldestTimestamp is the timestamp of the first unsettled record, or zero if there is none.
	OldestTimestamp time.Time
}

// Progress returns a snapshot of how far the partition is settled.
func (t *Tracker) Progress() Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := Progress{Committable: t.arrived.base, Next: t.arrived.next, Unsettled: t.arrived.unsettledCount()}
	if len(t.arrived.entries) > 0 {
		p.OldestTimestamp = time.UnixMilli(t.arrived.entries[0].timestamp)
	}
	return p
}

// flightCounter counts the records in flight.
type flightCounter struct {
	count int
	idle  chan struct{} // closed while count is 0
}

func newFlightCounter() flightCounter {
	idle := make(chan struct{})
	close(idle)
	return flightCounter{idle: idle}
}

func (c *flightCounter) addOne() {
	if c.count == 0 {
		c.idle = make(chan struct{})
	}
	c.count++
}

func (c *flightCounter) removeOne() {
	c.count--
	if c.count == 0 {
		close(c.idle)
	}
}
