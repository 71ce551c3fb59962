package deliver

import "slices"

// work is a batch that one lane has taken and not ended, on its way through refusals, halvings and resends.
//
// A refused batch is searched for its culprits one at a time: of the suspects, among whom there is at least one, half is sent. If it passes, the
// other half is to blame without a call; if it is refused, the other half joins the rest, of whom nothing is known. One that is refused
// alone is a culprit. Then the rest is sent whole. n items with k culprits take at most k*(log2 n + 2) + 1 calls, the logarithm rounded up.
//
// Culprits are kept until the search is over: where there are too many of them, something else than the items must be wrong.
type work[E any] struct {
	suspects []E
	rest     []E
	culprits []E
	searched bool // it was refused and is, or was, searched
	through  int  // items that passed or were found to be culprits
	most     int  // items of a call, 0: no cap of its own
	renewed  bool // the token was renewed for the call that is due
}

// next is what the next call carries: a prefix of the suspects or of the rest.
func (w *work[E]) next(limit int) []E {
	list := w.rest
	if len(w.suspects) > 0 {
		list = w.suspects
		limit = min(limit, max(1, len(list)/2))
	}
	if w.most > 0 {
		limit = min(limit, w.most)
	}
	return list[:min(limit, len(list))]
}

// passed: the first n are through; what is left of the suspects has the culprit.
func (w *work[E]) passed(n int) {
	w.through += n
	if len(w.suspects) > 0 {
		w.suspects = w.suspects[n:]
		return
	}
	w.rest = w.rest[n:]
}

// cleared: the first n are gone, and with them what was known of the other suspects.
func (w *work[E]) cleared(n int) {
	w.passed(n)
	if len(w.suspects) > 0 {
		w.rest = slices.Concat(w.suspects, w.rest)
		w.suspects = nil
	}
}

// refused: a culprit is among the first n.
func (w *work[E]) refused(n int) {
	sent := w.next(n)
	w.cleared(len(sent))
	w.through -= len(sent)
	w.suspects, w.searched = sent, true
}

// found: the first item was refused alone.
func (w *work[E]) found() {
	culprit := w.next(1)
	w.cleared(1)
	w.culprits = append(w.culprits, culprit...)
}

// flooded tells whether over a quarter of the items that are through are culprits, and at least 5; judged from 16 items on, or at the end.
func (w *work[E]) flooded() bool {
	const fewest, first = 5, 16
	n := len(w.culprits)
	return n >= fewest && 4*n > w.through && (w.through >= first || w.over())
}

// over tells whether nothing is left to send.
func (w *work[E]) over() bool { return len(w.suspects)+len(w.rest) == 0 }

// again puts back items that are to be sent next.
func (w *work[E]) again(items []E) {
	w.rest = slices.Concat(items, w.rest)
}

// keep drops the items for which keep is false. It tells of each, in order.
func (w *work[E]) keep(keep func(E) bool) {
	drop := func(e E) bool { return !keep(e) }
	w.suspects = slices.DeleteFunc(w.suspects, drop)
	w.rest = slices.DeleteFunc(w.rest, drop)
	w.culprits = slices.DeleteFunc(w.culprits, drop)
}

func (w *work[E]) empty() bool { return w.over() && len(w.culprits) == 0 }

// avoid brings another item to the front where the first one matches.
func (w *work[E]) avoid(match func(E) bool) (avoided bool) {
	list := w.rest
	if len(w.suspects) > 0 {
		list = w.suspects
	}
	if !match(list[0]) {
		return true
	}
	if len(list) > 1 {
		list[0], list[1] = list[1], list[0]
	}
	return len(list) > 1
}
