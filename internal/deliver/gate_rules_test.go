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

// gateState is why a gate is held and since when, and the state of its breaker.
type gateState struct {
	Reason  observe.HoldReason
	Since   time.Time
	Breaker string
}

func (g *gate) snapshotState(now time.Time) gateState {
	g.mu.Lock()
	defer g.mu.Unlock()
	state := gateState{Breaker: g.breaker.currentState().String()}
	g.reportHold(now, sink.Response{})
	if g.report.reason != "" {
		state.Reason, state.Since = g.report.reason, g.report.since
	}
	return state
}

// mustAdmit is a permit that must be given.
func mustAdmit(t *testing.T, g *gate, lane int) *permit {
	t.Helper()
	p, r := g.admit(lane, time.Now())
	if p == nil {
		t.Fatalf("lane %d was refused for %v", lane, r.wait)
	}
	return p
}

// mustDeny is the refusal that must be given.
func mustDeny(t *testing.T, g *gate, lane int) denial {
	t.Helper()
	p, r := g.admit(lane, time.Now())
	if p != nil {
		t.Fatalf("lane %d was let in", lane)
	}
	return r
}

func reportUnavailable(p *permit) {
	p.reportVerdict(verdict{action: actionBackOff, signal: signalFailure, backOff: true}, newResponse(sink.Unavailable, 503), 1)
}

func reportDelivered(p *permit) {
	p.reportVerdict(verdict{action: actionPerItem, signal: signalSuccess}, newResponse(sink.Delivered, 200), 1)
}

func wasNotified(r denial) bool {
	select {
	case <-r.changed:
		return true
	default:
		return false
	}
}

// newOpenGate is a gate whose breaker was opened by lane 0.
func newOpenGate(t *testing.T) *gate {
	t.Helper()
	g := newTestGate(nil)
	for range 5 {
		reportUnavailable(mustAdmit(t, g, 0))
	}
	return g
}

func TestTheLaneThatFailedLastLetsAnotherOneTryFirst(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newOpenGate(t)
		mustDeny(t, g, 1)
		testkit.AdvanceClock(16 * time.Second)
		if r := mustDeny(t, g, 0); r.wait != batch.Forever {
			t.Errorf("lane 0 is to ask again in %v", r.wait)
		}
		if p := mustAdmit(t, g, 1); !p.probe || p.maxItems != 1 {
			t.Errorf("the trial is %+v", p)
		}
	})
}

func TestTheLaneThatFailedLastGoesAheadWhenTheOtherHasNothingLeft(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newOpenGate(t)
		mustDeny(t, g, 1)
		testkit.AdvanceClock(16 * time.Second)
		r := mustDeny(t, g, 0)
		g.withdraw(1)
		if !wasNotified(r) {
			t.Error("lane 0 was not told that lane 1 has left")
		}
		mustAdmit(t, g, 0)
	})
}

func TestATrialThatIsNotMadeLeavesItsPlaceToAnother(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newOpenGate(t)
		testkit.AdvanceClock(16 * time.Second)
		p := mustAdmit(t, g, 1)
		r := mustDeny(t, g, 0)
		p.cancel()
		p.cancel()
		if !wasNotified(r) {
			t.Error("lane 0 was not told")
		}
		reportDelivered(mustAdmit(t, g, 0))
		if s := g.snapshotState(time.Now()); s.Breaker != "closed" || s.Reason != "" {
			t.Errorf("after a trial that passed it stands at %+v", s)
		}
	})
}

func TestTheRatioCountsCallsLongerThanTheWindow(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(func(c *Config) { c.Breaker.Failures, c.Breaker.Window, c.Timeout = 1000, 10*time.Second, time.Minute })
		var permits []*permit
		for lane := range 10 {
			permits = append(permits, mustAdmit(t, g, lane))
		}
		testkit.AdvanceClock(time.Minute)
		for _, p := range permits {
			reportUnavailable(p)
		}
		if s := g.snapshotState(time.Now()); s.Breaker != "open" {
			t.Errorf("after ten timeouts it stands at %+v", s)
		}
	})
}

func TestTheRatioNeedsTenCalls(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		for i := range 9 {
			p := mustAdmit(t, g, 0)
			if i%2 == 0 {
				reportUnavailable(p)
			} else {
				reportDelivered(p)
			}
		}
		if s := g.snapshotState(time.Now()); s.Breaker != "closed" {
			t.Errorf("after nine calls it stands at %+v", s)
		}
		reportUnavailable(mustAdmit(t, g, 0))
		if s := g.snapshotState(time.Now()); s.Breaker != "open" {
			t.Errorf("after ten calls it stands at %+v", s)
		}
	})
}

