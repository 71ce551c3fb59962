package batch

import "time"

// group holds the free entries of one envelope: those that nothing before them keeps back.
type group[T any] struct {
	envelope int // bytes of a call besides its items and their commas
	bytes    int // of the free entries' bodies
	hasty    int // free entries that do not wait for the linger
	// arrived has the entries that were free when they came, freed those that became free later. Both ascend by arrival, so that the
	// oldest is on top of one of them, and an entry that nobody kept back costs no more than a slice.
	arrived fifo[*Entry[T]]
	freed   heap[*Entry[T]]
}

func newGroup[T any](envelope int) *group[T] {
	g := &group[T]{envelope: envelope}
	g.freed.less = func(a, b *Entry[T]) bool { return a.seq < b.seq }
	return g
}

func (g *group[T]) len() int { return g.arrived.len() + g.freed.len() }

func (g *group[T]) push(e *Entry[T], late bool) {
	if late {
		g.freed.push(e)
	} else {
		g.arrived.push(e)
	}
	g.bytes += e.Size
	if e.hasty {
		g.hasty++
	}
}

// oldest is the free entry that arrived first. The group is not empty.
func (g *group[T]) oldest() *Entry[T] {
	if g.freedFirst() {
		return g.freed.top()
	}
	return g.arrived.front()
}

func (g *group[T]) freedFirst() bool {
	if g.freed.len() == 0 || g.arrived.len() == 0 {
		return g.arrived.len() == 0
	}
	return g.freed.top().seq < g.arrived.front().seq
}

func (g *group[T]) pop() *Entry[T] {
	var e *Entry[T]
	if g.freedFirst() {
		e = g.freed.pop()
	} else {
		e = g.arrived.pop()
	}
	g.bytes -= e.Size
	if e.hasty {
		g.hasty--
	}
	return e
}

// due is how long the group's next batch still waits; 0 or less: it is ready.
func (g *group[T]) due(now time.Time, items int, caps Limits) time.Duration {
	full := g.len() >= items || g.envelope+g.bytes+g.len()-1 >= caps.Bytes
	if full || g.hasty > 0 {
		return 0
	}
	return caps.Linger - now.Sub(g.oldest().At)
}

// take removes the next batch: in order of arrival, until the next one would pass a cap. One entry is always taken.
func (g *group[T]) take(items int, caps Limits) []*Entry[T] {
	out := make([]*Entry[T], 0, min(items, g.len()))
	size := g.envelope
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
		e.out = true
		out = append(out, e)
	}
	return out
}
