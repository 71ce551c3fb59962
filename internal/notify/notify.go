// Package notify wakes goroutines that wait for an event together with a timer or a context, which
// sync.Cond does not allow.
package notify

import "sync"

// Broadcaster wakes all goroutines that wait for the next event. The zero Broadcaster is ready to
// use. It is safe for concurrent use.
type Broadcaster struct {
	mu   sync.Mutex
	next chan struct{}
}

// Next returns a channel that the next Notify closes. A waiter must call Next before it checks the
// state that the event changes, or it misses an event between its check and its wait.
func (b *Broadcaster) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Notify wakes all goroutines that wait on a channel returned by Next.
func (b *Broadcaster) Notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// TrySignal sends a signal on a channel with a buffer of 1, unless one is already pending.
func TrySignal(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}
