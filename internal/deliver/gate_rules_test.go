package deliver

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"sluice/internal/batch"
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

// enter is a permit that must be given.
func enter(t *testing.T, g *gate, lane int) *permit {
	t.Helper()
	p, r := g.admit(lane, time.Now())
	if p == nil {
		t.Fatalf("lane %d was refused for %v", lane, r.wait)
	}
	return p
}

// refused is the refusal that must be given.
func refused(t *testing.T, g *gate, lane int) refusal {
	t.Helper()
	p, r := g.admit(lane, time.Now())
	if p != nil {
		t.Fatalf("lane %d was let in", lane)
	}
	return r
}

func fail(p *permit) {
	p.report(verdict{step: stepBackOff, signal: failure, backOff: true}, answer(sink.Unavailable, 503), 1)
}

func pass(p *permit) {
	p.report(verdict{step: stepItems, signal: success}, answer(sink.Delivered, 200), 1)
}

func told(r refusal) bool {
	select {
	case <-r.changed:
		return true
	default:
		return false
	}
}

// opened is a gate whose breaker was opened by lane 0.
func opened(t *testing.T) *gate {
	t.Helper()
	g := newTestGate(nil)
	for range 5 {
		fail(enter(t, g, 0))
	}
	return g
}

func TestTheLaneThatFailedLastLetsAnotherOneTryFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := opened(t)
		refused(t, g, 1)
		testkit.AdvanceClock(16 * time.Second)
		if r := refused(t, g, 0); r.wait != batch.Forever {
			t.Errorf("lane 0 is to ask again in %v", r.wait)
		}
		if p := enter(t, g, 1); !p.trial || p.most != 1 {
			t.Errorf("the trial is %+v", p)
		}
	})
}

func TestTheLaneThatFailedLastGoesAheadWhenTheOtherHasNothingLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := opened(t)
		refused(t, g, 1)
		testkit.AdvanceClock(16 * time.Second)
		r := refused(t, g, 0)
		g.leave(1)
		if !told(r) {
			t.Error("lane 0 was not told that lane 1 has left")
		}
		enter(t, g, 0)
	})
}

func TestATrialThatIsNotMadeLeavesItsPlaceToAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := opened(t)
		testkit.AdvanceClock(16 * time.Second)
		p := enter(t, g, 1)
		r := refused(t, g, 0)
		p.cancel()
		p.cancel()
		if !told(r) {
			t.Error("lane 0 was not told")
		}
		pass(enter(t, g, 0))
		if s := g.standing(time.Now()); s.Breaker != "closed" || s.Reason != "" {
			t.Errorf("after a trial that passed it stands at %+v", s)
		}
	})
}

func TestTheRatioCountsCallsLongerThanTheWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(func(c *Config) { c.Breaker.Failures, c.Breaker.Window, c.Timeout = 1000, 10*time.Second, time.Minute })
		var permits []*permit
		for lane := range 10 {
			permits = append(permits, enter(t, g, lane))
		}
		testkit.AdvanceClock(time.Minute)
		for _, p := range permits {
			fail(p)
		}
		if s := g.standing(time.Now()); s.Breaker != "open" {
			t.Errorf("after ten timeouts it stands at %+v", s)
		}
	})
}

func TestTheRatioNeedsTenCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		for i := range 9 {
			p := enter(t, g, 0)
			if i%2 == 0 {
				fail(p)
			} else {
				pass(p)
			}
		}
		if s := g.standing(time.Now()); s.Breaker != "closed" {
			t.Errorf("after nine calls it stands at %+v", s)
		}
		fail(enter(t, g, 0))
		if s := g.standing(time.Now()); s.Breaker != "open" {
			t.Errorf("after ten calls it stands at %+v", s)
		}
	})
}

// Slow failures of an outage that is over would open it anew, and old successes keep it closed.
func TestCallsThatBeganBeforeTheBreakerChangedCountForNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		var under []*permit
		for lane := range 9 {
			under = append(under, enter(t, g, lane))
		}
		for _, p := range under[:5] {
			fail(p)
		}
		testkit.AdvanceClock(16 * time.Second)
		pass(enter(t, g, 7))
		for _, p := range under[5:8] {
			fail(p)
		}
		for range 4 {
			fail(enter(t, g, 0))
		}
		if s := g.standing(time.Now()); s.Breaker != "closed" {
			t.Errorf("after four failures since it closed it stands at %+v", s)
		}
		pass(under[8])
		fail(enter(t, g, 0))
		if s := g.standing(time.Now()); s.Breaker != "open" {
			t.Errorf("after five failures since it closed it stands at %+v", s)
		}
	})
}

func TestWhatSaysNothingAboutTheVendorDoesNotOpenTheBreaker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		for range 50 {
			enter(t, g, 0).cancel()
			testkit.AdvanceClock(time.Minute)
			p := enter(t, g, 0)
			p.report(verdict{step: stepThrottle, signal: excluded}, answer(sink.Throttled, 429), 1)
			testkit.AdvanceClock(time.Hour)
		}
		if s := g.standing(time.Now()); s.Breaker != "closed" || s.Reason != "" {
			t.Errorf("it stands at %+v", s)
		}
	})
}

func TestTheRatioOpensAtItsValueAndCountsCallsThatEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		enter(t, g, 1) // under way
		for i := range 9 {
			p := enter(t, g, 0)
			if i%2 == 0 {
				fail(p)
			} else {
				pass(p)
			}
		}
		if s := g.standing(time.Now()); s.Breaker != "closed" {
			t.Errorf("after nine calls it stands at %+v", s)
		}
		pass(enter(t, g, 0))
		pass(enter(t, g, 0))
		fail(enter(t, g, 0)) // six of twelve
		if s := g.standing(time.Now()); s.Breaker != "open" {
			t.Errorf("with half of the calls failed it stands at %+v", s)
		}
	})
}

func TestCallsThrottledTogetherLowerThePaceOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		var permits []*permit
		for lane := range 4 {
			permits = append(permits, enter(t, g, lane))
		}
		testkit.AdvanceClock(time.Second)
		for _, p := range permits {
			p.report(verdict{step: stepThrottle, signal: excluded}, answer(sink.Throttled, 429), 1)
		}
		if g.pace.spacing != minSpacing {
			t.Errorf("calls are %v apart, want %v", g.pace.spacing, minSpacing)
		}
	})
}

// A lane that counted strikes without a passing call in between would move its records on in every outage.
func TestThreeFailuresArePoisonOnlyWithPassingCallsBetween(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		l := newLane(0, &vendor{}, g.cfg, g, nil, nil, nil)
		e := &entry{Value: job{Delivery: Delivery{Record: &record.Record{}}}}
		down, elsewhere := answer(sink.Unavailable, 500), func() { pass(enter(t, g, 1)) }
		for i, c := range []struct{ passed, want bool }{
			{false, false}, {false, false}, {true, false}, {false, false}, {true, true}, {false, false}, {true, true},
		} {
			if c.passed {
				elsewhere()
			}
			if got := l.strike(chunk{e}, down); got != c.want {
				t.Errorf("failure %d: poison %v, want %v", i+1, got, c.want)
			}
		}
		elsewhere()
		if l.strike(chunk{e}, answer(sink.Unavailable, 0)) {
			t.Error("a refused connection is the item's fault")
		}
	})
}
