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

// startDraining ends the assignment of all records so far, as a revoke does, and gives the time until which it may.
func (r *harness) startDraining(within time.Duration) {
	r.tracker.StartDraining(time.Now().Add(within))
	r.dispatcher.NotifyDraining()
}

func TestADrainInEachKindOfWait(t *testing.T) {
	down, throttled, wrong := newResponse(sink.Unavailable, 503), newResponse(sink.Throttled, 429), newResponse(sink.Misconfigured, 404)
	throttled.RetryAfter = 10 * time.Minute
	always := func(a sink.Response) script { return func(int, []sink.Item) sink.Response { return a } }
	cases := []struct {
		name      string
		script    script
		change    func(*Config)
		before    time.Duration // until the drain
		within    time.Duration // the drain may take
		delivered int
		calls     int // made after the drain began
	}{
		{name: "linger: sent at once", script: acceptAll, change: func(c *Config) { c.Linger = time.Hour }, within: time.Minute, delivered: 4, calls: 1},
		{name: "linger: too late for a call", script: acceptAll, change: func(c *Config) { c.Linger = time.Hour }, within: 34 * time.Second},
		{name: "linger: just in time for a call", script: acceptAll, change: func(c *Config) { c.Linger = time.Hour }, within: 35 * time.Second, delivered: 4, calls: 1},
		{name: "back-off", script: always(down), change: func(c *Config) { c.Backoff = backoff.Policy{Min: time.Hour, Max: time.Hour} }, before: time.Second, within: time.Minute},
		{name: "open breaker", script: always(down), before: 2 * time.Minute, within: time.Minute},
		{name: "throttle", script: always(throttled), before: time.Second, within: time.Minute},
		{name: "hold", script: always(wrong), before: time.Second, within: time.Minute},
		{name: "waiting in place", script: func(_ int, items []sink.Item) sink.Response {
			return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
		}, change: func(c *Config) { c.RetryInPlace = true }, before: time.Second, within: time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				r := startHarness(t, c.script, c.change)
				r.dispatchRecords(4, nil)
				synctest.Wait()
				testkit.AdvanceClock(c.before)
				synctest.Wait()
				calls, began := r.vendor.callCount(), time.Now()
				r.startDraining(c.within)
				<-r.tracker.Idle()
				if took := time.Since(began); took != 0 {
					t.Errorf("the drain took %v", took)
				}
				if got := r.countOutcomes()["delivered"]; got != c.delivered || len(r.countOutcomes()) > 1 {
					t.Errorf("outcomes %v, want %d delivered", r.countOutcomes(), c.delivered)
				}
				if got := r.vendor.callCount() - calls; got != c.calls {
					t.Errorf("%d calls were made after the drain began, want %d", got, c.calls)
				}
				r.closeAndWait()
			})
		})
	}
}

func TestADrainWaitsForThePaceWhileACallMayStillStart(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, func(c *Config) { c.MaxItems = 2; c.Limiter = rate.NewLimiter(rate.Every(10*time.Second), 1) })
		r.dispatchRecords(10, nil)
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		r.startDraining(time.Minute)
		<-r.tracker.Idle()
		// Calls may start until 25 s from the drain: those of 9 s and 19 s do.
		if took := time.Since(began).Round(time.Second); took != 19*time.Second {
			t.Errorf("the drain took %v", took)
		}
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 6})
	})
}

func TestADrainWaitsForTheCallInFlightAndSettlesIt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, nil)
		r.vendor.latency = 20 * time.Second
		r.dispatchRecords(12, nil)
		synctest.Wait()
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		r.startDraining(time.Minute)
		<-r.tracker.Idle()
		// The call in flight ends after 19 s; the second one may still start then, for it could end 6 s before the assignment does.
		if took := time.Since(began); took != 39*time.Second {
			t.Errorf("the drain took %v", took)
		}
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 12})
	})
}

func TestADrainDoesNotDisturbOtherAssignments(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, respondFirst(newResponse(sink.Misconfigured, 404)), nil)
		r.dispatchRecords(4, nil)
		ending := r.tracker
		r.newAssignment()
		r.dispatchRecords(4, nil)
		synctest.Wait()
		ending.StartDraining(time.Now().Add(time.Minute))
		r.dispatcher.NotifyDraining()
		<-ending.Idle()
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 4})
	})
}

func TestNothingIsSentOrSettledAfterTheFence(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, nil)
		r.vendor.latency = 20 * time.Second
		r.dispatchRecords(12, nil)
		testkit.AdvanceClock(time.Second)
		r.tracker.Fence()
		r.dispatcher.NotifyDraining()
		<-r.tracker.Idle()
		r.wantOutcomes(map[string]int{})
		r.wantCallSizes(8)
		r.closeAndWait()
	})
}

func TestAnAssignmentThatEndsWhileItIsAnnouncedSendsNothing(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, nil)
		r.ledger.onLogIntent = func() { r.tracker.Fence() }
		r.dispatchRecords(8, nil)
		<-r.tracker.Idle()
		r.closeAndWait()
		r.wantOutcomes(map[string]int{})
		r.wantCallSizes()
		if len(r.ledger.intents) != 0 {
			t.Errorf("%d records stand as sent", len(r.ledger.intents))
		}
	})
}

