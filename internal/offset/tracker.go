package offset

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// PriorState is what a tracker knows of an offset when its record arrives.
type PriorState uint8

// The fates.
const (
	// PriorNone: nothing is known of it; it is to be handled.
	PriorNone PriorState = iota
	// PriorSettled: it was settled before this assignment, though the commit does not cover it yet; it is to be skipped.
	PriorSettled
	// PriorIntent: an earlier owner sent it or was about to, and what came of it is not known; it is to be handled as of unknown outcome.
	PriorIntent
	// PriorSeen: this assignment was given it before; it is to be skipped.
	PriorSeen
)

type state uint8

const (
	pending state = iota // handed out, or dropped: not settled
	sent                 // as pending, and a call that carries it may have started
	done                 // settled
)

// Tracker knows which offsets of one partition are settled, during one assignment of it: the contiguous settled prefix, what is settled
// beyond it, and what may have been sent. It belongs to one assignment; a partition that comes back gets a new one. Safe for concurrent use.
//
// Offsets between two records that arrive one after the other do not exist in the log (compaction, control records) and count as settled.
type Tracker struct {
	topicID [16]byte
	changed chan<- struct{}

	ending atomic.Bool // draining, fenced or truncated: what every step asks before each record, without the mutex

	mu   sync.Mutex
	base int64 // every offset below it is settled
	next int64 // one past the highest offset that arrived
	last int32 // leader epoch of the record that arrived last; -1: none known
	// open are the entries that arrived, ascending, from the first that is not settled; settled ones in between go when they are the most.
	open      []*Entry
	settled   int // how many of open are done
	ahead     []run
	held      int
	idle      chan struct{} // closed while held is 0
	version   uint64
	committed uint64
	draining  bool
	until     time.Time
	fenced    bool
}

// NewTracker starts at a committed offset (or the position taken where there is none). Every change of what should be committed is
// signalled on changed, which must have a buffer of at least 1 and is never blocked on; nil: no signals.
func NewTracker(topicID [16]byte, start int64, changed chan<- struct{}) *Tracker {
	t := &Tracker{topicID: topicID, changed: changed, base: start, next: start, last: -1, idle: make(chan struct{})}
	close(t.idle)
	return t
}

// RestoreMetadata takes over what an earlier owner committed beside the offset. Metadata that is not this topic's, not this offset's, damaged or of
// another version is ignored, with an error that says which; the tracker is then as new. Call it before the first Track.
func (t *Tracker) RestoreMetadata(metadata string) error {
	runs, err := decodeMetadata(metadata, t.topicID, t.base)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ahead = runs
	return nil
}

// MarkSettled says that these offsets, ascending and at or past the start, were settled by an earlier owner although neither its commit nor
// its metadata said so: their copies were found in a retry topic. Call it before the first Track.
func (t *Tracker) MarkSettled(offsets []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ahead = overlaySettled(t.ahead, offsets)
	t.change()
}

// KnownSettled reports whether an offset was settled by an earlier owner, as far as is known. Call it
// before the first Track.
func (t *Tracker) KnownSettled(offset int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.ahead), func(i int) bool { return t.ahead[i].to > offset })
	return offset < t.base || i < len(t.ahead) && t.ahead[i].from <= offset && t.ahead[i].state == done
}

// Track takes a record that arrived and says what is known of it. With Fresh and Sent, e is filled and must be ended with Done or Drop; otherwise e
// stays as it was. Offsets ascend; one that does not is Seen.
func (t *Tracker) Track(e *Entry, offset int64, epoch int32, at time.Time) PriorState {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset < t.next {
		return PriorSeen
	}
	t.next, t.last = offset+1, epoch
	known := t.pass(offset)
	if known == done {
		if len(t.open) == 0 {
			t.advance()
		}
		return PriorSettled
	}
	*e = Entry{t: t, offset: offset, at: at.UnixMilli(), epoch: epoch, state: known, held: true}
	if len(t.open) == 0 {
		t.base = offset
	}
	t.open = append(t.open, e)
	t.hold()
	if known == sent {
		return PriorIntent
	}
	return PriorNone
}

