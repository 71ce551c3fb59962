package batch

import (
	"cmp"
	"slices"
	"time"
)

// IsDelayed tells whether the entry was returned with a time that has not come.
func (e *Entry[T]) IsDelayed(now time.Time) bool { return e.notBefore.After(now) }

// SkipLinger ends the linger for the entries that match: a batch that may hold one of them is ready at once.
func (q *Queue[T]) SkipLinger(match func(*Entry[T]) bool) {
	q.rebuild(func(e *Entry[T]) bool {
		e.urgent = e.urgent || match(e)
		return true
	})
}

// RemoveMatching takes out the entries that match and gives their values; those that are out are not asked. Entries are asked in order of arrival.
func (q *Queue[T]) RemoveMatching(match func(*Entry[T]) bool) []T {
	var removed []T
	q.rebuild(func(e *Entry[T]) bool {
		if !match(e) {
			return true
		}
		removed = append(removed, e.Value)
		return false
	})
	return removed
}

// rebuild places anew the entries that are kept. It costs a pass over the whole queue.
func (q *Queue[T]) rebuild(keep func(*Entry[T]) bool) {
	all := q.entriesInOrder()
	clear(q.envelopes)
	q.delayed.items, q.count = nil, 0
	resetChains(q.orderChains)
	resetChains(q.entityChains)
	for _, e := range all {
		if !keep(e) {
			q.recycle(e)
			continue
		}
		q.count++
		q.place(e)
	}
}

// entriesInOrder is what is in the queue, in order of arrival.
func (q *Queue[T]) entriesInOrder() []*Entry[T] {
	out := make([]*Entry[T], 0, q.count)
	out = append(out, q.delayed.items...)
	for _, g := range q.envelopes {
		out = append(out, g.arrived.items[g.arrived.head:]...)
		out = append(out, g.unblocked.items...)
	}
	for _, c := range q.orderChains {
		out = append(out, c.blocked.items[c.blocked.head:]...)
	}
	for _, c := range q.entityChains {
		out = append(out, c.blocked.items[c.blocked.head:]...)
	}
	slices.SortFunc(out, func(a, b *Entry[T]) int { return cmp.Compare(a.seq, b.seq) })
	return slices.Compact(out) // one kept back by both its key and its entity stood there twice
}

// resetChains leaves of the chains only the firsts that are out: what they keep back is linked anew.
func resetChains[T any](chains map[string]*chain[T]) {
	for name, c := range chains {
		if !c.first.taken {
			delete(chains, name)
			continue
		}
		c.blocked = fifo[*Entry[T]]{}
	}
}
