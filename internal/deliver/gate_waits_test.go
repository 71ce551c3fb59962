package deliver

import (
	"testing"
	"time"

	"sluice/internal/batch"
	"sluice/internal/observe"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func reportThrottled(p *permit, wait time.Duration) {
	a := newResponse(sink.Throttled, 429)
	a.RetryAfter = wait
	p.reportVerdict(verdict{action: actionThrottle, signal: signalExcluded}, a, 1)
}

func TestOnlyACallThatBeganAfterTheThrottleRelaxesThePace(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		under, refusedNow := mustAdmit(t, g, 0), mustAdmit(t, g, 1)
		testkit.AdvanceClock(time.Second)
		reportThrottled(refusedNow, 0)
		reportDelivered(under)
		if g.throttle.spacing != minSpacing {
			t.Errorf("calls are %v apart, want %v", g.throttle.spacing, minSpacing)
		}
		testkit.AdvanceClock(time.Minute)
		reportDelivered(mustAdmit(t, g, 0))
		if g.throttle.spacing >= minSpacing {
			t.Errorf("calls are still %v apart", g.throttle.spacing)
		}
	})
}

func TestOfTwoThrottlesTheLongerOneHolds(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		long, short := mustAdmit(t, g, 0), mustAdmit(t, g, 1)
		reportThrottled(long, 10*time.Minute)
		reportThrottled(short, time.Second)
		if r := mustDeny(t, g, 0); r.wait < 9*time.Minute {
			t.Errorf("the next call may start in %v", r.wait)
		}
	})
}

func TestACallThatBeganBeforeTheHoldDoesNotEndIt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		under, wrong := mustAdmit(t, g, 0), mustAdmit(t, g, 1)
		testkit.AdvanceClock(time.Second)
		wrong.reportVerdict(verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured}, newResponse(sink.Misconfigured, 404), 1)
		reportDelivered(under)
		if s := g.snapshotState(time.Now()); s.Reason != observe.HoldMisconfigured {
			t.Errorf("it stands at %+v", s)
		}
	})
}

func TestAHoldIsProbedNoEarlierThanTheVendorAskedForUpToTheCap(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{10 * time.Minute: 10 * time.Minute, 24 * time.Hour: 15 * time.Minute} {
		runInBubble(t, func(t *testing.T) {
			g := newTestGate(nil)
			a := newResponse(sink.Throttled, 429)
			a.RetryAfter = asked
			p := mustAdmit(t, g, 0)
			g.holdForToken(p, a)
			p.cancel()
			if r := mustDeny(t, g, 0); r.wait != want {
				t.Errorf("asked for %v: probed in %v, want %v", asked, r.wait, want)
			}
		})
	}
}

// A trial that tells nothing of what the hold is for would else be followed by the next one at once.
func TestATrialThatMeetsAnotherFaultPutsTheNextOneOff(t *testing.T) {
	unclear := func(p *permit) {
		p.reportVerdict(verdict{action: actionUnknownOutcome, signal: signalSuccess}, newResponse(sink.Unknown, 200), 1)
	}
	for name, meet := range map[string]func(*permit){
		"unavailable": reportUnavailable, "throttled": func(p *permit) { reportThrottled(p, 0) }, "an answer that cannot be read": unclear,
	} {
		t.Run(name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				g := newTestGate(nil)
				mustAdmit(t, g, 0).reportVerdict(verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized}, newResponse(sink.Unauthorized, 401), 1)
				testkit.AdvanceClock(5 * time.Second)
				meet(mustAdmit(t, g, 0))
				if r := mustDeny(t, g, 0); r.wait != 10*time.Second {
					t.Errorf("the next trial is in %v, want 10 s", r.wait)
				}
			})
		})
	}
}

func TestOnlyFullCallsLetTheCapGrow(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		mustAdmit(t, g, 0).reportVerdict(verdict{action: actionShrinkCalls, signal: signalSuccess}, newResponse(sink.TooLarge, 413), 8)
		for range 50 {
			reportDelivered(mustAdmit(t, g, 0)) // of one item
		}
		if most, _ := g.callLimits(); most != 4 {
			t.Errorf("the cap is %d, want 4", most)
		}
	})
}

func TestAReleaseEndsEachWait(t *testing.T) {
	for name, wait := range map[string]func(*gate, *permit){
		"throttle": func(_ *gate, p *permit) { reportThrottled(p, 10*time.Minute) },
		"hold": func(_ *gate, p *permit) {
			p.reportVerdict(verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized}, newResponse(sink.Unauthorized, 401), 1)
		},
		"flood": func(g *gate, p *permit) {
			reportDelivered(p)
			g.setFlood(true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				g := newTestGate(nil)
				wait(g, mustAdmit(t, g, 0))
				r := mustDeny(t, g, 0)
				g.probeNow(time.Now())
				if !wasNotified(r) {
					t.Error("the lane was not told")
				}
				testkit.AdvanceClock(g.throttle.spacing)
				mustAdmit(t, g, 0)
			})
		})
	}
}

func TestProbesOfAFloodGoRoundTheLanes(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		g.setFlood(true)
		testkit.AdvanceClock(5 * time.Second)
		reportDelivered(mustAdmit(t, g, 0)) // answered, with a refusal of the record
		testkit.AdvanceClock(10 * time.Second)
		_, _ = g.admit(1, time.Now().Add(-time.Second)) // lane 1 asks
		if r := mustDeny(t, g, 0); r.wait != batch.Forever {
			t.Errorf("lane 0 is to ask again in %v", r.wait)
		}
		mustAdmit(t, g, 1)
	})
}

func TestAHoldIsAsOldAsItsFirstReason(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newOpenGate(t)
		first := time.Now()
		testkit.AdvanceClock(16 * time.Second)
		mustAdmit(t, g, 0).reportVerdict(verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured}, newResponse(sink.Misconfigured, 404), 1)
		testkit.AdvanceClock(time.Minute)
		if s := g.snapshotState(time.Now()); s.Reason != observe.HoldMisconfigured || !s.Since.Equal(first) {
			t.Errorf("it stands at %+v, held since %v", s, first)
		}
	})
}
