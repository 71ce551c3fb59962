package observe

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Condition logs a fault that lasts: one line when it begins or its cause changes, and one when it
// ends. Repeated reports in between are counted and not logged. It is safe for concurrent use.
type Condition struct {
	log      *zap.Logger
	beginMsg string
	endMsg   string
	fields   []zap.Field

	mu       sync.Mutex
	active   bool
	lastText string
	since    time.Time
	failures int
}

// NewCondition returns an inactive condition. beginMsg and endMsg are the stable messages of its
// two log lines, such as "offset commit failed, retrying" and "offset commit recovered"; fields are
// added to both.
func NewCondition(log *zap.Logger, beginMsg, endMsg string, fields ...zap.Field) *Condition {
	return &Condition{log: log, beginMsg: beginMsg, endMsg: endMsg, fields: fields}
}

// Begin reports that the fault exists, with its cause. It logs a warning unless the last report had
// the same cause, and returns whether it logged.
func (c *Condition) Begin(cause error) (logged bool) { return c.BeginRepeated(cause, 1) }

// BeginRepeated is Begin for several failures that are reported at once, such as those of a batch.
// If it logs, details are added to the line.
func (c *Condition) BeginRepeated(cause error, failures int, details ...zap.Field) (logged bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active {
		c.active, c.since, c.failures = true, time.Now(), 0
	}
	c.failures += failures
	if cause.Error() == c.lastText {
		return false
	}
	c.lastText = cause.Error()
	c.log.Warn(c.beginMsg, slices.Concat(c.fields, details, []zap.Field{zap.Error(cause)})...)
	return true
}

// End reports that the fault is over. It logs how long the fault lasted and how many failures were
// reported, and does nothing if the condition is inactive.
func (c *Condition) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active {
		return
	}
	lasted := []zap.Field{zap.Duration("lasted", time.Since(c.since)), zap.Int("failures", c.failures)}
	c.log.Info(c.endMsg, slices.Concat(c.fields, lasted)...)
	c.active, c.lastText = false, ""
}
