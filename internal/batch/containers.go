package batch

// heap is a binary heap with the smallest item, according to less, on top.
type heap[T any] struct {
	items []T
	less  func(a, b T) bool
}

func (h *heap[T]) len() int { return len(h.items) }

func (h *heap[T]) top() T { return h.items[0] }

func (h *heap[T]) pushItem(item T) {
	h.items = append(h.items, item)
	for i := len(h.items) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(h.items[i], h.items[parent]) {
			return
		}
		h.items[i], h.items[parent] = h.items[parent], h.items[i]
		i = parent
	}
}

func (h *heap[T]) popTop() T {
	var zero T
	last := len(h.items) - 1
	top := h.items[0]
	h.items[0], h.items[last] = h.items[last], zero
	h.items = h.items[:last]
	h.siftDown()
	return top
}

// siftDown moves the top item down to its place.
func (h *heap[T]) siftDown() {
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.items); child++ {
			if h.less(h.items[child], h.items[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.items[i], h.items[least] = h.items[least], h.items[i]
		i = least
	}
}

// fifo is a first-in, first-out queue in a slice. It reuses the space freed at the front.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) front() T { return f.items[f.head] }

// waiting returns the items in order. It is valid until the next change.
func (f *fifo[T]) waiting() []T { return f.items[f.head:] }

func (f *fifo[T]) pushBack(item T) {
	if len(f.items) == cap(f.items) && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, item)
}

func (f *fifo[T]) popFront() T {
	var zero T
	front := f.items[f.head]
	f.items[f.head] = zero
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return front
}
