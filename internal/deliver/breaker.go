package deliver

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig configures an operation's circuit breaker.
type BreakerConfig struct {
	// Failures is the number of consecutive failures that opens the breaker; 0 means 5.
	Failures int
	// Ratio is the ratio of failures among the calls of Window that opens the breaker, once there
	// are at least 10 calls; 0 means 0.5.
	Ratio float64
	// Window is the period over which Ratio is computed, at least two call timeouts; 0 means 30 s.
	Window time.Duration
	// OpenFor is how long the breaker stays open before it admits a probe; 0 means 15 s.
	OpenFor time.Duration
}

const (
	minCallsForRatio = 10
	windowBuckets    = 10
)

var (
	errVendorFailed = errors.New("the vendor failed")
	errExcluded     = errors.New("says nothing about the vendor")
)

// breaker wraps gobreaker and adds what it lacks. It counts consecutive failures itself, because
// gobreaker forgets those older than its window: five timeouts of a minute each would never be in
// one window of 30 s. And it knows when the open state ends, because gobreaker changes its state
// only when it is called. The gate's mutex guards a breaker; onChange is called with it locked.
type breaker struct {
	circuit             *gobreaker.TwoStepCircuitBreaker[struct{}]
	consecutiveFailures int // since the last success; results of calls that began in an earlier state are not counted
	stateChanges        int
	openUntil           time.Time
}

func newBreaker(cfg Config, onChange func(gobreaker.State)) *breaker {
	b := &breaker{}
	// gobreaker counts a result in the bucket in which its call started, and discards it if that
	// bucket has left the window. A window of two timeouts covers the slowest calls.
	window := max(cfg.Breaker.Window, 2*cfg.Timeout)
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         cfg.OperationName,
		MaxRequests:  1,
		Interval:     window,
		BucketPeriod: max(window/windowBuckets, 1),
		Timeout:      cfg.Breaker.OpenFor,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			// counts.Requests would include calls in flight and excluded ones.
			calls := counts.TotalSuccesses + counts.TotalFailures
			ratio := float64(counts.TotalFailures) / float64(calls)
			return b.consecutiveFailures >= cfg.Breaker.Failures || calls >= minCallsForRatio && ratio >= cfg.Breaker.Ratio
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errExcluded) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			b.stateChanges++
			// gobreaker leaves the open state strictly after OpenFor, hence the extra millisecond.
			b.openUntil = time.Now().Add(cfg.Breaker.OpenFor + time.Millisecond)
			onChange(to)
		},
	})
	return b
}

func (b *breaker) currentState() gobreaker.State { return b.circuit.State() }

// allowCall admits a call, or returns false. The returned function must be called exactly once, or
// a half-open breaker never admits another call. As in gobreaker, the result of a call that started
// before the last state change is ignored.
func (b *breaker) allowCall() (done func(breakerSignal), allowed bool) {
	report, err := b.circuit.Allow()
	if err != nil {
		return nil, false
	}
	changesAtStart := b.stateChanges
	return func(signal breakerSignal) {
		if changesAtStart == b.stateChanges {
			b.recordSignal(report, signal)
		}
	}, true
}

func (b *breaker) recordSignal(report func(error), signal breakerSignal) {
	switch signal {
	case signalSuccess:
		b.consecutiveFailures = 0
		report(nil)
	case signalFailure:
		b.consecutiveFailures++
		report(errVendorFailed)
	case signalExcluded:
		report(errExcluded)
	}
}
