package pipeline

import (
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// repeatEvery is how long a line of a Kafka client is counted before it is written again.
const repeatEvery = time.Minute

// counting writes a line that clients repeat once a repeatEvery, with how often it came since: while brokers are away each client says so several
// times a second. The clients of a connector share one.
type counting struct {
	kgo.Logger

	mu   sync.Mutex
	said map[string]*said // by message; messages are the library's constants
}

type said struct {
	at    time.Time
	since int
}

func countRepeats(l kgo.Logger) *counting { return &counting{Logger: l, said: map[string]*said{}} }

// Log is kgo.Logger's.
func (c *counting) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	if level > c.Level() {
		return
	}
	if n, due := c.due(msg); due {
		if n > 0 {
			keyvals = append(slices.Clip(keyvals), "repeated", n)
		}
		c.Logger.Log(level, msg, keyvals...)
	}
}

// due counts a message, and tells how often it was kept back where it is to be written.
func (c *counting) due(msg string) (kept int, due bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.said[msg]
	if s == nil {
		c.said[msg] = &said{at: now}
		return 0, true
	}
	if now.Sub(s.at) < repeatEvery {
		s.since++
		return 0, false
	}
	kept, s.at, s.since = s.since, now, 0
	return kept, true
}
