package batch

import (
	"cmp"
	"slices"
	"time"
)

// IsDelayed reports whether the entry was returned and its delay has not elapsed.
func (e *Entry[T]) IsDelayed(now time.Time) bool { return e.notBefore.After(now) }

// SkipLinger ends the linger of the entries that match: a batch that may contain one of them is
// ready immediately.
func (q *Queue[T]) SkipLinger(match func(*Entry[T]) bool) {
	q.rebuildQueue(func(entry *Entry[T]) bool {
		entry.urgent = entry.urgent || match(entry)
		return true
	})
}

// RemoveMatching removes the entries that match and returns their values. match is called in order
// of arrival. Taken entries are not considered.
func (q *Queue[T]) RemoveMatching(match func(*Entry[T]) bool) []T {
	var removed []T
	q.rebuildQueue(func(entry *Entry[T]) bool {
		if !match(entry) {
			return true
		}
		removed = append(removed, entry.Value)
		return false
	})
	return removed
}

// rebuildQueue removes the entries for which keep returns false, and places the others again. It
// visits the whole queue.
func (q *Queue[T]) rebuildQueue(keep func(*Entry[T]) bool) {
	entries := q.entriesInOrder()
	clear(q.envelopes)
	q.delayed.items, q.count = nil, 0
	resetChains(q.orderChains)
	resetChains(q.entityChains)
	for _, entry := range entries {
		if !keep(entry) {
			q.recycleEntry(entry)
			continue
		}
		q.count++
		q.placeEntry(entry)
	}
}

// entriesInOrder returns the entries that are not taken, in order of arrival.
func (q *Queue[T]) entriesInOrder() []*Entry[T] {
	entries := make([]*Entry[T], 0, q.count)
	entries = append(entries, q.delayed.items...)
	for _, envelope := range q.envelopes {
		entries = append(entries, envelope.arrived.waiting()...)
		entries = append(entries, envelope.unblocked.items...)
	}
	for _, c := range q.orderChains {
		entries = append(entries, c.blocked.waiting()...)
	}
	for _, c := range q.entityChains {
		entries = append(entries, c.blocked.waiting()...)
	}
	slices.SortFunc(entries, func(a, b *Entry[T]) int { return cmp.Compare(a.seq, b.seq) })
	return slices.Compact(entries) // an entry blocked by both its keys was found twice
}

// resetChains reduces the chains to their first entries that are taken. The entries that they block
// are placed again.
func resetChains[T any](chains map[string]*chain[T]) {
	for key, c := range chains {
		if !c.first.taken {
			delete(chains, key)
			continue
		}
		c.blocked = fifo[*Entry[T]]{}
	}
}
