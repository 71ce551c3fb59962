package batch

import (
	"cmp"
	"slices"
	"time"
)

// Waiting tells whether the entry was returned with a time that has not come.
func (e *Entry[T]) Waiting(now time.Time) bool { return e.notBefore.After(now) }

// SkipLinger ends the linger for the entries that match: a batch that may hold one of them is ready at once.
func (q *Queue[T]) SkipLinger(match func(*Entry[T]) bool) {
	q.rebuild(func(e *Entry[T]) bool {
		e.hasty = e.hasty || match(e)
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
	all := q.all()
	clear(q.groups)
	q.waiting.items, q.count = nil, 0
	reset(q.keys)
	reset(q.entities)
	for _, e := range all {
		if !keep(e) {
			q.recycle(e)
			continue
		}
		q.count++
		q.link(e)
	}
}

// all is what is in the queue, in order of arrival.
func (q *Queue[T]) all() []*Entry[T] {
	out := make([]*Entry[T], 0, q.count)
	out = append(out, q.waiting.items...)
	for _, g := range q.groups {
		out = append(out, g.arrived.items[g.arrived.head:]...)
		out = append(out, g.freed.items...)
	}
	for _, c := range q.keys {
		out = append(out, c.kept.items[c.kept.head:]...)
	}
	for _, c := range q.entities {
		out = append(out, c.kept.items[c.kept.head:]...)
	}
	slices.SortFunc(out, func(a, b *Entry[T]) int { return cmp.Compare(a.seq, b.seq) })
	return slices.Compact(out) // one kept back by both its key and its entity stood there twice
}

// reset leaves of the chains only the firsts that are out: what they keep back is linked anew.
func reset[T any](chains map[string]*chain[T]) {
	for name, c := range chains {
		if !c.first.out {
			delete(chains, name)
			continue
		}
		c.kept = fifo[*Entry[T]]{}
	}
}
