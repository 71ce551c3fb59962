package deliver

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"sluice/internal/backoff"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// startDraining makes the current assignment end within the given time, as a revoke does.
func (h *harness) startDraining(within time.Duration) {
	h.tracker.StartDraining(time.Now().Add(within))
	h.dispatcher.NotifyDraining()
}

func TestDrainEndsEveryKindOfWait(t *testing.T) {
	down, misconfigured := newResponse(sink.Unavailable, 503), newResponse(sink.Misconfigured, 404)
	throttled := newResponse(sink.Throttled, 429)
	throttled.RetryAfter = 10 * time.Minute
	always := func(response sink.Response) script { return func(int, []sink.Item) sink.Response { return response } }
	cases := []struct {
		name      string
		script    script
		change    func(*Config)
		before    time.Duration // from dispatch to the drain
		within    time.Duration // time in which the assignment ends
		delivered int
		calls     int // after the drain started
	}{
		{
			name: "linger: sent at once", script: acceptAll, change: func(cfg *Config) { cfg.Linger = time.Hour },
			within: time.Minute, delivered: 4, calls: 1,
		},
		{
			name: "linger: too late for a call", script: acceptAll,
			change: func(cfg *Config) { cfg.Linger = time.Hour }, within: 34 * time.Second,
		},
		{
			name: "linger: just in time for a call", script: acceptAll,
			change: func(cfg *Config) { cfg.Linger = time.Hour }, within: 35 * time.Second, delivered: 4, calls: 1,
		},
		{
			name: "back-off", script: always(down),
			change: func(cfg *Config) { cfg.Backoff = backoff.Policy{Min: time.Hour, Max: time.Hour} },
			before: time.Second, within: time.Minute,
		},
		{name: "open breaker", script: always(down), before: 2 * time.Minute, within: time.Minute},
		{name: "throttle", script: always(throttled), before: time.Second, within: time.Minute},
		{name: "hold", script: always(misconfigured), before: time.Second, within: time.Minute},
		{name: "waiting in place", script: func(_ int, items []sink.Item) sink.Response {
			return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
		}, change: func(cfg *Config) { cfg.RetryInPlace = true }, before: time.Second, within: time.Minute},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				h := startHarness(t, tc.script, tc.change)
				h.dispatchRecords(4, nil)
				synctest.Wait()
				testkit.AdvanceClock(tc.before)
				synctest.Wait()
				calls, began := h.vendor.callCount(), time.Now()
				h.startDraining(tc.within)
				<-h.tracker.Idle()
				if took := time.Since(began); took != 0 {
					t.Errorf("got a drain of %v, want 0", took)
				}
				if got := h.countOutcomes()["delivered"]; got != tc.delivered || len(h.countOutcomes()) > 1 {
					t.Errorf("got outcomes %v, want %d delivered", h.countOutcomes(), tc.delivered)
				}
				if got := h.vendor.callCount() - calls; got != tc.calls {
					t.Errorf("got %d calls after the drain began, want %d", got, tc.calls)
				}
				h.closeAndWait()
			})
		})
	}
}

func TestDrainWaitsForTheRateLimitWhileACallMayStillStart(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(
			t, acceptAll,
			func(cfg *Config) { cfg.MaxItems = 2; cfg.Limiter = rate.NewLimiter(rate.Every(10*time.Second), 1) },
		)
		h.dispatchRecords(10, nil)
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		h.startDraining(time.Minute)
		<-h.tracker.Idle()
		// Calls may start until 25 s after the drain started: those at 9 s and 19 s do.
		if took := time.Since(began).Round(time.Second); took != 19*time.Second {
			t.Errorf("got a drain of %v, want 19s", took)
		}
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 6})
	})
}

func TestDrainWaitsForTheCallInFlightAndSettlesIt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, nil)
		h.vendor.latency = 20 * time.Second
		h.dispatchRecords(12, nil)
		synctest.Wait()
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		h.startDraining(time.Minute)
		<-h.tracker.Idle()
		// The call in flight ends after 19 s. The second one may still start then, because it times
		// out before the settle margin of the assignment.
		if took := time.Since(began); took != 39*time.Second {
			t.Errorf("got a drain of %v, want 39s", took)
		}
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 12})
	})
}

func TestDrainDoesNotDisturbOtherAssignments(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, respondFirst(newResponse(sink.Misconfigured, 404)), nil)
		h.dispatchRecords(4, nil)
		ending := h.tracker
		h.newAssignment()
		h.dispatchRecords(4, nil)
		synctest.Wait()
		ending.StartDraining(time.Now().Add(time.Minute))
		h.dispatcher.NotifyDraining()
		<-ending.Idle()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 4})
	})
}

func TestNothingIsSentOrSettledAfterTheFence(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, nil)
		h.vendor.latency = 20 * time.Second
		h.dispatchRecords(12, nil)
		testkit.AdvanceClock(time.Second)
		h.tracker.Fence()
		h.dispatcher.NotifyDraining()
		<-h.tracker.Idle()
		h.wantOutcomes(map[string]int{})
		h.wantCallSizes(8)
		h.closeAndWait()
	})
}

func TestAssignmentThatEndsWhileIntentsAreLoggedSendsNothing(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, nil)
		h.ledger.onLogIntent = func() { h.tracker.Fence() }
		h.dispatchRecords(8, nil)
		<-h.tracker.Idle()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{})
		h.wantCallSizes()
		if len(h.ledger.intents) != 0 {
			t.Errorf("got %d intents, want none", len(h.ledger.intents))
		}
	})
}