func TestWhatMovesUpForARecordThatWasDroppedIsAnnouncedBeforeItIsSent(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		var r *harness
		answers := respondFirst(newResponse(sink.TooLarge, 413), newResponse(sink.Unavailable, 503))
		r = startHarness(t, func(n int, items []sink.Item) sink.Response {
			r.checkSent(items)
			return answers(n, items)
		}, nil)
		r.dispatchRecords(1, nil)
		ending, announced := r.tracker, 0
		r.ledger.onLogIntent = func() {
			if announced++; announced == 2 { // four of the eight
				ending.Fence()
			}
		}
		r.newAssignment()
		r.dispatchRecords(7, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 7})
		r.wantCallSizes(8, 4, 3, 4)
	})
}

func TestCloseEndsTheLinger(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, func(c *Config) { c.Linger = time.Hour })
		r.dispatchRecords(3, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 3})
		if took := time.Since(r.began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAJobOfAnEndingAssignmentIsRefused(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, nil)
		r.startDraining(time.Minute)
		r.dispatchRecords(3, nil)
		<-r.tracker.Idle()
		r.closeAndWait()
		r.wantCallSizes()
	})
}

// What the vendor has taken is settled all the same; what a cut call says is nobody's fault.
func TestTheHardStopSettlesWhatWasDeliveredAndBlamesNobody(t *testing.T) {
	for _, a := range []sink.Response{newResponse(sink.Delivered, 200), newResponse(sink.Unknown, 0), newResponse(sink.Misconfigured, 0)} {
		t.Run(a.Class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				var r *harness
				want := map[string]int{}
				if a.Class == sink.Delivered {
					want["delivered"] = 4
				}
				r = startHarness(t, func(n int, items []sink.Item) sink.Response {
					r.cancel()
					if a.Class == sink.Delivered {
						return acceptAll(n, items)
					}
					return a
				}, func(c *Config) { c.Breaker.Failures = 1 })
				r.dispatchRecords(4, nil)
				<-r.tracker.Idle()
				r.cancelAndWait()
				r.wantOutcomes(want)
				if got := r.loggedMessages(); len(got) > 0 {
					t.Errorf("logged %v", got)
				}
			})
		})
	}
}

func TestWhatAFormerOwnerSentHasNoOutcomeAfterTheFence(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, deadLetterUnknown)
		r.vendor.latency = 20 * time.Second
		r.dispatchRecords(1, nil)
		testkit.AdvanceClock(time.Second) // the lane is in a call
		r.newAssignment()
		r.dispatchRecords(1, withPriorIntent)
		r.tracker.Fence()
		<-r.tracker.Idle()
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 1})
	})
}

func TestTheHardStopCutsCallsAndDropsTheRest(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, func(c *Config) { c.Concurrency = 2 })
		r.vendor.latency = 20 * time.Second
		r.dispatchRecords(100, nil)
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		r.cancel()
		if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "delivering vendor.op") {
			t.Errorf("Run: %v", err)
		}
		r.dispatchRecords(1, nil)
		<-r.tracker.Idle()
		if took := time.Since(began); took != 0 {
			t.Errorf("the stop took %v", took)
		}
		r.wantOutcomes(map[string]int{})
		if len(r.ledger.intents) != 16 {
			t.Errorf("%d records stand as sent, want the 16 of the calls that were cut", len(r.ledger.intents))
		}
	})
}

// A lane that dropped a waiting record alone would send what follows it, and the next owner would overwrite that with the older one.
func TestADrainDropsWhatFollowsADroppedRecordOfItsKey(t *testing.T) {
	for _, by := range []string{"key", "entity"} {
		t.Run(by, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				r := startHarness(t, func(_ int, items []sink.Item) sink.Response {
					return respondPerItem(items, func(it sink.Item) sink.ResultClass {
						if it.ID == recordID(0) {
							return sink.Retryable
						}
						return sink.Delivered
					})
				}, func(c *Config) { c.RetryInPlace = true })
				r.dispatchRecords(3, func(j *Delivery) {
					if by == "key" {
						j.OrderKey = []byte("k")
					} else {
						j.Item.EntityKey = "e"
					}
				})
				testkit.AdvanceClock(time.Second)
				r.startDraining(time.Minute)
				<-r.tracker.Idle()
				r.closeAndWait()
				r.wantOutcomes(map[string]int{})
				r.wantCallSizes(1)
			})
		})
	}
}

func TestADrainDoesNotWaitForAnotherAssignmentsRecordOfTheKey(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, respondFirst(respondPerItem(make([]sink.Item, 1), func(sink.Item) sink.ResultClass { return sink.Retryable })), func(c *Config) { c.RetryInPlace = true })
		keyed := func(j *Delivery) { j.OrderKey = []byte("k") }
		r.dispatchRecords(1, keyed)
		testkit.AdvanceClock(time.Second)
		r.newAssignment()
		r.dispatchRecords(1, keyed)
		synctest.Wait()
		began := time.Now()
		r.startDraining(time.Minute)
		<-r.tracker.Idle()
		if took := time.Since(began); took != 0 {
			t.Errorf("the drain took %v", took)
		}
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 1})
	})
}
