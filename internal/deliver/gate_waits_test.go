package deliver

import (
	"testing"
	"time"

	"sluice/internal/batch"
	"sluice/internal/observe"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func reportThrottled(permit *permit, wait time.Duration) {
	response := newResponse(sink.Throttled, 429)
	response.RetryAfter = wait
	permit.reportVerdict(verdict{action: actionThrottle, signal: signalExcluded}, response, 1)
}

func TestOnlyACallThatBeganAfterTheThrottleRelaxesThePace(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		under, refusedNow := mustAdmit(t, gate, 0), mustAdmit(t, gate, 1)
		testkit.AdvanceClock(time.Second)
		reportThrottled(refusedNow, 0)
		reportDelivered(under)
		if gate.throttle.spacing != minSpacing {
			t.Errorf("calls are %v apart, want %v", gate.throttle.spacing, minSpacing)
		}
		testkit.AdvanceClock(time.Minute)
		reportDelivered(mustAdmit(t, gate, 0))
		if gate.throttle.spacing >= minSpacing {
			t.Errorf("calls are still %v apart", gate.throttle.spacing)
		}
	})
}

func TestOfTwoThrottlesTheLongerOneHolds(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		long, short := mustAdmit(t, gate, 0), mustAdmit(t, gate, 1)
		reportThrottled(long, 10*time.Minute)
		reportThrottled(short, time.Second)
		if denied := mustDeny(t, gate, 0); denied.wait < 9*time.Minute {
			t.Errorf("the next call may start in %v", denied.wait)
		}
	})
}

func TestACallThatBeganBeforeTheHoldDoesNotEndIt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		under, wrong := mustAdmit(t, gate, 0), mustAdmit(t, gate, 1)
		testkit.AdvanceClock(time.Second)
		wrong.reportVerdict(verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured}, newResponse(sink.Misconfigured, 404), 1)
		reportDelivered(under)
		if state := gate.snapshotState(time.Now()); state.Reason != observe.HoldMisconfigured {
			t.Errorf("it stands at %+v", state)
		}
	})
}

func TestAHoldIsProbedNoEarlierThanTheVendorAskedForUpToTheCap(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{10 * time.Minute: 10 * time.Minute, 24 * time.Hour: 15 * time.Minute} {
		runInBubble(t, func(t *testing.T) {
			gate := newTestGate(nil)
			response := newResponse(sink.Throttled, 429)
			response.RetryAfter = asked
			permit := mustAdmit(t, gate, 0)
			gate.holdForToken(permit, response)
			permit.cancel()
			if denied := mustDeny(t, gate, 0); denied.wait != want {
				t.Errorf("asked for %v: probed in %v, want %v", asked, denied.wait, want)
			}
		})
	}
}

// A trial that tells nothing of what the hold is for would else be followed by the next one at once.
func TestATrialThatMeetsAnotherFaultPutsTheNextOneOff(t *testing.T) {
	unclear := func(permit *permit) {
		permit.reportVerdict(verdict{action: actionUnknownOutcome, signal: signalSuccess}, newResponse(sink.Unknown, 200), 1)
	}
	for name, meet := range map[string]func(*permit){
		"unavailable": reportUnavailable, "throttled": func(permit *permit) { reportThrottled(permit, 0) }, "an answer that cannot be read": unclear,
	} {
		t.Run(name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				gate := newTestGate(nil)
				mustAdmit(t, gate, 0).reportVerdict(verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized}, newResponse(sink.Unauthorized, 401), 1)
				testkit.AdvanceClock(5 * time.Second)
				meet(mustAdmit(t, gate, 0))
				if denied := mustDeny(t, gate, 0); denied.wait != 10*time.Second {
					t.Errorf("the next trial is in %v, want 10 s", denied.wait)
				}
			})
		})
	}
}

func TestOnlyFullCallsLetTheCapGrow(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		mustAdmit(t, gate, 0).reportVerdict(verdict{action: actionShrinkCalls, signal: signalSuccess}, newResponse(sink.TooLarge, 413), 8)
		for range 50 {
			reportDelivered(mustAdmit(t, gate, 0)) // of one item
		}
		if most, _ := gate.callLimits(); most != 4 {
			t.Errorf("the cap is %d, want 4", most)
		}
	})
}

func TestAReleaseEndsEachWait(t *testing.T) {
	for name, wait := range map[string]func(*gate, *permit){
		"throttle": func(_ *gate, permit *permit) { reportThrottled(permit, 10*time.Minute) },
		"hold": func(_ *gate, permit *permit) {
			permit.reportVerdict(verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized}, newResponse(sink.Unauthorized, 401), 1)
		},
		"flood": func(gate *gate, permit *permit) {
			reportDelivered(permit)
			gate.setFlood(true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				gate := newTestGate(nil)
				wait(gate, mustAdmit(t, gate, 0))
				denied := mustDeny(t, gate, 0)
				gate.probeNow(time.Now())
				if !wasNotified(denied) {
					t.Error("the lane was not told")
				}
				testkit.AdvanceClock(gate.throttle.spacing)
				mustAdmit(t, gate, 0)
			})
		})
	}
}

func TestProbesOfAFloodGoRoundTheLanes(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		gate.setFlood(true)
		testkit.AdvanceClock(5 * time.Second)
		reportDelivered(mustAdmit(t, gate, 0)) // answered, with a refusal of the record
		testkit.AdvanceClock(10 * time.Second)
		_, _ = gate.admit(1, time.Now().Add(-time.Second)) // lane 1 asks
		if denied := mustDeny(t, gate, 0); denied.wait != batch.Forever {
			t.Errorf("lane 0 is to ask again in %v", denied.wait)
		}
		mustAdmit(t, gate, 1)
	})
}

func TestAHoldIsAsOldAsItsFirstReason(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newOpenGate(t)
		first := time.Now()
		testkit.AdvanceClock(16 * time.Second)
		mustAdmit(t, gate, 0).reportVerdict(verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured}, newResponse(sink.Misconfigured, 404), 1)
		testkit.AdvanceClock(time.Minute)
		if state := gate.snapshotState(time.Now()); state.Reason != observe.HoldMisconfigured || !state.Since.Equal(first) {
			t.Errorf("it stands at %+v, held since %v", state, first)
		}
	})
}
