package deliver

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig configures an operation's circuit breaker.
type BreakerConfig struct {
	// Failures is the number of failures in a row that opens it; 0: 5.
	Failures int
	// Ratio is the share of failures among the calls of Window that opens it, from 10 calls on; 0:
	// 0.5.
	Ratio float64
	// Window is the time over which Ratio is taken, at least two call timeouts; 0: 30 s.
	Window time.Duration
	// OpenFor is how long it stays open before it lets a probe through; 0: 15 s.
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

// breaker wraps gobreaker and adds what it lacks. Failures in a row are counted here, because
// gobreaker forgets those older than its window: five timeouts of a minute each would never meet in
// a window of 30 s. And the end of the open state is known, because gobreaker changes state only
// when it is asked. The gate's mutex guards a breaker; onChange is called with it locked.
type breaker struct {
	circuit       *gobreaker.TwoStepCircuitBreaker[struct{}]
	failuresInRow int // of calls that began in the current state
	stateChanges  int
	openUntil     time.Time
}

func newBreaker(cfg Config, onChange func(gobreaker.State)) *breaker {
	b := &breaker{}
	// gobreaker counts a result in the bucket of its call's start, and loses it when that bucket
	// has left the window. A window of two timeouts keeps the slowest calls.
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
			return b.failuresInRow >= cfg.Breaker.Failures || calls >= minCallsForRatio && ratio >= cfg.Breaker.Ratio
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errExcluded) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			b.stateChanges++
			// gobreaker leaves the open state after this time, not at it.
			b.openUntil = time.Now().Add(cfg.Breaker.OpenFor + time.Millisecond)
			onChange(to)
		},
	})
	return b
}

func (b *breaker) currentState() gobreaker.State { return b.circuit.State() }

// allowCall lets a call start, or returns false. The returned function must be called once, or a
// half-open breaker never lets another call through. The result of a call that began before the
// last state change is ignored, as gobreaker does.
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
		b.failuresInRow = 0
		report(nil)
	case signalFailure:
		b.failuresInRow++
		report(errVendorFailed)
	case signalExcluded:
		report(errExcluded)
	}
}
