// Package wake lets goroutines wait for an event together with a timer or a context, which a sync.Cond cannot.
package wake

import "sync"

// Broadcast wakes everybody who waits for the next event. The zero value is ready. Safe for concurrent use.
type Broadcast struct {
	mu   sync.Mutex
	next chan struct{}
}

// Wait gives a channel that the next Send closes. Take it before looking at what the event changes, else an event in between is missed.
func (b *Broadcast) Wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Send wakes all who wait.
func (b *Broadcast) Send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// Signal puts a token into a channel with a buffer of 1, unless one is there already.
func Signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
