package record

import (
	"context"
	"sync"
)

// Credits limit the records in flight by number and bytes. Bytes are charged once they are known,
// and may exceed the limit by the size of one poll. Credits are safe for concurrent use.
type Credits struct {
	mu       sync.Mutex
	records  int           // free; never below 0
	bytes    int           // free; below 0 after a poll that returned more than was free
	returned chan struct{} // closed and replaced when credits are returned while someone waits
	waiting  bool
}

// NewCredits returns credits for the given number of records and bytes.
func NewCredits(records, bytes int) *Credits {
	return &Credits{records: records, bytes: bytes, returned: make(chan struct{})}
}

// Acquire waits until at least one record and one byte are free, then takes credits for up to limit
// records. It returns 0 only if ctx ends first.
func (c *Credits) Acquire(ctx context.Context, limit int) int {
	for {
		n, returned := c.tryAcquire(limit)
		if n > 0 {
			return n
		}
		select {
		case <-returned:
		case <-ctx.Done():
			return 0
		}
	}
}

func (c *Credits) tryAcquire(limit int) (int, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records <= 0 || c.bytes <= 0 {
		c.waiting = true
		return 0, c.returned
	}
	n := min(limit, c.records)
	c.records -= n
	return n, nil
}

// ChargeBytes charges the bytes of records for which credits were taken.
func (c *Credits) ChargeBytes(n int) {
	c.mu.Lock()
	c.bytes -= n
	c.mu.Unlock()
}

// Return returns credits for records and bytes.
func (c *Credits) Return(records, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records += records
	c.bytes += bytes
	if c.waiting && c.records > 0 && c.bytes > 0 {
		c.waiting = false
		close(c.returned)
		c.returned = make(chan struct{})
	}
}
