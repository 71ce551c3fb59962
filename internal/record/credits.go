package record

import (
	"context"
	"sync"
)

// Credits bound what is in flight, in records and bytes. A taker gets at least one record's credit when any is free; bytes are counted when they
// are known and may pass the bound by what one poll returned. Safe for concurrent use.
type Credits struct {
	mu      sync.Mutex
	records int           // free; never below 0
	bytes   int           // free; below 0 after a poll that returned more than was free
	free    chan struct{} // closed and replaced when something is given back while a taker waits
	waiting bool
}

// NewCredits gives so many records and bytes.
func NewCredits(records, bytes int) *Credits {
	return &Credits{records: records, bytes: bytes, free: make(chan struct{})}
}

// Acquire waits until at least one record and one byte are free, then takes up to most records. It gives 0 only when ctx ends first.
func (c *Credits) Acquire(ctx context.Context, most int) int {
	for {
		n, free := c.tryAcquire(most)
		if n > 0 {
			return n
		}
		select {
		case <-free:
		case <-ctx.Done():
			return 0
		}
	}
}

func (c *Credits) tryAcquire(most int) (int, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records <= 0 || c.bytes <= 0 {
		c.waiting = true
		return 0, c.free
	}
	n := min(most, c.records)
	c.records -= n
	return n, nil
}

// ChargeBytes counts the bytes of records for which credits were taken.
func (c *Credits) ChargeBytes(n int) {
	c.mu.Lock()
	c.bytes -= n
	c.mu.Unlock()
}

// Return gives records and bytes back.
func (c *Credits) Return(records, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records += records
	c.bytes += bytes
	if c.waiting && c.records > 0 && c.bytes > 0 {
		c.waiting = false
		close(c.free)
		c.free = make(chan struct{})
	}
}
