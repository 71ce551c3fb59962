// Package batch holds the items that wait in one lane and forms the batches that a vendor's call may carry.
//
// It is pure: it knows neither clock nor goroutine nor vendor. Time is handed in, and a Queue belongs to one goroutine.
//
// An entry is in one of four places:
//
//	kept back   an earlier entry of its key or entity is still in the queue or out of it
//	waiting     it was returned and is not due yet
//	free        in its group, may be in the next batch
//	out         taken, and neither returned nor ended
//
// Add puts an entry in a place, Take moves free ones out, Return brings one back, End lets it go and frees those that it kept back.
package batch

import (
	"cmp"
	"maps"
	"math"
	"time"
)

// Forever is the wait of a queue in which nothing becomes ready by itself.
const Forever = time.Duration(math.MaxInt64)

// Limits bound a batch.
type Limits struct {
	// Items is the most items of a batch; at least 1.
	Items int
	// Bytes is the most bytes of a call: envelope, bodies and the commas between them. An item that is larger alone makes a batch of its own.
	Bytes int
	// Linger is how long an item waits for others.
	Linger time.Duration
}

// Entry is one item in the queue. The fields that are exported are set before Add and do not change while the queue has it.
type Entry[T any] struct {
	Value T
	// EnvelopeKey names the envelope. Entries of different groups never share a batch.
	EnvelopeKey string
	// OrderKey is the order key, nil for none. An entry is free once every earlier one of its key has ended.
	OrderKey []byte
	// EntityKey names what the item writes, empty for none. It keeps order as Key does.
	EntityKey string
	// Size is the body's length in bytes.
	Size int
	// ArrivedAt is when it arrived, for the linger.
	ArrivedAt time.Time

	seq       uint64 // place in the order of arrival
	notBefore time.Time
	blockedBy int // chains in which it is not the first
	urgent    bool
	taken     bool
}

// chain is the order of one key or entity: first, then those that it keeps back.
type chain[T any] struct {
	first   *Entry[T]
	blocked fifo[*Entry[T]]
}

// Queue holds what waits in one lane. Not safe for concurrent use.
type Queue[T any] struct {
	limits       Limits
	envelopeSize func(group string) int
	seq          uint64
	count        int // in the queue, without those that are out
	envelopes    map[string]*envelopeQueue[T]
	delayed      heap[*Entry[T]]
	orderChains  map[string]*chain[T]
	entityChains map[string]*chain[T]
	spare        []*Entry[T]
}

// NewQueue is an empty queue. envelope gives the bytes that a call of a group has besides its items and the commas between them.
func NewQueue[T any](caps Limits, envelope func(group string) int) *Queue[T] {
	q := &Queue[T]{limits: caps, envelopeSize: envelope, envelopes: map[string]*envelopeQueue[T]{}, orderChains: map[string]*chain[T]{}, entityChains: map[string]*chain[T]{}}
	q.delayed.less = func(a, b *Entry[T]) bool {
		return cmp.Or(a.notBefore.Compare(b.notBefore), cmp.Compare(a.seq, b.seq)) < 0
	}
	return q
}

// Len counts what is in the queue; what is out does not count.
func (q *Queue[T]) Len() int { return q.count }

// Add appends an entry.
func (q *Queue[T]) Add(e Entry[T]) {
	own := q.newEntry()
	*own = e
	q.seq++
	own.seq, own.blockedBy, own.taken = q.seq, 0, false
	q.count++
	q.place(own)
}

func (q *Queue[T]) newEntry() *Entry[T] {
	if n := len(q.spare); n > 0 {
		e := q.spare[n-1]
		q.spare = q.spare[:n-1]
		return e
	}
	return new(Entry[T])
}

// place puts an entry behind the earlier ones of its key and entity, or sets it free.
func (q *Queue[T]) place(e *Entry[T]) {
	e.blockedBy = 0
	if e.OrderKey != nil {
		q.joinChain(q.orderChains, string(e.OrderKey), e)
	}
	if e.EntityKey != "" {
		q.joinChain(q.entityChains, e.EntityKey, e)
	}
	switch {
	case e.blockedBy > 0:
	case !e.notBefore.IsZero():
		q.delayed.pushItem(e)
	default:
		q.envelopeFor(e.EnvelopeKey).push(e, false)
	}
}

