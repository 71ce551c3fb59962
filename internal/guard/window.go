package guard

import (
	"container/list"

	"sluice/internal/record"
)

// rejection is why a record was refused; the empty cause: it was accepted.
type rejection struct {
	operation string
	cause     record.Cause
	code      string
}

type keyResult struct {
	key uint64
	rejection
}

// window holds the latest result of each of the last keys.
type window struct {
	capacity int
	byKey    map[uint64]*list.Element
	order    *list.List // of *seat, the latest in front
	rejected int
}

func newWindow(most int) *window {
	return &window{capacity: most, byKey: map[uint64]*list.Element{}, order: list.New()}
}

func (w *window) len() int { return w.order.Len() }

// rejectedShare is the part that was refused, 0 where there is nothing.
func (w *window) rejectedShare() float64 {
	if w.len() == 0 {
		return 0
	}
	return float64(w.rejected) / float64(w.len())
}

// recordResult notes a key's latest result. A new key takes the place of the oldest one when the window is full.
func (w *window) recordResult(key uint64, r rejection) {
	e := w.byKey[key]
	switch {
	case e != nil:
		w.order.MoveToFront(e)
	case w.len() < w.capacity:
		e = w.order.PushFront(&keyResult{})
	default:
		e = w.order.Back()
		delete(w.byKey, e.Value.(*keyResult).key)
		w.order.MoveToFront(e)
	}
	s := e.Value.(*keyResult)
	if s.cause != "" {
		w.rejected--
	}
	if r.cause != "" {
		w.rejected++
	}
	*s = keyResult{key, r}
	w.byKey[key] = e
}

// mostFrequent is the refusal that came most often; of several, the one that came last.
func (w *window) mostFrequent() (most rejection) {
	counts := map[rejection]int{}
	for e := w.order.Back(); e != nil; e = e.Prev() {
		r := e.Value.(*keyResult).rejection
		if r.cause == "" {
			continue
		}
		counts[r]++
		if counts[r] >= counts[most] {
			most = r
		}
	}
	return most
}
