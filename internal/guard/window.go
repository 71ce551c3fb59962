package guard

import (
	"container/list"

	"sluice/internal/record"
)

// refusal is why a record was refused. An empty cause means that it was accepted.
type refusal struct {
	operation string
	cause     record.Cause
	code      string
}

// keyResult is the latest result for a key.
type keyResult struct {
	key uint64
	refusal
}

// window has the latest result for each of the last keys.
type window struct {
	capacity int
	byKey    map[uint64]*list.Element
	order    *list.List // of *keyResult, the latest one first
	refused  int
}

func newWindow(capacity int) *window {
	return &window{capacity: capacity, byKey: map[uint64]*list.Element{}, order: list.New()}
}

func (w *window) len() int { return w.order.Len() }

// refusedRatio returns the ratio of refusals, or 0 for an empty window.
func (w *window) refusedRatio() float64 {
	if w.len() == 0 {
		return 0
	}
	return float64(w.refused) / float64(w.len())
}

// recordResult sets the latest result for a key. In a full window, a new key replaces the oldest
// one.
func (w *window) recordResult(key uint64, result refusal) {
	element := w.byKey[key]
	switch {
	case element != nil:
		w.order.MoveToFront(element)
	case w.len() < w.capacity:
		element = w.order.PushFront(&keyResult{})
	default:
		element = w.order.Back()
		delete(w.byKey, element.Value.(*keyResult).key)
		w.order.MoveToFront(element)
	}
	slot := element.Value.(*keyResult)
	if slot.cause != "" {
		w.refused--
	}
	if result.cause != "" {
		w.refused++
	}
	*slot = keyResult{key, result}
	w.byKey[key] = element
}

// mostFrequent returns the most frequent refusal or, if several are equally frequent, the latest of
// them.
func (w *window) mostFrequent() (most refusal) {
	counts := map[refusal]int{}
	for element := w.order.Back(); element != nil; element = element.Prev() {
		result := element.Value.(*keyResult).refusal
		if result.cause == "" {
			continue
		}
		counts[result]++
		if counts[result] >= counts[most] {
			most = result
		}
	}
	return most
}
