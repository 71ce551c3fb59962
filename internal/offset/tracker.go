package offset

import (
	"sync"
	"sync/atomic"
	"time"
)

// Fate is what a tracker knows of an offset when its record arrives.
type Fate uint8

// The fates.
const (
	// Fresh: nothing is known of it; it is to be handled.
	Fresh Fate = iota
	// Settled: it was settled before this assignment, though the commit does not cover it yet; it is to be skipped.
	Settled
	// Sent: an earlier owner sent it or was about to, and what came of it is not known; it is to be handled as of unknown outcome.
	Sent
	// Seen: this assignment was given it before; it is to be skipped.
	Seen
)

type state uint8

const (
	pending state = iota // handed out, or dropped: not settled
	sent                 // as pending, and a call that carries it may have started
	done                 // settled
)

// Entry is one record's place in its tracker. The zero Entry belongs to no tracker; Track fills it.
type Entry struct {
	t      *Tracker
	offset int64
	at     int64 // the record's timestamp in ms, for the age of the oldest
	epoch  int32
	state  state
	held   bool // handed out and neither done nor dropped
}

// Tracker knows which offsets of one partition are settled, during one assignment of it: the contiguous settled prefix, what is settled
// beyond it, and what may have been sent. It belongs to one assignment; a partition that comes back gets a new one. Safe for concurrent use.
//
// Offsets between two records that arrive one after the other do not exist in the log (compaction, control records) and count as settled.
type Tracker struct {
	topicID [16]byte
	changed chan<- struct{}

	ending atomic.Bool // draining or fenced: what every step asks before each record, without the mutex

	mu    sync.Mutex
	base  int64 // every offset below it is settled
	epoch int32 // leader epoch of the last record below base; -1: none known
	next  int64 // one past the highest offset that arrived
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
	t := &Tracker{topicID: topicID, changed: changed, base: start, next: start, epoch: -1, idle: make(chan struct{})}
	close(t.idle)
	return t
}

