package batch

import "time"

// envelopeQueue has the free entries of one envelope, which no earlier entry blocks.
type envelopeQueue[T any] struct {
	envelopeSize int // bytes of a call without its items and the commas between them
	bytes        int // of the free entries' bodies
	urgent       int // free entries that do not linger
	// arrived has the entries that were free when they were added, unblocked those that became free
	// later. Both are in order of arrival, so the oldest entry is at the front of one of them, and
	// an entry that was never blocked only takes a slot in a slice.
	arrived   fifo[*Entry[T]]
	unblocked heap[*Entry[T]]
}

func newEnvelopeQueue[T any](envelopeSize int) *envelopeQueue[T] {
	q := &envelopeQueue[T]{envelopeSize: envelopeSize}
	q.unblocked.less = func(a, b *Entry[T]) bool { return a.seq < b.seq }
	return q
}

func (q *envelopeQueue[T]) len() int { return q.arrived.len() + q.unblocked.len() }

// addArrived adds an entry that is newer than all others.
func (q *envelopeQueue[T]) addArrived(entry *Entry[T]) {
	q.arrived.pushBack(entry)
	q.countEntry(entry, 1)
}

// addUnblocked adds an entry that may be older than others.
func (q *envelopeQueue[T]) addUnblocked(entry *Entry[T]) {
	q.unblocked.pushItem(entry)
	q.countEntry(entry, 1)
}

func (q *envelopeQueue[T]) countEntry(entry *Entry[T], sign int) {
	q.bytes += sign * entry.Size
	if entry.urgent {
		q.urgent += sign
	}
}

// oldestEntry returns the free entry that arrived first. The queue must not be empty.
func (q *envelopeQueue[T]) oldestEntry() *Entry[T] {
	if q.unblockedIsOldest() {
		return q.unblocked.top()
	}
	return q.arrived.front()
}

func (q *envelopeQueue[T]) unblockedIsOldest() bool {
	if q.unblocked.len() == 0 || q.arrived.len() == 0 {
		return q.arrived.len() == 0
	}
	return q.unblocked.top().seq < q.arrived.front().seq
}

func (q *envelopeQueue[T]) popOldest() *Entry[T] {
	var entry *Entry[T]
	if q.unblockedIsOldest() {
		entry = q.unblocked.popTop()
	} else {
		entry = q.arrived.popFront()
	}
	q.countEntry(entry, -1)
	return entry
}

// timeUntilReady returns the time until a batch of at most maxItems items is ready, or 0 or less if
// it is ready now. The queue must not be empty.
func (q *envelopeQueue[T]) timeUntilReady(now time.Time, maxItems int, limits Limits) time.Duration {
	full := q.len() >= maxItems || q.envelopeSize+q.bytes+q.len()-1 >= limits.Bytes
	if full || q.urgent > 0 {
		return 0
	}
	return limits.Linger - now.Sub(q.oldestEntry().ArrivedAt)
}

// takeBatch removes the next batch: entries in order of arrival, up to the one that would exceed a
// limit. It takes at least one entry.
func (q *envelopeQueue[T]) takeBatch(maxItems int, limits Limits) []*Entry[T] {
	batch := make([]*Entry[T], 0, min(maxItems, q.len()))
	size := q.envelopeSize
	for q.len() > 0 && len(batch) < maxItems {
		added := q.oldestEntry().Size
		if len(batch) > 0 {
			added++ // the comma
			if size+added > limits.Bytes {
				break
			}
		}
		size += added
		entry := q.popOldest()
		entry.taken = true
		batch = append(batch, entry)
	}
	return batch
}