func TestItemThatMovesUpForAReleasedOneIsNotSentWithoutIntent(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		var h *harness
		respond := respondFirst(newResponse(sink.TooLarge, 413), newResponse(sink.Unavailable, 503))
		h = startHarness(t, func(call int, items []sink.Item) sink.Response {
			h.checkSent(items)
			return respond(call, items)
		}, nil)
		h.dispatchRecords(1, nil)
		ending, commits := h.tracker, 0
		h.ledger.onLogIntent = func() {
			if commits++; commits == 2 { // four of the eight
				ending.Fence()
			}
		}
		h.newAssignment()
		h.dispatchRecords(7, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 7})
		h.wantCallSizes(8, 4, 3, 4)
	})
}

func TestCloseEndsTheLinger(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, func(cfg *Config) { cfg.Linger = time.Hour })
		h.dispatchRecords(3, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 3})
		if took := time.Since(h.began); took != 0 {
			t.Errorf("got it finished after %v, want at once", took)
		}
	})
}

func TestDeliveryOfAnEndingAssignmentIsReleased(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, nil)
		h.startDraining(time.Minute)
		h.dispatchRecords(3, nil)
		<-h.tracker.Idle()
		h.closeAndWait()
		h.wantCallSizes()
	})
}

// Items that the vendor accepted are still settled. The result of a canceled call means nothing.
func TestEndOfTheWorkContextSettlesDeliveriesWithoutAHold(t *testing.T) {
	for _, response := range []sink.Response{
		newResponse(sink.Delivered, 200), newResponse(sink.Unknown, 0), newResponse(sink.Misconfigured, 0),
	} {
		t.Run(response.Class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				var h *harness
				want := map[string]int{}
				if response.Class == sink.Delivered {
					want["delivered"] = 4
				}
				h = startHarness(t, func(call int, items []sink.Item) sink.Response {
					h.cancel()
					if response.Class == sink.Delivered {
						return acceptAll(call, items)
					}
					return response
				}, func(cfg *Config) { cfg.Breaker.Failures = 1 })
				h.dispatchRecords(4, nil)
				<-h.tracker.Idle()
				h.cancelAndWait()
				h.wantOutcomes(want)
				if got := h.loggedMessages(); len(got) > 0 {
					t.Errorf("got log messages %v, want none", got)
				}
			})
		})
	}
}

func TestRecordWithPriorIntentHasNoOutcomeAfterTheFence(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, deadLetterUnknown)
		h.vendor.latency = 20 * time.Second
		h.dispatchRecords(1, nil)
		testkit.AdvanceClock(time.Second) // the lane is making a call
		h.newAssignment()
		h.dispatchRecords(1, withPriorIntent)
		h.tracker.Fence()
		<-h.tracker.Idle()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 1})
	})
}

func TestEndOfTheWorkContextCancelsCallsAndReleasesTheRest(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, func(cfg *Config) { cfg.Concurrency = 2 })
		h.vendor.latency = 20 * time.Second
		h.dispatchRecords(100, nil)
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		h.cancel()
		if err := <-h.ended; err == nil || !strings.Contains(err.Error(), "delivering vendor.op") {
			t.Errorf("Run returned %v, want an error that names the operation", err)
		}
		h.dispatchRecords(1, nil)
		<-h.tracker.Idle()
		if took := time.Since(began); took != 0 {
			t.Errorf("got it stopped after %v, want at once", took)
		}
		h.wantOutcomes(map[string]int{})
		if len(h.ledger.intents) != 16 {
			t.Errorf("got %d intents, want the 16 of the calls that were cut off", len(h.ledger.intents))
		}
	})
}

// A lane that released only the waiting record would send later records of its key, and the next
// owner would overwrite them with the older record.
func TestDrainReleasesWhatFollowsAReleasedRecord(t *testing.T) {
	for _, by := range []string{"key", "entity"} {
		t.Run(by, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				h := startHarness(t, func(_ int, items []sink.Item) sink.Response {
					return respondPerItem(items, func(item sink.Item) sink.ResultClass {
						if item.ID == recordID(0) {
							return sink.Retryable
						}
						return sink.Delivered
					})
				}, func(cfg *Config) { cfg.RetryInPlace = true })
				h.dispatchRecords(3, func(delivery *Delivery) {
					if by == "key" {
						delivery.OrderKey = []byte("k")
					} else {
						delivery.Item.EntityKey = "e"
					}
				})
				testkit.AdvanceClock(time.Second)
				h.startDraining(time.Minute)
				<-h.tracker.Idle()
				h.closeAndWait()
				h.wantOutcomes(map[string]int{})
				h.wantCallSizes(1)
			})
		})
	}
}

func TestDrainDoesNotWaitForAnotherAssignmentsRecordOfTheKey(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		retryable := respondPerItem(make([]sink.Item, 1), func(sink.Item) sink.ResultClass { return sink.Retryable })
		h := startHarness(t, respondFirst(retryable), func(cfg *Config) { cfg.RetryInPlace = true })
		keyed := func(delivery *Delivery) { delivery.OrderKey = []byte("k") }
		h.dispatchRecords(1, keyed)
		testkit.AdvanceClock(time.Second)
		h.newAssignment()
		h.dispatchRecords(1, keyed)
		synctest.Wait()
		began := time.Now()
		h.startDraining(time.Minute)
		<-h.tracker.Idle()
		if took := time.Since(began); took != 0 {
			t.Errorf("got a drain of %v, want 0", took)
		}
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 1})
	})
}