// Restore takes over what an earlier owner committed beside the offset. Metadata that is not this topic's, not this offset's, damaged or of
// another version is ignored, with an error that says which; the tracker is then as new. Call it before the first Track.
func (t *Tracker) Restore(metadata string) error {
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

// Track takes a record that arrived and says what is known of it. With Fresh and Sent, e is filled and must be ended with Done or Drop; otherwise e
// stays as it was. Offsets ascend; one that does not is Seen.
func (t *Tracker) Track(e *Entry, offset int64, epoch int32, at time.Time) Fate {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset < t.next {
		return Seen
	}
	t.next = offset + 1
	known := t.pass(offset)
	if known == done {
		if len(t.open) == 0 {
			t.advance(epoch)
		}
		return Settled
	}
	*e = Entry{t: t, offset: offset, at: at.UnixMilli(), epoch: epoch, state: known, held: true}
	if len(t.open) == 0 {
		t.base = offset
	}
	t.open = append(t.open, e)
	t.hold()
	if known == sent {
		return Sent
	}
	return Fresh
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

// Done says that the record is settled. It may be called by any goroutine, once for an entry, and not after Drop.
func (e *Entry) Done() {
	t := e.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(e)
	e.state = done
	t.settled++
	if t.open[0] == e {
		t.popSettled()
	} else if t.settled > 64 && t.settled > len(t.open)/2 {
		t.compact()
	}
	t.change()
}

// popSettled moves the prefix over the settled head.
func (t *Tracker) popSettled() {
	n := 0
	for n < len(t.open) && t.open[n].state == done {
		t.epoch = t.open[n].epoch
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
func (t *Tracker) advance(epoch int32) {
	t.base, t.epoch = t.next, epoch
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

// Drop says that the record was let go unsettled: it stays uncommitted, and is no longer waited for.
func (e *Entry) Drop() {
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	e.t.release(e)
}

// MarkSent says that a call carrying the record is about to start, so that its outcome is unknown until it is done. It returns the version whose
// commit says so; Committed tells when that is.
func (e *Entry) MarkSent() uint64 { return e.mark(sent) }

// MarkUnsent takes MarkSent back: the vendor did not act on the call.
func (e *Entry) MarkUnsent() { e.mark(pending) }

func (e *Entry) mark(s state) uint64 {
	t := e.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.state != done && e.state != s {
		e.state = s
		t.change()
	}
	return t.version
}

// Covered tells whether the commit of a version was confirmed, or can never be because the assignment has ended.
func (e *Entry) Covered(version uint64) bool {
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	return e.t.committed >= version || e.t.fenced
}

// Draining tells whether the assignment is ending, and until when a call may still run.
func (e *Entry) Draining() (time.Time, bool) {
	if !e.t.ending.Load() {
		return time.Time{}, false
	}
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	return e.t.until, e.t.draining
}

// Fenced tells whether the assignment has ended.
func (e *Entry) Fenced() bool {
	if !e.t.ending.Load() {
		return false
	}
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	return e.t.fenced
}

// Drain says that the assignment is ending: calls may run until then, and nothing waits any longer.
func (t *Tracker) Drain(until time.Time) {
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

// Idle is closed once no entry is held.
func (t *Tracker) Idle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.idle
}

// Standing is where a partition stands.
type Standing struct {
	// Committable is the offset that may be committed: everything below it is settled.
	Committable int64
	// Next is one past the highest offset that arrived.
	Next int64
	// Unsettled counts the records that arrived and are not settled.
	Unsettled int
	// Oldest is the timestamp of the first unsettled record; zero where there is none.
	Oldest time.Time
}

// Standing tells where the partition stands.
func (t *Tracker) Standing() Standing {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Standing{Committable: t.base, Next: t.next, Unsettled: len(t.open) - t.settled}
	if len(t.open) > 0 {
		s.Oldest = time.UnixMilli(t.open[0].at)
	}
	return s
}

// Commit is what to commit for a partition.
type Commit struct {
	Offset   int64
	Epoch    int32
	Metadata string
	Version  uint64
}

// Pending gives what to commit, and false when the last confirmed commit says the same or the tracker is fenced.
func (t *Tracker) Pending() (Commit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pending()
}

func (t *Tracker) pending() (Commit, bool) {
	if t.fenced || t.committed == t.version {
		return Commit{}, false
	}
	return Commit{Offset: t.base, Epoch: t.epoch, Metadata: encodeMetadata(t.topicID, t.base, t.runs()), Version: t.version}, true
}

// Confirm says that the broker has taken the commit of a version.
func (t *Tracker) Confirm(version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committed = max(t.committed, version)
}

// Recommit says that the broker may not have what it confirmed last, for an older commit may have come after it: it is to be committed once more.
func (t *Tracker) Recommit() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change()
}

// runs is what the offsets from base on are, without the tail that nothing is known of.
func (t *Tracker) runs() []run {
	var out []run
	at := t.base
	for _, e := range t.open {
		if e.state == done {
			continue
		}
		out = appendRun(out, run{at, e.offset, done})
		out = appendRun(out, run{e.offset, e.offset + 1, e.state})
		at = e.offset + 1
	}
	out = appendRun(out, run{at, t.next, done})
	at = t.next
	for _, r := range t.ahead {
		out = appendRun(out, run{at, r.from, pending})
		out = appendRun(out, r)
		at = r.to
	}
	if n := len(out); n > 0 && out[n-1].state == pending {
		out = out[:n-1]
	}
	return out
}

// Room is about how many more records may be tracked so that the metadata still fits, should they lie close together in the log. Fits decides.
func (t *Tracker) Room() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	unsettled := len(t.open) - t.settled
	if unsettled == 0 {
		return maxMapped
	}
	byRuns := (maxRunBytes-t.aheadBytes()-worstRun)/worstEntry - unsettled
	if t.aheadEnd()-t.base > int64(maxMapped) {
		return byRuns
	}
	return max(maxMapped-int(t.next-t.base), byRuns)
}

// Fits tells whether so many records may be tracked from this offset on, the first of them there, so that the metadata fits whatever is settled
// and in whatever order. Where nothing is unsettled one record always fits, else a partition whose metadata is full would never go on.
func (t *Tracker) Fits(offset int64, records int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	unsettled := len(t.open) - t.settled
	if unsettled == 0 {
		return true
	}
	if max(offset+int64(records), t.aheadEnd())-t.base <= int64(maxMapped) {
		return true
	}
	return (unsettled+records)*worstEntry+worstRun+t.aheadBytes() <= maxRunBytes
}

// aheadEnd is one past the last offset that anything is known of.
func (t *Tracker) aheadEnd() int64 {
	if n := len(t.ahead); n > 0 {
		return t.ahead[n-1].to
	}
	return t.next
}

// aheadBytes is what the runs ahead of what arrived take. What is too much for the metadata by itself counts as nothing: the encoding cuts it.
func (t *Tracker) aheadBytes() int {
	n, at := 0, t.next
	for _, r := range t.ahead {
		n += runSize(r.from-at) + runSize(r.to-r.from)
		at = r.to
	}
	if n > maxRunBytes {
		return 0
	}
	return n
}
