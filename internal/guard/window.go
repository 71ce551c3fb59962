package guard

import (
	"container/list"

	"sluice/internal/record"
)

// refusal is why a record was refused; the empty cause: it was accepted.
type refusal struct {
	operation string
	cause     record.Cause
	code      string
}

type seat struct {
	key uint64
	refusal
}

// window holds the latest result of each of the last keys.
type window struct {
	most    int
	seats   map[uint64]*list.Element
	order   *list.List // of *seat, the latest in front
	refused int
}

func newWindow(most int) *window {
	return &window{most: most, seats: map[uint64]*list.Element{}, order: list.New()}
}

func (w *window) len() int { return w.order.Len() }

// share is the part that was refused, 0 where there is nothing.
func (w *window) share() float64 {
	if w.len() == 0 {
		return 0
	}
	return float64(w.refused) / float64(w.len())
}

// put notes a key's latest result. A new key takes the place of the oldest one when the window is full.
func (w *window) put(key uint64, r refusal) {
	e := w.seats[key]
	switch {
	case e != nil:
		w.order.MoveToFront(e)
	case w.len() < w.most:
		e = w.order.PushFront(&seat{})
	default:
		e = w.order.Back()
		delete(w.seats, e.Value.(*seat).key)
		w.order.MoveToFront(e)
	}
	s := e.Value.(*seat)
	if s.cause != "" {
		w.refused--
	}
	if r.cause != "" {
		w.refused++
	}
	*s = seat{key, r}
	w.seats[key] = e
}

// commonest is the refusal that came most often; of several, the one that came last.
func (w *window) commonest() (most refusal) {
	counts := map[refusal]int{}
	for e := w.order.Back(); e != nil; e = e.Prev() {
		r := e.Value.(*seat).refusal
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
