// Package batch queues the items of one lane, and forms the batches that a call may carry.
//
// The package is pure: it reads no clock and starts no goroutine. Callers pass the time, and a
// Queue belongs to one goroutine.
//
// An entry is in one of four states:
//
//	blocked  an earlier entry of its order key or entity key has not finished
//	delayed  it was returned, and its delay has not elapsed
//	free     it may be in the next batch of its envelope
//	taken    it was taken, and neither returned nor finished
//
// Add adds an entry, TakeBatch takes free ones, Return puts a taken one back, and Finish removes a
// taken one and unblocks those that it blocked.
package batch

import (
	"cmp"
	"maps"
	"math"
	"time"
)

// Forever is the wait if nothing will become ready unless an entry is added, returned or finished.
const Forever = time.Duration(math.MaxInt64)

// Limits bound a batch.
type Limits struct {
	// Items is the maximum number of items in a batch, at least 1.
	Items int
	// Bytes is the maximum size of a call in bytes: the envelope, the bodies and the commas between
	// them. An item that exceeds it by itself forms a batch of its own.
	Bytes int
	// Linger is how long an item waits for other items.
	Linger time.Duration
}

// Entry is one item in the queue. Its exported fields must be set before Add, and must not change
// while it is in the queue.
type Entry[T any] struct {
	Value T
	// EnvelopeKey names the envelope. Entries with different envelope keys never share a batch.
	EnvelopeKey string
	// OrderKey is the record's Kafka key where order is kept, otherwise nil. An entry is blocked
	// until every earlier entry with its order key has finished.
	OrderKey []byte
	// EntityKey identifies what the item writes, or is empty. It blocks later entries as OrderKey
	// does.
	EntityKey string
	// Size is the body's length in bytes.
	Size int
	// ArrivedAt is the time at which the item's linger starts.
	ArrivedAt time.Time

	seq       uint64 // position in the order of arrival
	notBefore time.Time
	blockedBy int // number of chains in which it is not the first
	urgent    bool
	taken     bool
}

// chain has the unfinished entries of one order key or entity key: the first one, and those that it
// blocks.
type chain[T any] struct {
	first   *Entry[T]
	blocked fifo[*Entry[T]]
}

// Queue is the batch queue of one lane. It is not safe for concurrent use.
type Queue[T any] struct {
	limits       Limits
	envelopeSize func(envelopeKey string) int
	lastSeq      uint64
	count        int // entries that are not taken
	envelopes    map[string]*envelopeQueue[T]
	delayed      heap[*Entry[T]]
	orderChains  map[string]*chain[T]
	entityChains map[string]*chain[T]
	spare        []*Entry[T] // reused
}

// NewQueue returns an empty queue. envelopeSize returns the size in bytes of a call without its
// items and the commas between them.
func NewQueue[T any](limits Limits, envelopeSize func(envelopeKey string) int) *Queue[T] {
	q := &Queue[T]{
		limits: limits, envelopeSize: envelopeSize, envelopes: map[string]*envelopeQueue[T]{},
		orderChains: map[string]*chain[T]{}, entityChains: map[string]*chain[T]{},
	}
	q.delayed.less = func(a, b *Entry[T]) bool {
		return cmp.Or(a.notBefore.Compare(b.notBefore), cmp.Compare(a.seq, b.seq)) < 0
	}
	return q
}

// Len returns the number of entries that are not taken.
func (q *Queue[T]) Len() int { return q.count }

// Add appends an entry.
func (q *Queue[T]) Add(entry Entry[T]) {
	added := q.newEntry()
	*added = entry
	q.lastSeq++
	added.seq, added.blockedBy, added.taken = q.lastSeq, 0, false
	q.count++
	q.placeEntry(added)
}

func (q *Queue[T]) newEntry() *Entry[T] {
	if n := len(q.spare); n > 0 {
		entry := q.spare[n-1]
		q.spare = q.spare[:n-1]
		return entry
	}
	return new(Entry[T])
}

// placeEntry blocks, delays or frees an entry.
func (q *Queue[T]) placeEntry(entry *Entry[T]) {
	entry.blockedBy = 0
	if entry.OrderKey != nil {
		joinChain(q.orderChains, string(entry.OrderKey), entry)
	}
	if entry.EntityKey != "" {
		joinChain(q.entityChains, entry.EntityKey, entry)
	}
	switch {
	case entry.blockedBy > 0:
	case !entry.notBefore.IsZero():
		q.delayed.pushItem(entry)
	default:
		q.envelopeFor(entry.EnvelopeKey).addArrived(entry)
	}
}

