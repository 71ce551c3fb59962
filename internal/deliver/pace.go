package deliver

import (
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
)

// The spacing of calls after a throttle: it doubles with each throttle and shrinks with each success, so that the pace falls fast and rises slowly.
const (
	minSpacing = 100 * time.Millisecond
	maxSpacing = 30 * time.Second
)

// throttle says when the next call of an operation may start: by the account's limiter, and by what the vendor made of the last calls.
type throttle struct {
	limiter  *rate.Limiter // of the account; nil: none
	backoff  Backoff
	most     time.Duration // of a wait that the vendor asks for
	until    time.Time     // throttled until then
	asked    time.Time     // when the last throttle came
	failures int           // throttles in a row
	spacing  time.Duration
	next     time.Time
}

// take starts a call, or tells how long to wait before asking again.
func (p *throttle) take(now time.Time) (wait time.Duration) {
	if wait = p.next.Sub(now); wait > 0 {
		return wait
	}
	if p.limiter != nil && !p.limiter.AllowN(now, 1) {
		return p.untilToken(now)
	}
	p.next = now.Add(p.spacing)
	return 0
}

// untilToken is at least a millisecond, so that what rounding leaves of a token is not asked for in a circle.
func (p *throttle) untilToken(now time.Time) time.Duration {
	missing := (1 - p.limiter.TokensAt(now)) / float64(p.limiter.Limit())
	return max(time.Millisecond, time.Duration(min(missing, time.Hour.Seconds())*float64(time.Second)))
}

// throttle takes a refusal for the pace. Calls that ran beside each other and were refused together count once.
func (p *throttle) throttle(started, now time.Time, retryAfter time.Duration, r *rand.Rand) {
	wait := min(retryAfter, p.most)
	if !started.Before(p.asked) {
		wait = max(wait, p.backoff.jittered(p.failures, r))
		p.failures++
		p.spacing = min(max(2*p.spacing, minSpacing), maxSpacing)
	}
	p.asked = now
	p.until = later(p.until, now.Add(wait))
}

// relax takes a success of a call that started after the last throttle.
func (p *throttle) relax(started time.Time) {
	if p.failures == 0 && p.spacing == 0 || started.Before(p.asked) {
		return
	}
	p.failures = 0
	p.spacing -= max(p.spacing/8, minSpacing/8)
	p.spacing = max(p.spacing, 0)
}
