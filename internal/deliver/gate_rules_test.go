package deliver

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"sluice/internal/batch"
	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func newTestGate(change func(*Config)) *gate {
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	return newGate(cfg.withDefaults(sink.OperationSpec{}), nil, zap.NewNop())
}

// gateState is why a gate holds its operation, since when, and the state of its breaker.
type gateState struct {
	Reason  observe.HoldReason
	Since   time.Time
	Breaker string
}

func (gate *gate) snapshotState(now time.Time) gateState {
	gate.mu.Lock()
	defer gate.mu.Unlock()
	state := gateState{Breaker: gate.breaker.currentState().String()}
	gate.reportHold(now, sink.Response{})
	if gate.report.reason != "" {
		state.Reason, state.Since = gate.report.reason, gate.report.since
	}
	return state
}

// mustAdmit returns a permit, or fails the test.
func mustAdmit(t *testing.T, gate *gate, lane int) *permit {
	t.Helper()
	permit, denied := gate.admit(lane, time.Now())
	if permit == nil {
		t.Fatalf("lane %d: got a denial for %v, want a permit", lane, denied.wait)
	}
	return permit
}

// mustDeny returns a denial, or fails the test.
func mustDeny(t *testing.T, gate *gate, lane int) denial {
	t.Helper()
	permit, denied := gate.admit(lane, time.Now())
	if permit != nil {
		t.Fatalf("lane %d: got a permit, want a denial", lane)
	}
	return denied
}

func reportUnavailable(permit *permit) {
	permit.reportVerdict(
		verdict{action: actionBackOff, signal: signalFailure, backOff: true}, newResponse(sink.Unavailable, 503), 1,
	)
}

func reportDelivered(permit *permit) {
	permit.reportVerdict(verdict{action: actionPerItem, signal: signalSuccess}, newResponse(sink.Delivered, 200), 1)
}

func wasNotified(denied denial) bool {
	select {
	case <-denied.changed:
		return true
	default:
		return false
	}
}

// newOpenGate returns a gate whose breaker lane 0 has opened.
func newOpenGate(t *testing.T) *gate {
	t.Helper()
	gate := newTestGate(nil)
	for range 5 {
		reportUnavailable(mustAdmit(t, gate, 0))
	}
	return gate
}

func TestLastFailedLaneLetsAnotherLaneProbeFirst(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newOpenGate(t)
		mustDeny(t, gate, 1)
		testkit.AdvanceClock(16 * time.Second)
		if denied := mustDeny(t, gate, 0); denied.wait != batch.Forever {
			t.Errorf("lane 0: got a wait of %v, want forever", denied.wait)
		}
		if permit := mustAdmit(t, gate, 1); !permit.probe || permit.maxItems != 1 {
			t.Errorf("got %+v, want a probe of one item", permit)
		}
	})
}

func TestLastFailedLaneProbesWhenTheOtherLaneWithdraws(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newOpenGate(t)
		mustDeny(t, gate, 1)
		testkit.AdvanceClock(16 * time.Second)
		denied := mustDeny(t, gate, 0)
		gate.withdraw(1)
		if !wasNotified(denied) {
			t.Error("lane 0 was not notified that lane 1 has withdrawn")
		}
		mustAdmit(t, gate, 0)
	})
}

func TestCanceledProbeLetsAnotherLaneProbe(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newOpenGate(t)
		testkit.AdvanceClock(16 * time.Second)
		permit := mustAdmit(t, gate, 1)
		denied := mustDeny(t, gate, 0)
		permit.cancel()
		permit.cancel()
		if !wasNotified(denied) {
			t.Error("lane 0 was not notified")
		}
		reportDelivered(mustAdmit(t, gate, 0))
		if state := gate.snapshotState(time.Now()); state.Breaker != "closed" || state.Reason != "" {
			t.Errorf("after a probe that passed: got %+v, want closed and not held", state)
		}
	})
}

func TestRatioCountsCallsThatTakeLongerThanTheWindow(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(func(cfg *Config) {
			cfg.Breaker.Failures, cfg.Breaker.Window, cfg.Timeout = 1000, 10*time.Second, time.Minute
		})
		var permits []*permit
		for lane := range 10 {
			permits = append(permits, mustAdmit(t, gate, lane))
		}
		testkit.AdvanceClock(time.Minute)
		for _, permit := range permits {
			reportUnavailable(permit)
		}
		if state := gate.snapshotState(time.Now()); state.Breaker != "open" {
			t.Errorf("after ten timeouts: got %+v, want open", state)
		}
	})
}

func TestBreakerRatioAppliesFromTenCallsOn(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		for i := range 9 {
			permit := mustAdmit(t, gate, 0)
			if i%2 == 0 {
				reportUnavailable(permit)
			} else {
				reportDelivered(permit)
			}
		}
		if state := gate.snapshotState(time.Now()); state.Breaker != "closed" {
			t.Errorf("after nine calls: got %+v, want closed", state)
		}
		reportUnavailable(mustAdmit(t, gate, 0))
		if state := gate.snapshotState(time.Now()); state.Breaker != "open" {
			t.Errorf("after ten calls: got %+v, want open", state)
		}
	})
}

