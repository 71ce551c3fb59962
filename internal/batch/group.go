package batch

import "time"

// envelopeQueue holds the free entries of one envelope: those that nothing before them keeps back.
type envelopeQueue[T any] struct {
	envelopeSize int // bytes of a call besides its items and their commas
	bytes        int // of the free entries' bodies
	urgent       int // free entries that do not wait for the linger
	// arrived has the entries that were free when they came, freed those that became free later. Both ascend by arrival, so that the
	// oldest is on top of one of them, and an entry that nobody kept back costs no more than a slice.
	arrived   fifo[*Entry[T]]
	unblocked heap[*Entry[T]]
}

func newEnvelopeQueue[T any](envelope int) *envelopeQueue[T] {
	g := &envelopeQueue[T]{envelopeSize: envelope}
	g.unblocked.less = func(a, b *Entry[T]) bool { return a.seq < b.seq }
	return g
}

func (g *envelopeQueue[T]) len() int { return g.arrived.len() + g.unblocked.len() }

func (g *envelopeQueue[T]) push(e *Entry[T], late bool) {
	if late {
		g.unblocked.pushItem(e)
	} else {
		g.arrived.pushBack(e)
	}
	g.bytes += e.Size
	if e.urgent {
		g.urgent++
	}
}

// oldest is the free entry that arrived first. The group is not empty.
func (g *envelopeQueue[T]) oldest() *Entry[T] {
	if g.unblockedIsOldest() {
		return g.unblocked.top()
	}
	return g.arrived.front()
}

func (g *envelopeQueue[T]) unblockedIsOldest() bool {
	if g.unblocked.len() == 0 || g.arrived.len() == 0 {
		return g.arrived.len() == 0
	}
	return g.unblocked.top().seq < g.arrived.front().seq
}

func (g *envelopeQueue[T]) pop() *Entry[T] {
	var e *Entry[T]
	if g.unblockedIsOldest() {
		e = g.unblocked.popTop()
	} else {
		e = g.arrived.popFront()
	}
	g.bytes -= e.Size
	if e.urgent {
		g.urgent--
	}
	return e
}

// timeUntilReady is how long the group's next batch still waits; 0 or less: it is ready.
func (g *envelopeQueue[T]) timeUntilReady(now time.Time, items int, caps Limits) time.Duration {
	full := g.len() >= items || g.envelopeSize+g.bytes+g.len()-1 >= caps.Bytes
	if full || g.urgent > 0 {
		return 0
	}
	return caps.Linger - now.Sub(g.oldest().ArrivedAt)
}

// takeBatch removes the next batch: in order of arrival, until the next one would pass a cap. One entry is always taken.
func (g *envelopeQueue[T]) takeBatch(items int, caps Limits) []*Entry[T] {
	out := make([]*Entry[T], 0, min(items, g.len()))
	size := g.envelopeSize
	for g.len() > 0 && len(out) < items {
		next := g.oldest().Size
		if len(out) > 0 {
			next++ // the comma
			if size+next > caps.Bytes {
				break
			}
		}
		size += next
		e := g.pop()
		e.taken = true
		out = append(out, e)
	}
	return out
}
