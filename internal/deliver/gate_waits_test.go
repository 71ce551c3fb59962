package deliver

import (
	"testing"
	"time"

	"sluice/internal/batch"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func throttled(p *permit, wait time.Duration) {
	a := answer(sink.Throttled, 429)
	a.RetryAfter = wait
	p.report(verdict{step: stepThrottle, signal: excluded}, a, 1)
}

func TestOnlyACallThatBeganAfterTheThrottleRelaxesThePace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		under, refusedNow := enter(t, g, 0), enter(t, g, 1)
		testkit.AdvanceClock(time.Second)
		throttled(refusedNow, 0)
		pass(under)
		if g.pace.spacing != minSpacing {
			t.Errorf("calls are %v apart, want %v", g.pace.spacing, minSpacing)
		}
		testkit.AdvanceClock(time.Minute)
		pass(enter(t, g, 0))
		if g.pace.spacing >= minSpacing {
			t.Errorf("calls are still %v apart", g.pace.spacing)
		}
	})
}

func TestOfTwoThrottlesTheLongerOneHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		long, short := enter(t, g, 0), enter(t, g, 1)
		throttled(long, 10*time.Minute)
		throttled(short, time.Second)
		if r := refused(t, g, 0); r.wait < 9*time.Minute {
			t.Errorf("the next call may start in %v", r.wait)
		}
	})
}

func TestACallThatBeganBeforeTheHoldDoesNotEndIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		under, wrong := enter(t, g, 0), enter(t, g, 1)
		testkit.AdvanceClock(time.Second)
		wrong.report(verdict{step: stepHold, signal: failure, hold: holdMisconfigured}, answer(sink.Misconfigured, 404), 1)
		pass(under)
		if s := g.standing(time.Now()); s.Reason != holdMisconfigured {
			t.Errorf("it stands at %+v", s)
		}
	})
}

func TestAHoldIsProbedNoEarlierThanTheVendorAskedForUpToTheCap(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{10 * time.Minute: 10 * time.Minute, 24 * time.Hour: 15 * time.Minute} {
		bubble(t, func(t *testing.T) {
			g := newTestGate(nil)
			a := answer(sink.Throttled, 429)
			a.RetryAfter = asked
			p := enter(t, g, 0)
			g.fail(p, a)
			p.cancel()
			if r := refused(t, g, 0); r.wait != want {
				t.Errorf("asked for %v: probed in %v, want %v", asked, r.wait, want)
			}
		})
	}
}

// A trial that tells nothing of what the hold is for would else be followed by the next one at once.
func TestATrialThatMeetsAnotherFaultPutsTheNextOneOff(t *testing.T) {
	unclear := func(p *permit) {
		p.report(verdict{step: stepUnknown, signal: success}, answer(sink.Unknown, 200), 1)
	}
	for name, meet := range map[string]func(*permit){
		"unavailable": fail, "throttled": func(p *permit) { throttled(p, 0) }, "an answer that cannot be read": unclear,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := newTestGate(nil)
				enter(t, g, 0).report(verdict{step: stepHold, signal: excluded, hold: holdUnauthorized}, answer(sink.Unauthorized, 401), 1)
				testkit.AdvanceClock(5 * time.Second)
				meet(enter(t, g, 0))
				if r := refused(t, g, 0); r.wait != 10*time.Second {
					t.Errorf("the next trial is in %v, want 10 s", r.wait)
				}
			})
		})
	}
}

func TestOnlyFullCallsLetTheCapGrow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		enter(t, g, 0).report(verdict{step: stepShrink, signal: success}, answer(sink.TooLarge, 413), 8)
		for range 50 {
			pass(enter(t, g, 0)) // of one item
		}
		if most, _ := g.caps(); most != 4 {
			t.Errorf("the cap is %d, want 4", most)
		}
	})
}

func TestAReleaseEndsEachWait(t *testing.T) {
	for name, wait := range map[string]func(*gate, *permit){
		"throttle": func(_ *gate, p *permit) { throttled(p, 10*time.Minute) },
		"hold": func(_ *gate, p *permit) {
			p.report(verdict{step: stepHold, signal: excluded, hold: holdUnauthorized}, answer(sink.Unauthorized, 401), 1)
		},
		"flood": func(g *gate, p *permit) {
			pass(p)
			g.flooded(true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := newTestGate(nil)
				wait(g, enter(t, g, 0))
				r := refused(t, g, 0)
				g.release(time.Now())
				if !told(r) {
					t.Error("the lane was not told")
				}
				testkit.AdvanceClock(g.pace.spacing)
				enter(t, g, 0)
			})
		})
	}
}

func TestProbesOfAFloodGoRoundTheLanes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		g.flooded(true)
		testkit.AdvanceClock(5 * time.Second)
		pass(enter(t, g, 0)) // answered, with a refusal of the record
		testkit.AdvanceClock(10 * time.Second)
		_, _ = g.admit(1, time.Now().Add(-time.Second)) // lane 1 asks
		if r := refused(t, g, 0); r.wait != batch.Forever {
			t.Errorf("lane 0 is to ask again in %v", r.wait)
		}
		enter(t, g, 1)
	})
}

func TestAHoldIsAsOldAsItsFirstReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := opened(t)
		first := time.Now()
		testkit.AdvanceClock(16 * time.Second)
		enter(t, g, 0).report(verdict{step: stepHold, signal: failure, hold: holdMisconfigured}, answer(sink.Misconfigured, 404), 1)
		testkit.AdvanceClock(time.Minute)
		if s := g.standing(time.Now()); s.Reason != holdMisconfigured || !s.Since.Equal(first) {
			t.Errorf("it stands at %+v, held since %v", s, first)
		}
	})
}
