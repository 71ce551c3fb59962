package pipeline

import (
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// repeatInterval is the minimum time between two log lines with the same message of a Kafka client.
const repeatInterval = time.Minute

// repeatLimiter logs each message of the Kafka clients at most once per repeatInterval, with the
// number of times that it was suppressed since then. While brokers are unreachable, every client
// logs several times a second. The clients of a connector share one repeatLimiter.
type repeatLimiter struct {
	kgo.Logger

	mu       sync.Mutex
	messages map[string]*seenMessage // bounded, because the messages are constants of the library
}

type seenMessage struct {
	loggedAt   time.Time
	suppressed int
}

func limitRepeats(logger kgo.Logger) *repeatLimiter {
	return &repeatLimiter{Logger: logger, messages: map[string]*seenMessage{}}
}

// Log implements [kgo.Logger].
func (l *repeatLimiter) Log(level kgo.LogLevel, message string, keyvals ...any) {
	if level > l.Level() {
		return
	}
	if suppressed, due := l.countMessage(message); due {
		if suppressed > 0 {
			keyvals = append(slices.Clip(keyvals), "repeated", suppressed)
		}
		l.Logger.Log(level, message, keyvals...)
	}
}

// countMessage reports whether a message is due to be logged and, if so, how often it was
// suppressed.
func (l *repeatLimiter) countMessage(message string) (suppressed int, due bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.messages[message]
	if seen == nil {
		l.messages[message] = &seenMessage{loggedAt: now}
		return 0, true
	}
	if now.Sub(seen.loggedAt) < repeatInterval {
		seen.suppressed++
		return 0, false
	}
	suppressed, seen.loggedAt, seen.suppressed = seen.suppressed, now, 0
	return suppressed, true
}
