// Package backoff spaces repeated attempts. Every retry loop of the connector uses it, so that
// their waits grow, are jittered and end in the same way.
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

// Delay returns the wait before the next attempt, without jitter, given the number of failures
// before the latest one. It is Min for 0 and doubles with each failure, up to Max.
func (p Policy) Delay(failures int) time.Duration {
	delay := p.Min
	for ; failures > 0 && delay < p.Max; failures-- {
		delay *= 2
	}
	return min(delay, p.Max)
}

// FullJitter returns a random wait in [0, Delay], so that callers that failed together do not retry
// together. If random is nil, the global source is used.
func (p Policy) FullJitter(failures int, random *rand.Rand) time.Duration {
	span := int64(p.Delay(failures)) + 1
	if random == nil {
		return time.Duration(rand.Int64N(span))
	}
	return time.Duration(random.Int64N(span))
}

// EqualJitter returns a random wait in [Delay/2, Delay], for callers that must not retry at once.
// If random is nil, the global source is used.
func (p Policy) EqualJitter(failures int, random *rand.Rand) time.Duration {
	half := p.Delay(failures) / 2
	span := int64(half) + 1
	if random == nil {
		return half + time.Duration(rand.Int64N(span))
	}
	return half + time.Duration(random.Int64N(span))
}

// Counter counts consecutive failures, for loops that wait for more than a timer. The zero Counter
// has counted none.
type Counter struct{ failures int }

// Next counts a failure and returns the wait after it.
func (c *Counter) Next(p Policy) time.Duration {
	delay := p.Delay(c.failures)
	c.failures++
	return delay
}

// Failures returns the number of failures since the last Reset.
func (c *Counter) Failures() int { return c.failures }

// Reset sets the number of failures to 0, after a success.
func (c *Counter) Reset() { c.failures = 0 }

// Sleep waits for d. If ctx ends first, it returns ctx.Err().
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

// Permanent marks an error that further attempts cannot resolve. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryUntil calls attempt until it succeeds, returns an error marked by Permanent, or ctx ends. It
// passes each failure that will be retried to onFailure, which may be nil. RetryUntil returns the
// permanent error without its mark, or an error that wraps both ctx.Err() and the error of the last
// attempt.
func RetryUntil(ctx context.Context, p Policy, attempt func() error, onFailure func(error)) error {
	var failures Counter
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
		if ctxErr := Sleep(ctx, failures.Next(p)); ctxErr != nil {
			return fmt.Errorf("%w; last attempt: %w", ctxErr, err)
		}
	}
}
