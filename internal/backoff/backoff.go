// Package backoff spaces repeated attempts. Every retry loop of the connector takes its waits from
// here, so that they grow, spread and end in one way.
package backoff

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Policy bounds waits that double from one failure to the next.
type Policy struct{ Min, Max time.Duration }

// Delay is the wait after the given number of earlier failures, without jitter: Min after the first
// failure (0 earlier ones), then twice as long each time, at most Max.
func (p Policy) Delay(failures int) time.Duration {
	delay := p.Min
	for ; failures > 0 && delay < p.Max; failures-- {
		delay *= 2
	}
	return min(delay, p.Max)
}

// FullJitter spreads Delay over [0, Delay], so that callers which failed together do not come back
// together. A nil source uses the global one.
func (p Policy) FullJitter(failures int, random *rand.Rand) time.Duration {
	span := int64(p.Delay(failures)) + 1
	if random == nil {
		return time.Duration(rand.Int64N(span))
	}
	return time.Duration(random.Int64N(span))
}

// EqualJitter spreads Delay over its upper half, [Delay/2, Delay], for callers that must not come
// back at once. A nil source uses the global one.
func (p Policy) EqualJitter(failures int, random *rand.Rand) time.Duration {
	half := p.Delay(failures) / 2
	span := int64(half) + 1
	if random == nil {
		return half + time.Duration(rand.Int64N(span))
	}
	return half + time.Duration(random.Int64N(span))
}

// Counter counts failures in a row for loops that wait for more than a timer. The zero Counter has
// seen no failure.
type Counter struct{ failures int }

// Next counts a failure and returns the wait after it.
func (c *Counter) Next(p Policy) time.Duration {
	delay := p.Delay(c.failures)
	c.failures++
	return delay
}

// Failures is the number of failures since the last Reset.
func (c *Counter) Failures() int { return c.failures }

// Reset forgets the failures after a success.
func (c *Counter) Reset() { c.failures = 0 }

// Sleep waits for d. It returns early with ctx's error when ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// permanentError ends RetryUntil.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no further attempt can mend. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryUntil calls attempt until it succeeds, returns an error marked Permanent, or ctx ends. It
// reports each failure that will be retried to onFailure, which may be nil. The error is the
// permanent one without its mark, or ctx's wrapped together with that of the last attempt.
func RetryUntil(ctx context.Context, p Policy, attempt func() error, onFailure func(error)) error {
	var waits Counter
	for {
		err := attempt()
		var permanent *permanentError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &permanent):
			return permanent.err
		}
		if ctx.Err() == nil && onFailure != nil {
			onFailure(err)
		}
		if ctxErr := Sleep(ctx, waits.Next(p)); ctxErr != nil {
			return fmt.Errorf("%w; last attempt: %w", ctxErr, err)
		}
	}
}
