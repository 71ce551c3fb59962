package deliver

import "slices"

// bisection is a batch that one lane has taken and not ended, on its way through refusals, halvings and resends.
//
// A refused batch is searched for its culprits one at a time: of the suspects, among whom there is at least one, half is sent. If it passes, the
// other half is to blame without a call; if it is refused, the other half joins the rest, of whom nothing is known. One that is refused
// alone is a culprit. Then the rest is sent whole. n items with k culprits take at most k*(log2 n + 2) + 1 calls, the logarithm rounded up.
//
// Culprits are kept until the search is over: where there are too many of them, something else than the items must be wrong.
type bisection[E any] struct {
	candidates     []E
	remainder      []E
	offenders      []E
	searching      bool // it was refused and is, or was, searched
	resolved       int  // items that passed or were found to be culprits
	maxItems       int  // items of a call, 0: no cap of its own
	tokenRefreshed bool // the token was renewed for the call that is due
}

// nextCall is what the next call carries: a prefix of the suspects or of the rest.
func (w *bisection[E]) nextCall(limit int) []E {
	list := w.remainder
	if len(w.candidates) > 0 {
		list = w.candidates
		limit = min(limit, max(1, len(list)/2))
	}
	if w.maxItems > 0 {
		limit = min(limit, w.maxItems)
	}
	return list[:min(limit, len(list))]
}

// recordPassed: the first n are through; what is left of the suspects has the culprit.
func (w *bisection[E]) recordPassed(n int) {
	w.resolved += n
	if len(w.candidates) > 0 {
		w.candidates = w.candidates[n:]
		return
	}
	w.remainder = w.remainder[n:]
}

// removeFirst: the first n are gone, and with them what was known of the other suspects.
func (w *bisection[E]) removeFirst(n int) {
	w.recordPassed(n)
	if len(w.candidates) > 0 {
		w.remainder = slices.Concat(w.candidates, w.remainder)
		w.candidates = nil
	}
}

// recordRejected: a culprit is among the first n.
func (w *bisection[E]) recordRejected(n int) {
	sent := w.nextCall(n)
	w.removeFirst(len(sent))
	w.resolved -= len(sent)
	w.candidates, w.searching = sent, true
}

// recordOffender: the first item was refused alone.
func (w *bisection[E]) recordOffender() {
	culprit := w.nextCall(1)
	w.removeFirst(1)
	w.offenders = append(w.offenders, culprit...)
}

// tooManyOffenders tells whether over a quarter of the items that are through are culprits, and at least 5; judged from 16 items on, or at the end.
func (w *bisection[E]) tooManyOffenders() bool {
	const fewest, first = 5, 16
	n := len(w.offenders)
	return n >= fewest && 4*n > w.resolved && (w.resolved >= first || w.isComplete())
}

// isComplete tells whether nothing is left to send.
func (w *bisection[E]) isComplete() bool { return len(w.candidates)+len(w.remainder) == 0 }

// putBack puts back items that are to be sent next.
func (w *bisection[E]) putBack(items []E) {
	w.remainder = slices.Concat(items, w.remainder)
}

// retain drops the items for which keep is false. It tells of each, in order.
func (w *bisection[E]) retain(keep func(E) bool) {
	drop := func(e E) bool { return !keep(e) }
	w.candidates = slices.DeleteFunc(w.candidates, drop)
	w.remainder = slices.DeleteFunc(w.remainder, drop)
	w.offenders = slices.DeleteFunc(w.offenders, drop)
}

func (w *bisection[E]) isEmpty() bool { return w.isComplete() && len(w.offenders) == 0 }

// preferOther brings another item to the front where the first one matches.
func (w *bisection[E]) preferOther(match func(E) bool) (avoided bool) {
	list := w.remainder
	if len(w.candidates) > 0 {
		list = w.candidates
	}
	if !match(list[0]) {
		return true
	}
	if len(list) > 1 {
		list[0], list[1] = list[1], list[0]
	}
	return len(list) > 1
}
