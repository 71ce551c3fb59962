package deliver

import "slices"

// bisection is a batch that a lane took from its queue and has not finished. It decides which items
// the next call carries, through rejections, smaller calls and resends.
//
// A rejected batch is searched for its offenders one at a time. At least one of the candidates is
// an offender, so half of them are sent. If those pass, the other half contains the offender and
// need not be sent to find out; if they are rejected, nothing is known about the other half, and it
// joins the remainder. A candidate that is rejected alone is an offender. Then the remainder is
// sent whole. n items with k offenders take at most k*(ceil(log2 n) + 2) + 1 calls.
//
// Offenders are kept until the search is complete: if there are too many of them, something other
// than the items must be wrong.
type bisection[E any] struct {
	candidates     []E
	remainder      []E
	offenders      []E
	searching      bool // the batch was rejected as a whole at least once
	resolved       int  // items that passed or were found to be offenders
	maxItems       int  // maximum number of items in a call of this batch; 0: no limit of its own
	tokenRefreshed bool // the token was refreshed for the next call
}

// nextCall returns the items of the next call, at most limit: a prefix of the candidates or, if
// there are none, of the remainder.
func (b *bisection[E]) nextCall(limit int) []E {
	list := b.remainder
	if len(b.candidates) > 0 {
		list = b.candidates
		limit = min(limit, max(1, len(list)/2))
	}
	if b.maxItems > 0 {
		limit = min(limit, b.maxItems)
	}
	return list[:min(limit, len(list))]
}

// recordPassed removes the first count items, because a call with them passed. If they were
// candidates, the remaining candidates contain an offender.
func (b *bisection[E]) recordPassed(count int) {
	b.resolved += count
	if len(b.candidates) > 0 {
		b.candidates = b.candidates[count:]
		return
	}
	b.remainder = b.remainder[count:]
}

// removeFirst removes the first count items. Without them, it is no longer known that the remaining
// candidates contain an offender.
func (b *bisection[E]) removeFirst(count int) {
	b.recordPassed(count)
	if len(b.candidates) > 0 {
		b.remainder = slices.Concat(b.candidates, b.remainder)
		b.candidates = nil
	}
}

// recordRejected makes the first count items the candidates, because a call with them was rejected.
func (b *bisection[E]) recordRejected(count int) {
	sent := b.nextCall(count)
	b.removeFirst(len(sent))
	b.resolved -= len(sent)
	b.candidates, b.searching = sent, true
}

// recordOffender makes the first item an offender, because it was rejected alone.
func (b *bisection[E]) recordOffender() {
	offender := b.nextCall(1)
	b.removeFirst(1)
	b.offenders = append(b.offenders, offender...)
}

// tooManyOffenders reports whether at least 5 items, and more than a quarter of those resolved, are
// offenders. It needs 16 resolved items, or a complete search.
func (b *bisection[E]) tooManyOffenders() bool {
	const minOffenders, minResolved = 5, 16
	n := len(b.offenders)
	return n >= minOffenders && 4*n > b.resolved && (b.resolved >= minResolved || b.isComplete())
}

// isComplete reports whether there is nothing left to send.
func (b *bisection[E]) isComplete() bool { return len(b.candidates)+len(b.remainder) == 0 }

// isEmpty reports whether there are neither items to send nor offenders.
func (b *bisection[E]) isEmpty() bool { return b.isComplete() && len(b.offenders) == 0 }

// putBack puts items back in front of the remainder.
func (b *bisection[E]) putBack(items []E) {
	b.remainder = slices.Concat(items, b.remainder)
}

// retain removes the items for which keep returns false. It calls keep once for each item, in
// order.
func (b *bisection[E]) retain(keep func(E) bool) {
	remove := func(item E) bool { return !keep(item) }
	b.candidates = slices.DeleteFunc(b.candidates, remove)
	b.remainder = slices.DeleteFunc(b.remainder, remove)
	b.offenders = slices.DeleteFunc(b.offenders, remove)
}

// preferOther moves another item to the front if avoid matches the first one. It returns false if
// there is no other item. The bisection must not be complete.
func (b *bisection[E]) preferOther(avoid func(E) bool) bool {
	list := b.remainder
	if len(b.candidates) > 0 {
		list = b.candidates
	}
	if !avoid(list[0]) {
		return true
	}
	if len(list) > 1 {
		list[0], list[1] = list[1], list[0]
	}
	return len(list) > 1
}
