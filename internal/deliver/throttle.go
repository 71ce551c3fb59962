package deliver

import (
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"

	"sluice/internal/backoff"
)

// After the vendor has throttled, the spacing of calls doubles each time and shrinks by an eighth
// with each success, so that the call rate falls fast and recovers slowly.
const (
	minSpacing = 100 * time.Millisecond
	maxSpacing = 30 * time.Second
)

// throttle slows an operation down when the vendor requests fewer calls: first a pause, then a
// minimum spacing between calls.
type throttle struct {
	backoff       backoff.Policy
	maxRetryAfter time.Duration
	until         time.Time // end of the pause
	lastThrottled time.Time
	failures      int           // consecutive throttled calls
	spacing       time.Duration // between the starts of calls
	nextCall      time.Time
}

// reserveCall reserves the start of a call, or returns how long to wait before trying again.
// limiter is the account's rate limit, or nil.
func (t *throttle) reserveCall(limiter *rate.Limiter, now time.Time) (wait time.Duration) {
	if wait = t.nextCall.Sub(now); wait > 0 {
		return wait
	}
	if limiter != nil && !limiter.AllowN(now, 1) {
		return waitForToken(limiter, now)
	}
	t.nextCall = now.Add(t.spacing)
	return 0
}

// waitForToken returns how long it takes until the limiter has a token. It is at least a
// millisecond, so that a fraction of a token lost to rounding does not make the lane retry in a
// tight loop.
func waitForToken(limiter *rate.Limiter, now time.Time) time.Duration {
	seconds := (1 - limiter.TokensAt(now)) / float64(limiter.Limit())
	return max(time.Millisecond, time.Duration(min(seconds, time.Hour.Seconds())*float64(time.Second)))
}

// recordThrottled pauses the operation. Concurrent calls that are throttled count once.
func (t *throttle) recordThrottled(callStarted, now time.Time, retryAfter time.Duration, random *rand.Rand) {
	wait := min(retryAfter, t.maxRetryAfter)
	if !callStarted.Before(t.lastThrottled) {
		wait = max(wait, t.backoff.FullJitter(t.failures, random))
		t.failures++
		t.spacing = min(max(2*t.spacing, minSpacing), maxSpacing)
	}
	t.lastThrottled = now
	t.until = laterOf(t.until, now.Add(wait))
}

// recordSuccess shortens the spacing if the call started after the vendor last throttled.
func (t *throttle) recordSuccess(callStarted time.Time) {
	if t.failures == 0 && t.spacing == 0 || callStarted.Before(t.lastThrottled) {
		return
	}
	t.failures = 0
	t.spacing -= max(t.spacing/8, minSpacing/8)
	t.spacing = max(t.spacing, 0)
}
