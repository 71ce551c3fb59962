// Package notify lets goroutines wait for an event together with a timer or a context, which a sync.Cond cannot.
package notify

import "sync"

// Broadcaster wakes everybody who waits for the next event. The zero value is ready. Safe for concurrent use.
type Broadcaster struct {
	mu   sync.Mutex
	next chan struct{}
}

// Next gives a channel that the next Send closes. Take it before looking at what the event changes, else an event in between is missed.
func (b *Broadcaster) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Notify wakes all who wait.
func (b *Broadcaster) Notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// TrySignal puts a token into a channel with a buffer of 1, unless one is there already.
func TrySignal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
