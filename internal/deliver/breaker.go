package deliver

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig configures an operation's circuit breaker.
type BreakerConfig struct {
	// Failures in a row open it; 0: 5.
	Failures int
	// Ratio of failures among the calls of Window opens it, from 10 calls on; 0: 0.5 of 30 s. A window shorter than two time-outs is made as long.
	Ratio  float64
	Window time.Duration
	// OpenFor is how long it stays open before one item is tried; 0: 15 s.
	OpenFor time.Duration
}

// ratioFloor is how many calls a ratio is judged on at least.
const ratioFloor = 10

// windowBuckets divide the rolling window.
const windowBuckets = 10

var (
	errFailed   = errors.New("the vendor failed")
	errExcluded = errors.New("says nothing about the vendor")
)

// breaker is gobreaker with what it lacks: failures in a row are counted here, for its own count forgets those older than the window (five
// time-outs of a minute each would never meet in one of 30 s), and the end of the open state is known, for it changes state only when asked.
// Guarded by its gate's mutex; onChange is called under it.
type breaker struct {
	cb        *gobreaker.TwoStepCircuitBreaker[struct{}]
	row       int // failures in a row, of calls that began in this state
	changes   int // of state
	openUntil time.Time
}

func newBreaker(c Config, onChange func(gobreaker.State)) *breaker {
	b := &breaker{}
	// A result counts in the bucket of its call's start, and is lost when that has left the window.
	window := max(c.Breaker.Window, 2*c.Timeout)
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         c.OperationName,
		MaxRequests:  1,
		Interval:     window,
		BucketPeriod: max(window/windowBuckets, 1),
		Timeout:      c.Breaker.OpenFor,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			// Requests also holds calls in flight and excluded ones.
			judged := n.TotalSuccesses + n.TotalFailures
			ratio := float64(n.TotalFailures) / float64(judged)
			return b.row >= c.Breaker.Failures || judged >= ratioFloor && ratio >= c.Breaker.Ratio
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errExcluded) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			b.changes++
			// gobreaker leaves the open state after this time, not at it.
			b.openUntil = time.Now().Add(c.Breaker.OpenFor + time.Millisecond)
			onChange(to)
		},
	})
	return b
}

func (b *breaker) state() gobreaker.State { return b.cb.State() }

// allow starts a call. The function that it gives must be called once, or a half-open breaker never lets another one through. The result of a call that
// began before the state changed counts for nothing, as with gobreaker.
func (b *breaker) allow() (func(breakerSignal), bool) {
	done, err := b.cb.Allow()
	if err != nil {
		return nil, false
	}
	began := b.changes
	return func(s breakerSignal) {
		if began == b.changes {
			b.end(done, s)
		}
	}, true
}

func (b *breaker) end(done func(error), s breakerSignal) {
	switch s {
	case signalSuccess:
		b.row = 0
		done(nil)
	case signalFailure:
		b.row++
		done(errFailed)
	default:
		done(errExcluded)
	}
}
