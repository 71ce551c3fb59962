package observe

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// Condition logs a fault that lasts: one line when it begins or changes, and one when it ends. What
// repeats in between is counted and not logged. Safe for concurrent use.
type Condition struct {
	log    *zap.Logger
	began  string
	ended  string
	fields []zap.Field

	mu       sync.Mutex
	active   bool
	lastText string
	since    time.Time
	repeats  int
}

// NewCondition makes an inactive condition. began and ended are the stable messages of its two log
// lines, such as "offset commit failed, retrying" and "offset commit recovered"; fields go on both.
func NewCondition(log *zap.Logger, began, ended string, fields ...zap.Field) *Condition {
	return &Condition{log: log, began: began, ended: ended, fields: fields}
}

// Begin reports that the fault is there, with its cause. It logs a warning unless the last report
// had the same cause, and returns whether it did.
func (c *Condition) Begin(cause error) (logged bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active {
		c.active, c.since, c.repeats = true, time.Now(), 0
	}
	c.repeats++
	if cause.Error() == c.lastText {
		return false
	}
	c.lastText = cause.Error()
	c.log.Warn(c.began, append(c.fields[:len(c.fields):len(c.fields)], zap.Error(cause))...)
	return true
}

// End reports that the fault is gone. It logs how long it lasted and how often it was reported, and
// nothing where it was not there.
func (c *Condition) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active {
		return
	}
	c.log.Info(c.ended, append(c.fields[:len(c.fields):len(c.fields)],
		zap.Duration("lasted", time.Since(c.since)), zap.Int("failures", c.repeats))...)
	c.active, c.lastText = false, ""
}
