package deliver

import "sync"

// inbox has the deliveries that wait for their lane. It needs no bound of its own, because the
// credits limit what is in flight.
type inbox struct {
	mu         sync.Mutex
	deliveries []Delivery
	draining   bool
	closed     bool
	notified   chan struct{} // has an element if there is something new
}

func newInbox() *inbox { return &inbox{notified: make(chan struct{}, 1)} }

// put adds a delivery, or returns false if it must not be sent.
//
// The check for a draining assignment is made with the lock held. Before a lane releases a record,
// it empties the inbox, and it releases later records with the same key along with it. Any record
// put after that is refused because its assignment is draining, so it never overtakes.
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

// notifyDraining records that an assignment is ending.
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

// takeAll returns the new deliveries. spare is reused for the next ones.
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
