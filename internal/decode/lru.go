package decode

import "container/list"

// lru caches values for the most recently used IDs. It is not safe for concurrent use.
type lru[V any] struct {
	capacity int
	order    *list.List // of entry[V], the most recently used first
	byID     map[int]*list.Element
}

type entry[V any] struct {
	id    int
	value V
}

func newLRU[V any](capacity int) *lru[V] {
	return &lru[V]{capacity: capacity, order: list.New(), byID: map[int]*list.Element{}}
}

func (c *lru[V]) get(id int) (V, bool) {
	e, ok := c.byID[id]
	if !ok {
		var none V
		return none, false
	}
	c.order.MoveToFront(e)
	return e.Value.(entry[V]).value, true
}

func (c *lru[V]) put(id int, value V) {
	c.removeEntry(id)
	if c.order.Len() >= c.capacity {
		c.removeEntry(c.order.Back().Value.(entry[V]).id)
	}
	c.byID[id] = c.order.PushFront(entry[V]{id, value})
}

func (c *lru[V]) removeEntry(id int) {
	if e, ok := c.byID[id]; ok {
		c.order.Remove(e)
		delete(c.byID, id)
	}
}
