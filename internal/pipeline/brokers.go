package pipeline

import (
	"context"
	"errors"
	"time"

	"sluice/internal/backoff"
	"sluice/internal/observe"
	"sluice/internal/topics"
)

// brokerBackoff spaces the attempts to reach the brokers.
var brokerBackoff = backoff.Policy{Min: 250 * time.Millisecond, Max: 10 * time.Second}

// awaitBrokers calls request until it succeeds, returns a *topics.UnfitError, or ctx ends.
// Unreachable brokers do not end the process; every pipeline is held while it retries.
func awaitBrokers[T any](ctx context.Context, connector *Connector, request func() (T, error)) (T, error) {
	unreachable := observe.NewCondition(connector.opts.Log, "Kafka requests failed, retrying", "Kafka requests succeed again")
	held := false
	var response T
	err := backoff.RetryUntil(ctx, brokerBackoff, func() error {
		var err error
		if response, err = request(); errors.As(err, new(*topics.UnfitError)) {
			return backoff.Permanent(err)
		}
		return err
	}, func(err error) {
		if unreachable.Begin(err) {
			held = true
			connector.setHolds(observe.HoldKafka)
		}
	})
	if held {
		connector.setHolds("")
	}
	if ctx.Err() == nil {
		unreachable.End()
	}
	return response, err
}

// setHolds sets the reason why every pipeline is held. An empty reason ends the holds.
func (c *Connector) setHolds(reason observe.HoldReason) {
	for _, p := range c.cfg.Pipelines {
		c.opts.Observe.Pipeline(p.Name).SetHold("", reason)
	}
}
