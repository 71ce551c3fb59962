package pipeline

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/topics"
)

// The wait between two tries to reach the brokers doubles from the least to the most.
const (
	leastWait = 250 * time.Millisecond
	mostWait  = 10 * time.Second
)

// holdKafka is the reason of a pipeline that waits for the brokers.
const holdKafka = observe.HoldKafka

// insist asks the brokers until they answer or ctx ends: brokers that are away are no reason to end the process, only to say so. Topics that are
// not fit are an answer. A fault is logged when it is new, not each time.
func insist[T any](ctx context.Context, c *Connector, ask func() (T, error)) (T, error) {
	last, began := "", time.Now()
	for try, wait := 1, leastWait; ; try, wait = try+1, min(2*wait, mostWait) {
		answer, err := ask()
		if err == nil || errors.As(err, new(*topics.UnfitError)) || ctx.Err() != nil {
			if try > 1 {
				c.hold("")
			}
			if try > 1 && ctx.Err() == nil {
				c.opts.Log.Info("the brokers answer", zap.Int("tries", try), zap.Duration("waited", time.Since(began)))
			}
			return answer, err
		}
		if err.Error() != last {
			last = err.Error()
			c.hold(holdKafka)
			c.opts.Log.Warn("the brokers cannot be asked; nothing is read until they answer", zap.Int("tries", try), zap.Error(err))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// hold states that every pipeline is held, or with an empty reason that none is.
func (c *Connector) hold(reason observe.HoldReason) {
	for _, p := range c.cfg.Pipelines {
		c.opts.Observe.Pipeline(p.Name).SetHold("", reason)
	}
}
