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
	// Concurrency is the number of lanes; 0 means 1.
	Concurrency int
	// MaxItems limits the items of a call; 0 means the operation's default. It never exceeds the
	// vendor's limit.
	MaxItems int
	// MaxBytes limits the size of a call's body in bytes; 0 means 1 MiB.
	MaxBytes int
	// Linger is how long an item waits for other items.
	Linger time.Duration
	// Timeout limits one call; 0 means 1 m.
	Timeout time.Duration
	// UnknownPolicy determines what happens to a record of unknown outcome. It is ignored if the
	// operation is repeatable.
	UnknownPolicy sink.UnknownPolicy
	// MaxResends limits the resends of a record with sink.UnknownRetry.
	MaxResends int
	// RetryDelays are the delays of the retry tiers, ascending.
	RetryDelays []time.Duration
	// MaxAge is the age from which a record is no longer retried; 0 means no limit.
	MaxAge time.Duration
	// RetryInPlace makes a record wait in its lane for the retry delays, instead of in a retry
	// topic.
	RetryInPlace bool
	// Breaker configures the circuit breaker.
	Breaker BreakerConfig
	// Limiter is the account's rate limit, or nil. Operations may share it.
	Limiter *rate.Limiter
	// RetryAfterCap limits a wait that the vendor requests; 0 means 15 m.
	RetryAfterCap time.Duration
	// Backoff sets the waits after a failure; the zero Policy means 500 ms to 30 s.
	Backoff backoff.Policy
	// HoldProbe sets the waits between the probes of a held operation; the zero Policy means 5 s to
	// 5 m.
	HoldProbe backoff.Policy
	// Guard is the flood guard, or nil. The operations of a pipeline share it.
	Guard *guard.Guard
	// Rand is the source of jitter; nil means a source of its own.
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