func (q *Queue[T]) joinChain(chains map[string]*chain[T], name string, e *Entry[T]) {
	if c := chains[name]; c != nil {
		c.blocked.pushBack(e)
		e.blockedBy++
		return
	}
	chains[name] = &chain[T]{first: e}
}

// maxIdleEnvelopes bounds the groups that are remembered while they are empty.
const maxIdleEnvelopes = 16

func (q *Queue[T]) envelopeFor(name string) *envelopeQueue[T] {
	if g := q.envelopes[name]; g != nil {
		return g
	}
	if len(q.envelopes) >= maxIdleEnvelopes {
		maps.DeleteFunc(q.envelopes, func(_ string, g *envelopeQueue[T]) bool { return g.len() == 0 })
	}
	g := newEnvelopeQueue[T](q.envelopeSize(name))
	q.envelopes[name] = g
	return g
}

// NextReady tells whether a batch of at most limit items may be taken now, or after which wait one may if nothing else is added: Forever where none will.
func (q *Queue[T]) NextReady(now time.Time, limit int) (bool, time.Duration) {
	g, wait := q.nextEnvelope(now, limit)
	return g != nil, wait
}

// TakeBatch removes the next batch of at most limit items, nil where none is ready. Of several groups that are ready, the one with the oldest
// item is taken. What is taken keeps its key and entity until Return or End.
func (q *Queue[T]) TakeBatch(now time.Time, limit int) []*Entry[T] {
	g, _ := q.nextEnvelope(now, limit)
	if g == nil {
		return nil
	}
	out := g.takeBatch(q.itemLimit(limit), q.limits)
	q.count -= len(out)
	return out
}

func (q *Queue[T]) itemLimit(limit int) int { return max(1, min(limit, q.limits.Items)) }

func (q *Queue[T]) nextEnvelope(now time.Time, limit int) (*envelopeQueue[T], time.Duration) {
	q.releaseDue(now)
	wait := Forever
	if q.delayed.len() > 0 {
		wait = q.delayed.top().notBefore.Sub(now)
	}
	var ready *envelopeQueue[T]
	for _, g := range q.envelopes {
		if g.len() == 0 {
			continue
		}
		due := g.timeUntilReady(now, q.itemLimit(limit), q.limits)
		if due > 0 {
			wait = min(wait, due)
		} else if ready == nil || g.oldest().seq < ready.oldest().seq {
			ready = g
		}
	}
	if ready != nil {
		return ready, 0
	}
	return nil, wait
}

// releaseDue sets free what waited and is due.
func (q *Queue[T]) releaseDue(now time.Time) {
	for q.delayed.len() > 0 && !q.delayed.top().notBefore.After(now) {
		e := q.delayed.popTop()
		e.notBefore = time.Time{}
		q.envelopeFor(e.EnvelopeKey).push(e, true)
	}
}

// Return brings back an entry that was taken; it keeps its place before the later ones of its key and entity, and is not taken before the time
// given (zero: at once).
func (q *Queue[T]) Return(e *Entry[T], notBefore time.Time) {
	e.taken, e.notBefore = false, notBefore
	q.count++
	if notBefore.IsZero() {
		q.envelopeFor(e.EnvelopeKey).push(e, true)
		return
	}
	q.delayed.pushItem(e)
}

// Finish lets go of an entry that was taken and frees the next of its key and entity. The entry must not be used after it.
func (q *Queue[T]) Finish(e *Entry[T]) {
	if e.OrderKey != nil {
		q.leaveChain(q.orderChains, string(e.OrderKey))
	}
	if e.EntityKey != "" {
		q.leaveChain(q.entityChains, e.EntityKey)
	}
	q.recycle(e)
}

func (q *Queue[T]) leaveChain(chains map[string]*chain[T], name string) {
	c := chains[name]
	if c.blocked.len() == 0 {
		delete(chains, name)
		return
	}
	c.first = c.blocked.popFront()
	c.first.blockedBy--
	if c.first.blockedBy == 0 {
		q.envelopeFor(c.first.EnvelopeKey).push(c.first, true)
	}
}

func (q *Queue[T]) recycle(e *Entry[T]) {
	*e = Entry[T]{}
	q.spare = append(q.spare, e)
}