// Slow failures of an outage that is over would open it anew, and old successes keep it closed.
func TestCallsThatBeganBeforeTheBreakerChangedCountForNothing(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		var under []*permit
		for lane := range 9 {
			under = append(under, mustAdmit(t, g, lane))
		}
		for _, p := range under[:5] {
			reportUnavailable(p)
		}
		testkit.AdvanceClock(16 * time.Second)
		reportDelivered(mustAdmit(t, g, 7))
		for _, p := range under[5:8] {
			reportUnavailable(p)
		}
		for range 4 {
			reportUnavailable(mustAdmit(t, g, 0))
		}
		if s := g.snapshotState(time.Now()); s.Breaker != "closed" {
			t.Errorf("after four failures since it closed it stands at %+v", s)
		}
		reportDelivered(under[8])
		reportUnavailable(mustAdmit(t, g, 0))
		if s := g.snapshotState(time.Now()); s.Breaker != "open" {
			t.Errorf("after five failures since it closed it stands at %+v", s)
		}
	})
}

func TestWhatSaysNothingAboutTheVendorDoesNotOpenTheBreaker(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		for range 50 {
			mustAdmit(t, g, 0).cancel()
			testkit.AdvanceClock(time.Minute)
			p := mustAdmit(t, g, 0)
			p.reportVerdict(verdict{action: actionThrottle, signal: signalExcluded}, newResponse(sink.Throttled, 429), 1)
			testkit.AdvanceClock(time.Hour)
		}
		if s := g.snapshotState(time.Now()); s.Breaker != "closed" || s.Reason != "" {
			t.Errorf("it stands at %+v", s)
		}
	})
}

func TestTheRatioOpensAtItsValueAndCountsCallsThatEnded(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		mustAdmit(t, g, 1) // under way
		for i := range 9 {
			p := mustAdmit(t, g, 0)
			if i%2 == 0 {
				reportUnavailable(p)
			} else {
				reportDelivered(p)
			}
		}
		if s := g.snapshotState(time.Now()); s.Breaker != "closed" {
			t.Errorf("after nine calls it stands at %+v", s)
		}
		reportDelivered(mustAdmit(t, g, 0))
		reportDelivered(mustAdmit(t, g, 0))
		reportUnavailable(mustAdmit(t, g, 0)) // six of twelve
		if s := g.snapshotState(time.Now()); s.Breaker != "open" {
			t.Errorf("with half of the calls failed it stands at %+v", s)
		}
	})
}

func TestCallsThrottledTogetherLowerThePaceOnce(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		var permits []*permit
		for lane := range 4 {
			permits = append(permits, mustAdmit(t, g, lane))
		}
		testkit.AdvanceClock(time.Second)
		for _, p := range permits {
			p.reportVerdict(verdict{action: actionThrottle, signal: signalExcluded}, newResponse(sink.Throttled, 429), 1)
		}
		if g.throttle.spacing != minSpacing {
			t.Errorf("calls are %v apart, want %v", g.throttle.spacing, minSpacing)
		}
	})
}

// A lane that counted every failure would move its records on in every outage.
func TestThreeFailuresArePoisonOnlyWithPassedCallsInBetween(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		e := &entry{Value: Delivery{Record: &record.Record{}}}
		failWith := func(response sink.Response) (poison bool) {
			attempt := &callAttempt{op: newOperation(&fakeVendor{}, g.cfg, g, nil, nil, nil), sent: []*entry{e}, response: response}
			return attempt.recordFailure()
		}
		down, elsewhere := newResponse(sink.Unavailable, 500), func() { reportDelivered(mustAdmit(t, g, 1)) }
		for i, c := range []struct{ passed, want bool }{
			{false, false}, {false, false}, {true, false}, {false, false}, {true, true}, {false, false}, {true, true},
		} {
			if c.passed {
				elsewhere()
			}
			if got := failWith(down); got != c.want {
				t.Errorf("failure %d: got poison %v, want %v", i+1, got, c.want)
			}
		}
		elsewhere()
		if failWith(newResponse(sink.Unavailable, 0)) {
			t.Error("got poison for a refused connection, want the item not to be blamed")
		}
	})
}

// Otherwise an outage that begins while other lanes' calls are under way would look like a batch that
// fails alone.
func TestACallThatBeganBeforeAFailureDoesNotCountAsPassedAfterIt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		underWay, failing := mustAdmit(t, g, 0), mustAdmit(t, g, 1)
		testkit.AdvanceClock(time.Second)
		reportUnavailable(failing)
		reportDelivered(underWay)
		if _, passed := g.callLimits(); passed != 0 {
			t.Errorf("got %d passed calls after the failure, want 0", passed)
		}
		reportDelivered(mustAdmit(t, g, 0))
		if _, passed := g.callLimits(); passed != 1 {
			t.Errorf("got %d passed calls after the failure, want 1", passed)
		}
	})
}