// pass drops what was known of offsets up to this one, and gives what was known of it.
func (t *Tracker) pass(offset int64) state {
	for len(t.ahead) > 0 && t.ahead[0].to <= offset {
		t.ahead = t.ahead[1:]
	}
	if len(t.ahead) == 0 || offset < t.ahead[0].from {
		return pending
	}
	known := t.ahead[0].state
	t.ahead[0].from = offset + 1
	if t.ahead[0].from == t.ahead[0].to {
		t.ahead = t.ahead[1:]
	}
	return known
}

func (t *Tracker) hold() {
	if t.held == 0 {
		t.idle = make(chan struct{})
	}
	t.held++
}

func (t *Tracker) release(e *Entry) {
	if !e.held {
		panic("offset: an entry was ended twice")
	}
	e.held = false
	t.held--
	if t.held == 0 {
		close(t.idle)
	}
}

// change notes that there is something to commit.
func (t *Tracker) change() {
	t.version++
	if t.fenced || t.changed == nil {
		return
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// popSettled moves the prefix over the settled head.
func (t *Tracker) popSettled() {
	n := 0
	for n < len(t.open) && t.open[n].state == done {
		t.open[n] = nil
		n++
	}
	t.open, t.settled = t.open[n:], t.settled-n
	if len(t.open) == 0 {
		t.open = nil
		t.base = t.next
		return
	}
	t.base = t.open[0].offset
}

// advance moves the prefix over records that needed no entry.
func (t *Tracker) advance() {
	t.base = t.next
	t.change()
}

// compact forgets settled entries in the middle: an offset below next that has no entry is settled.
func (t *Tracker) compact() {
	kept := make([]*Entry, 0, len(t.open)-t.settled)
	for _, e := range t.open {
		if e.state != done {
			kept = append(kept, e)
		}
	}
	t.open, t.settled = kept, 0
}

// StartDraining says that the assignment is ending: calls may run until then, and nothing waits any longer.
func (t *Tracker) StartDraining(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining, t.until = true, until
	t.ending.Store(true)
}

// Fence ends the tracker: nothing that happens after it is ever committed. Entries may still be ended. It gives the last commit, and
// false where there is nothing new to commit or the tracker was fenced before.
func (t *Tracker) Fence() (Commit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.pending()
	t.fenced, t.draining = true, true
	t.ending.Store(true)
	return c, ok
}

// Truncate says that the log holds nothing of what it held from this offset on: what is known of offsets there is forgotten, and whatever is written there
// arrives as new. Entries of records that are gone count as fenced; those below stay as they are.
func (t *Tracker) Truncate(to int64, epoch int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := len(t.ahead); n > 0 && t.ahead[n-1].to > to; n-- {
		if t.ahead[n-1].to = to; t.ahead[n-1].from >= to {
			t.ahead = t.ahead[:n-1]
		}
	}
	if to >= t.next {
		return
	}
	n := len(t.open)
	for ; n > 0 && t.open[n-1].offset >= to; n-- {
		t.open[n-1].gone = true
		if t.open[n-1].state == done {
			t.settled--
		}
	}
	clear(t.open[n:])
	t.open, t.next, t.last = t.open[:n], to, epoch
	t.ending.Store(true)
	t.popSettled()
	t.change()
}

// Idle is closed once no entry is held.
func (t *Tracker) Idle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.idle
}

// Progress is where a partition stands.
type Progress struct {
	// Committable is the offset that may be committed: everything below it is settled.
	Committable int64
	// Next is one past the highest offset that arrived.
	Next int64
	// Unsettled counts the records that arrived and are not settled.
	Unsettled int
	// OldestTimestamp is the timestamp of the first unsettled record; zero where there is none.
	OldestTimestamp time.Time
}

// Progress tells where the partition stands.
func (t *Tracker) Progress() Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Progress{Committable: t.base, Next: t.next, Unsettled: len(t.open) - t.settled}
	if len(t.open) > 0 {
		s.OldestTimestamp = time.UnixMilli(t.open[0].at)
	}
	return s
}
