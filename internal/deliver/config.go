package deliver

import (
	"cmp"
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"

	"sluice/internal/backoff"
	"sluice/internal/guard"
	"sluice/internal/sink"
)

// Config configures one operation of one pipeline.
type Config struct {
	// OperationName is the full name, such as "crmcom.purchases".
	OperationName string
	// Concurrency is the number of lanes; 0: 1.
	Concurrency int
	// MaxItems bounds the items of a call; 0: the operation's default. It never exceeds the
	// vendor's limit.
	MaxItems int
	// MaxBytes bounds the body of a call; 0: 1 MiB.
	MaxBytes int
	// Linger is how long an item waits for others.
	Linger time.Duration
	// Timeout bounds one call; 0: 1 m.
	Timeout time.Duration
	// UnknownPolicy is what happens to a record of unknown outcome. It is not used where the
	// operation is repeatable.
	UnknownPolicy sink.UnknownPolicy
	// MaxResends bounds the resends of a record with sink.UnknownRetry.
	MaxResends int
	// RetryDelays are the delays of the retry tiers, ascending.
	RetryDelays []time.Duration
	// MaxAge is the age from which a record is no longer retried; 0: no limit.
	MaxAge time.Duration
	// RetryInPlace makes a record wait in its lane for the retry delays, instead of in a retry
	// topic.
	RetryInPlace bool
	// Breaker configures the circuit breaker.
	Breaker BreakerConfig
	// Limiter is the account's rate limit, nil for none. Operations may share it.
	Limiter *rate.Limiter
	// RetryAfterCap bounds a wait that the vendor asks for; 0: 15 m.
	RetryAfterCap time.Duration
	// Backoff bounds the waits after a failure; zero: 500 ms to 30 s.
	Backoff backoff.Policy
	// HoldProbe bounds the waits between the probes of a held operation; zero: 5 s to 5 m.
	HoldProbe backoff.Policy
	// Guard is the flood guard, nil for none. The operations of a pipeline share it.
	Guard *guard.Guard
	// Rand is the source of jitter; nil: one of its own.
	Rand rand.Source
}

func (c Config) withDefaults(spec sink.OperationSpec) Config {
	c.Concurrency = max(1, c.Concurrency)
	c.MaxItems = cmp.Or(c.MaxItems, spec.DefaultItems, spec.MaxItems, 1)
	if spec.MaxItems > 0 {
		c.MaxItems = min(c.MaxItems, spec.MaxItems)
	}
	c.MaxBytes = cmp.Or(c.MaxBytes, 1<<20)
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.Breaker.Failures = cmp.Or(c.Breaker.Failures, 5)
	c.Breaker.Ratio = cmp.Or(c.Breaker.Ratio, 0.5)
	c.Breaker.Window = cmp.Or(c.Breaker.Window, 30*time.Second)
	c.Breaker.OpenFor = cmp.Or(c.Breaker.OpenFor, 15*time.Second)
	c.RetryAfterCap = cmp.Or(c.RetryAfterCap, 15*time.Minute)
	c.Backoff = cmp.Or(c.Backoff, backoff.Policy{Min: 500 * time.Millisecond, Max: 30 * time.Second})
	c.HoldProbe = cmp.Or(c.HoldProbe, backoff.Policy{Min: 5 * time.Second, Max: 5 * time.Minute})
	if c.Rand == nil {
		c.Rand = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	return c
}