func joinChain[T any](chains map[string]*chain[T], key string, entry *Entry[T]) {
	if c := chains[key]; c != nil {
		c.blocked.pushBack(entry)
		entry.blockedBy++
		return
	}
	chains[key] = &chain[T]{first: entry}
}

// maxIdleEnvelopes is the number of envelopes above which empty ones are removed.
const maxIdleEnvelopes = 16

func (q *Queue[T]) envelopeFor(key string) *envelopeQueue[T] {
	if envelope := q.envelopes[key]; envelope != nil {
		return envelope
	}
	if len(q.envelopes) >= maxIdleEnvelopes {
		maps.DeleteFunc(q.envelopes, func(_ string, envelope *envelopeQueue[T]) bool { return envelope.len() == 0 })
	}
	envelope := newEnvelopeQueue[T](q.envelopeSize(key))
	q.envelopes[key] = envelope
	return envelope
}

// NextReady reports whether a batch of at most limit items can be taken now. If not, it returns the
// time until one can, provided that the queue does not change, or Forever.
func (q *Queue[T]) NextReady(now time.Time, limit int) (ready bool, wait time.Duration) {
	envelope, wait := q.nextEnvelope(now, limit)
	return envelope != nil, wait
}

// TakeBatch removes and returns the next batch of at most limit items, or nil if none is ready. If
// several envelopes are ready, it takes from the one with the oldest item. Until Finish, the
// entries block others as before.
func (q *Queue[T]) TakeBatch(now time.Time, limit int) []*Entry[T] {
	envelope, _ := q.nextEnvelope(now, limit)
	if envelope == nil {
		return nil
	}
	batch := envelope.takeBatch(q.itemLimit(limit), q.limits)
	q.count -= len(batch)
	return batch
}

func (q *Queue[T]) itemLimit(limit int) int { return max(1, min(limit, q.limits.Items)) }

// nextEnvelope returns the envelope of the next batch, or nil and the time until one is ready.
func (q *Queue[T]) nextEnvelope(now time.Time, limit int) (*envelopeQueue[T], time.Duration) {
	q.freeDelayed(now)
	wait := Forever
	if q.delayed.len() > 0 {
		wait = q.delayed.top().notBefore.Sub(now)
	}
	var ready *envelopeQueue[T]
	for _, envelope := range q.envelopes {
		if envelope.len() == 0 {
			continue
		}
		remaining := envelope.timeUntilReady(now, q.itemLimit(limit), q.limits)
		if remaining > 0 {
			wait = min(wait, remaining)
		} else if ready == nil || envelope.oldestEntry().seq < ready.oldestEntry().seq {
			ready = envelope
		}
	}
	if ready != nil {
		return ready, 0
	}
	return nil, wait
}

// freeDelayed frees the entries whose delay has elapsed.
func (q *Queue[T]) freeDelayed(now time.Time) {
	for q.delayed.len() > 0 && !q.delayed.top().notBefore.After(now) {
		entry := q.delayed.popTop()
		entry.notBefore = time.Time{}
		q.envelopeFor(entry.EnvelopeKey).addUnblocked(entry)
	}
}

// Return puts an entry that was taken back into the queue. It still blocks later entries with its
// order key or entity key, and is not taken again before notBefore. The zero time means no delay.
func (q *Queue[T]) Return(entry *Entry[T], notBefore time.Time) {
	entry.taken, entry.notBefore = false, notBefore
	q.count++
	if notBefore.IsZero() {
		q.envelopeFor(entry.EnvelopeKey).addUnblocked(entry)
		return
	}
	q.delayed.pushItem(entry)
}

// Finish removes an entry that was taken, and unblocks the next one with its order key or entity
// key. The entry must not be used afterwards.
func (q *Queue[T]) Finish(entry *Entry[T]) {
	if entry.OrderKey != nil {
		q.leaveChain(q.orderChains, string(entry.OrderKey))
	}
	if entry.EntityKey != "" {
		q.leaveChain(q.entityChains, entry.EntityKey)
	}
	q.recycleEntry(entry)
}

// leaveChain removes the first entry of a chain.
func (q *Queue[T]) leaveChain(chains map[string]*chain[T], key string) {
	c := chains[key]
	if c.blocked.len() == 0 {
		delete(chains, key)
		return
	}
	c.first = c.blocked.popFront()
	c.first.blockedBy--
	if c.first.blockedBy == 0 {
		q.envelopeFor(c.first.EnvelopeKey).addUnblocked(c.first)
	}
}

func (q *Queue[T]) recycleEntry(entry *Entry[T]) {
	*entry = Entry[T]{}
	q.spare = append(q.spare, entry)
}
