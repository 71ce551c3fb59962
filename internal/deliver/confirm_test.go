package deliver

import (
	"testing"
	"time"

	"golang.org/x/time/rate"

	"sluice/internal/guard"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// blockIntents makes the n-th intent log take so long; the first is 1.
func (h *harness) blockIntents(n int, took time.Duration) {
	calls := 0
	h.ledger.onLogIntent = func() {
		h.ledger.mu.Lock()
		calls++
		blocked := calls == n
		h.ledger.mu.Unlock()
		if blocked {
			<-time.After(took)
		}
	}
}

func (l *ledger) intentCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.intents)
}

// A call that was admitted waits for the commit of its intents. Meanwhile a call of the other lane
// closes the gate, and the first call must wait like any other.
func TestCallWhoseIntentsTookLongIsNotSentThroughAClosedGate(t *testing.T) {
	throttled := newResponse(sink.Throttled, 429)
	throttled.RetryAfter = 30 * time.Second
	for _, tc := range []struct {
		name     string
		response sink.Response
		change   func(*Config)
		wait     time.Duration // from the response to the next call
		items    int           // of the next call
	}{
		{"throttled with Retry-After", throttled, nil, 30 * time.Second, 8},
		{"held as unauthorized", newResponse(sink.Unauthorized, 401), nil, 5 * time.Second, 1},
		{"held as misconfigured", newResponse(sink.Misconfigured, 404), nil, 5 * time.Second, 1},
		{
			"breaker opened", newResponse(sink.Unavailable, 503),
			func(cfg *Config) { cfg.Breaker.Failures = 1 }, 15 * time.Second, 1,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				h := startHarness(t, respondFirst(tc.response), func(cfg *Config) {
					cfg.Concurrency = 2
					if tc.change != nil {
						tc.change(cfg)
					}
				})
				h.blockIntents(1, 4*time.Second)
				h.dispatchRecords(16, nil)
				testkit.AdvanceClock(4*time.Second + 200*time.Millisecond)
				if calls := h.vendor.callCount(); calls != 1 {
					t.Errorf("got %d calls after the intents were committed, want the one that closed the gate", calls)
				}
				if n := h.ledger.intentCount(); n != 0 {
					t.Errorf("got %d intents of records that wait for the gate, want none", n)
				}
				h.closeAndWait()
				h.wantOutcomes(map[string]int{"delivered": 16})
				if wait := h.vendor.calledAt[1].Sub(h.vendor.calledAt[0]); wait < tc.wait {
					t.Errorf("got the next call after %v, want at least %v", wait, tc.wait)
				}
				if got := h.vendor.callSizes()[1]; got != tc.items {
					t.Errorf("got a next call of %d items, want %d", got, tc.items)
				}
			})
		})
	}
}

// Records on which an earlier call may have acted keep that intent while they wait.
func TestClosedGateKeepsTheIntentsOfRecordsThatMayHaveBeenActedOn(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		throttled := newResponse(sink.Throttled, 429)
		throttled.RetryAfter = 30 * time.Second
		h := startHarness(t, respondFirst(throttled), func(cfg *Config) { cfg.Concurrency = 2 })
		h.blockIntents(1, 4*time.Second)
		h.dispatchRecords(4, func(delivery *Delivery) {
			delivery.Record.OutcomeUnknown = delivery.Item.ID == recordID(0)
		})
		testkit.AdvanceClock(10 * time.Second)
		if calls := h.vendor.callCount(); calls != 1 {
			t.Fatalf("got %d calls while the gate is closed, want 1", calls)
		}
		if n := h.ledger.intentsCleared; n != 3 {
			t.Errorf("got %d intents cleared, want 3: all but that of the record that may have been sent", n)
		}
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 4})
	})
}

// A half-open breaker lets one call through. If that call is not sent after all, its permit must
// come back, or the operation would never be called again.
func TestProbeThatIsNotSentGivesItsPermitBack(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 20})
		h := startHarness(t, respondFirst(newResponse(sink.Unavailable, 503)), func(cfg *Config) {
			cfg.Guard, cfg.Breaker.Failures = floodGuard, 1
		})
		h.blockIntents(2, 4*time.Second) // those of the probe
		h.dispatchRecords(8, nil)
		testkit.AdvanceClock(17 * time.Second)
		floodGuard.Trip("another.op", nil)
		testkit.AdvanceClock(3 * time.Second)
		if calls := h.vendor.callCount(); calls != 1 {
			t.Fatalf("got %d calls, want none after the one that opened the breaker", calls)
		}
		floodGuard.Release()
		testkit.AdvanceClock(2 * time.Second)
		h.wantCallSizes(8, 1, 7)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 8})
	})
}

func TestOnlyAProbeIsConfirmedWhileCallsAreLimitedToProbes(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		full := mustAdmit(t, gate, 0)
		gate.setFlood(true)
		testkit.AdvanceClock(time.Minute) // the next probe is due
		if full.confirm(time.Now()) {
			t.Error("got a full call confirmed during a flood, want a denial")
		}
		full.cancel()
		probe := mustAdmit(t, gate, 0)
		if !probe.probe || !probe.confirm(time.Now()) {
			t.Errorf("got permit %+v not confirmed, want a probe that is", probe)
		}
		probe.cancel()
	})
}

// The rate limit counted the call when it was admitted.
func TestConfirmDoesNotTakeFromTheRateLimit(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(func(cfg *Config) { cfg.Limiter = rate.NewLimiter(rate.Every(time.Hour), 1) })
		permit := mustAdmit(t, gate, 0)
		if !permit.confirm(time.Now()) {
			t.Error("got a permit not confirmed by the rate limit that admitted it")
		}
		reportDelivered(permit)
	})
}
