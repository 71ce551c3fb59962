package deliver

import "sync"

// inbox is where deliveries wait for their lane. It is not bounded itself: the reader's credits
// bound what is in flight.
type inbox struct {
	mu         sync.Mutex
	deliveries []Delivery
	draining   bool
	closed     bool
	notified   chan struct{} // has one element when something is new
}

func newInbox() *inbox { return &inbox{notified: make(chan struct{}, 1)} }

// put adds a delivery, or returns false if it must not be sent.
//
// Whether the assignment is draining is checked under the lock. A lane that releases a record of a
// key first takes what is in the inbox, and releases what follows the record there. A follower that
// is put after that finds its assignment draining and is refused, so that it never overtakes.
func (b *inbox) put(delivery Delivery) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if _, draining := delivery.Record.Draining(); draining {
		return false
	}
	b.deliveries = append(b.deliveries, delivery)
	b.notify()
	return true
}

// notifyDraining states that an assignment is ending.
func (b *inbox) notifyDraining() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.draining = true
	b.notify()
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.notify()
}

// takeAll returns what is new. spare is reused for the deliveries to come.
func (b *inbox) takeAll(spare []Delivery) (deliveries []Delivery, draining, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	deliveries, draining = b.deliveries, b.draining
	b.deliveries, b.draining = spare[:0], false
	return deliveries, draining, b.closed
}

// notify wakes the lane.
func (b *inbox) notify() {
	select {
	case b.notified <- struct{}{}:
	default:
	}
}
