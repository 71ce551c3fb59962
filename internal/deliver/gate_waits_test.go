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

func TestOnlyACallStartedAfterThrottlingShortensTheSpacing(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		underWay, denied := mustAdmit(t, gate, 0), mustAdmit(t, gate, 1)
		testkit.AdvanceClock(time.Second)
		reportThrottled(denied, 0)
		reportDelivered(underWay)
		if gate.throttle.spacing != minSpacing {
			t.Errorf("got a spacing of %v, want %v", gate.throttle.spacing, minSpacing)
		}
		testkit.AdvanceClock(time.Minute)
		reportDelivered(mustAdmit(t, gate, 0))
		if gate.throttle.spacing >= minSpacing {
			t.Errorf("got a spacing of %v, want less than %v", gate.throttle.spacing, minSpacing)
		}
	})
}

func TestLongerOfTwoThrottlesApplies(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		long, short := mustAdmit(t, gate, 0), mustAdmit(t, gate, 1)
		reportThrottled(long, 10*time.Minute)
		reportThrottled(short, time.Second)
		if denied := mustDeny(t, gate, 0); denied.wait < 9*time.Minute {
			t.Errorf("got a wait of %v, want at least 9 m", denied.wait)
		}
	})
}

func TestCallStartedBeforeTheHoldDoesNotEndIt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		underWay, wrong := mustAdmit(t, gate, 0), mustAdmit(t, gate, 1)
		testkit.AdvanceClock(time.Second)
		wrong.reportVerdict(
			verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured},
			newResponse(sink.Misconfigured, 404), 1,
		)
		reportDelivered(underWay)
		if state := gate.snapshotState(time.Now()); state.Reason != observe.HoldMisconfigured {
			t.Errorf("got %+v, want held as misconfigured", state)
		}
	})
}

func TestHoldRespectsRetryAfterUpToTheCap(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		10 * time.Minute: 10 * time.Minute, 24 * time.Hour: 15 * time.Minute,
	} {
		runInBubble(t, func(t *testing.T) {
			gate := newTestGate(nil)
			response := newResponse(sink.Throttled, 429)
			response.RetryAfter = asked
			permit := mustAdmit(t, gate, 0)
			gate.holdForToken(permit, response)
			permit.cancel()
			if denied := mustDeny(t, gate, 0); denied.wait != want {
				t.Errorf("Retry-After %v: got a probe in %v, want %v", asked, denied.wait, want)
			}
		})
	}
}

// Otherwise a probe that met a different fault than the hold's would be followed by the next one
// immediately.
func TestProbeThatMeetsAnotherFaultPostponesTheNextOne(t *testing.T) {
	reportUnreadable := func(permit *permit) {
		permit.reportVerdict(
			verdict{action: actionUnknownOutcome, signal: signalSuccess}, newResponse(sink.Unknown, 200), 1,
		)
	}
	for name, meet := range map[string]func(*permit){
		"unavailable": reportUnavailable, "throttled": func(permit *permit) { reportThrottled(permit, 0) },
		"unreadable response": reportUnreadable,
	} {
		t.Run(name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				gate := newTestGate(nil)
				mustAdmit(t, gate, 0).reportVerdict(
					verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized},
					newResponse(sink.Unauthorized, 401), 1,
				)
				testkit.AdvanceClock(5 * time.Second)
				meet(mustAdmit(t, gate, 0))
				if denied := mustDeny(t, gate, 0); denied.wait != 10*time.Second {
					t.Errorf("got the next probe in %v, want 10 s", denied.wait)
				}
			})
		})
	}
}

func TestOnlyFullCallsLetTheCallSizeGrow(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		mustAdmit(t, gate, 0).reportVerdict(
			verdict{action: actionShrinkCalls, signal: signalSuccess}, newResponse(sink.TooLarge, 413), 8,
		)
		for range 50 {
			reportDelivered(mustAdmit(t, gate, 0)) // of one item
		}
		if most, _ := gate.callLimits(); most != 4 {
			t.Errorf("got a limit of %d items, want 4", most)
		}
	})
}

func TestProbeNowEndsEveryWait(t *testing.T) {
	for name, wait := range map[string]func(*gate, *permit){
		"throttle": func(_ *gate, permit *permit) { reportThrottled(permit, 10*time.Minute) },
		"hold": func(_ *gate, permit *permit) {
			permit.reportVerdict(
				verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized},
				newResponse(sink.Unauthorized, 401), 1,
			)
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
					t.Error("the lane was not notified")
				}
				testkit.AdvanceClock(gate.throttle.spacing)
				mustAdmit(t, gate, 0)
			})
		})
	}
}

func TestProbesOfAFloodAlternateBetweenLanes(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		gate.setFlood(true)
		testkit.AdvanceClock(5 * time.Second)
		reportDelivered(mustAdmit(t, gate, 0)) // the vendor responds, and refuses the record
		testkit.AdvanceClock(10 * time.Second)
		_, _ = gate.admit(1, time.Now().Add(-time.Second)) // lane 1 is waiting
		if denied := mustDeny(t, gate, 0); denied.wait != batch.Forever {
			t.Errorf("lane 0: got a wait of %v, want forever", denied.wait)
		}
		mustAdmit(t, gate, 1)
	})
}

func TestHoldBeginsWithItsFirstReason(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newOpenGate(t)
		first := time.Now()
		testkit.AdvanceClock(16 * time.Second)
		mustAdmit(t, gate, 0).reportVerdict(
			verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured},
			newResponse(sink.Misconfigured, 404), 1,
		)
		testkit.AdvanceClock(time.Minute)
		if state := gate.snapshotState(time.Now()); state.Reason != observe.HoldMisconfigured ||
			!state.Since.Equal(first) {
			t.Errorf("got %+v, want held as misconfigured since %v", state, first)
		}
	})
}