// Otherwise slow failures of a past outage would open the breaker again, and old successes would
// keep it closed.
func TestCallsStartedBeforeABreakerChangeAreIgnored(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		var underWay []*permit
		for lane := range 9 {
			underWay = append(underWay, mustAdmit(t, gate, lane))
		}
		for _, permit := range underWay[:5] {
			reportUnavailable(permit)
		}
		testkit.AdvanceClock(16 * time.Second)
		reportDelivered(mustAdmit(t, gate, 7))
		for _, permit := range underWay[5:8] {
			reportUnavailable(permit)
		}
		for range 4 {
			reportUnavailable(mustAdmit(t, gate, 0))
		}
		if state := gate.snapshotState(time.Now()); state.Breaker != "closed" {
			t.Errorf("after four failures since it closed: got %+v, want closed", state)
		}
		reportDelivered(underWay[8])
		reportUnavailable(mustAdmit(t, gate, 0))
		if state := gate.snapshotState(time.Now()); state.Breaker != "open" {
			t.Errorf("after five failures since it closed: got %+v, want open", state)
		}
	})
}

func TestExcludedCallsDoNotOpenTheBreaker(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		for range 50 {
			mustAdmit(t, gate, 0).cancel()
			testkit.AdvanceClock(time.Minute)
			permit := mustAdmit(t, gate, 0)
			permit.reportVerdict(
				verdict{action: actionThrottle, signal: signalExcluded}, newResponse(sink.Throttled, 429), 1,
			)
			testkit.AdvanceClock(time.Hour)
		}
		if state := gate.snapshotState(time.Now()); state.Breaker != "closed" || state.Reason != "" {
			t.Errorf("got %+v, want closed and not held", state)
		}
	})
}

func TestRatioOpensTheBreakerAtItsValueAndCountsOnlyFinishedCalls(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		mustAdmit(t, gate, 1) // in flight
		for i := range 9 {
			permit := mustAdmit(t, gate, 0)
			if i%2 == 0 {
				reportUnavailable(permit)
			} else {
				reportDelivered(permit)
			}
		}
		if state := gate.snapshotState(time.Now()); state.Breaker != "closed" {
			t.Errorf("after nine calls: got %+v, want closed", state)
		}
		reportDelivered(mustAdmit(t, gate, 0))
		reportDelivered(mustAdmit(t, gate, 0))
		reportUnavailable(mustAdmit(t, gate, 0)) // six of twelve
		if state := gate.snapshotState(time.Now()); state.Breaker != "open" {
			t.Errorf("after half of the calls failed: got %+v, want open", state)
		}
	})
}

func TestCallsThrottledTogetherIncreaseTheSpacingOnce(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		var permits []*permit
		for lane := range 4 {
			permits = append(permits, mustAdmit(t, gate, lane))
		}
		testkit.AdvanceClock(time.Second)
		for _, permit := range permits {
			permit.reportVerdict(
				verdict{action: actionThrottle, signal: signalExcluded}, newResponse(sink.Throttled, 429), 1,
			)
		}
		if gate.throttle.spacing != minSpacing {
			t.Errorf("got a spacing of %v, want %v", gate.throttle.spacing, minSpacing)
		}
	})
}

// A lane that counted every failure would move its records to a retry topic in every outage.
func TestItemFailsAloneAfterThreeFailuresWithPassedCallsInBetween(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		e := &entry{Value: Delivery{Record: &record.Record{}}}
		failWith := func(response sink.Response) (failsAlone bool) {
			attempt := &callAttempt{
				op: newOperation(&fakeVendor{}, gate.cfg, gate, nil, nil, nil), sent: []*entry{e}, response: response,
			}
			return attempt.recordFailure()
		}
		down, elsewhere := newResponse(sink.Unavailable, 500), func() { reportDelivered(mustAdmit(t, gate, 1)) }
		for i, tc := range []struct{ passed, want bool }{
			{false, false}, {false, false}, {true, false}, {false, false}, {true, true}, {false, false}, {true, true},
		} {
			if tc.passed {
				elsewhere()
			}
			if got := failWith(down); got != tc.want {
				t.Errorf("failure %d: got fails alone %v, want %v", i+1, got, tc.want)
			}
		}
		elsewhere()
		if failWith(newResponse(sink.Unavailable, 0)) {
			t.Error("got fails alone for a refused connection, want not")
		}
	})
}

// Otherwise an outage that starts while other lanes' calls are in flight would look as if the
// vendor failed only on this batch.
func TestCallStartedBeforeAFailureDoesNotCountAsPassed(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		underWay, failing := mustAdmit(t, gate, 0), mustAdmit(t, gate, 1)
		testkit.AdvanceClock(time.Second)
		reportUnavailable(failing)
		reportDelivered(underWay)
		if _, passed := gate.callLimits(); passed != 0 {
			t.Errorf("got %d passed calls after the failure, want 0", passed)
		}
		reportDelivered(mustAdmit(t, gate, 0))
		if _, passed := gate.callLimits(); passed != 1 {
			t.Errorf("got %d passed calls after the failure, want 1", passed)
		}
	})
}
