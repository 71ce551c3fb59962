package deliver

import "sync"

// inbox is where jobs wait for their lane to look. It has no bound of its own: the reader's credits bound what is in flight.
type inbox struct {
	mu      sync.Mutex
	jobs    []Delivery
	flushed bool
	closed  bool
	wake    chan struct{} // holds one when something is new
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// put takes a job, or refuses it because it must not start any more.
//
// Draining is asked under the lock. A lane that drops a key's record first takes what is in the inbox, and drops what follows the record there. A follower
// put after that sees the assignment draining and is refused, so that it never overtakes.
func (b *inbox) put(j Delivery) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if _, draining := j.Record.Draining(); draining {
		return false
	}
	b.jobs = append(b.jobs, j)
	b.ring()
	return true
}

func (b *inbox) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushed = true
	b.ring()
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.ring()
}

// take gives what is new, in exchange for a slice to fill next.
func (b *inbox) take(spare []Delivery) (jobs []Delivery, flushed, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	jobs, flushed = b.jobs, b.flushed
	b.jobs, b.flushed = spare[:0], false
	return jobs, flushed, b.closed
}

func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}
