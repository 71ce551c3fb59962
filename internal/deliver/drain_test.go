package deliver

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// drain ends the assignment of all records so far, as a revoke does, and gives the time until which it may.
func (r *rig) drain(within time.Duration) {
	r.tracker.StartDraining(time.Now().Add(within))
	r.lanes.NotifyDraining()
}

func TestADrainInEachKindOfWait(t *testing.T) {
	down, throttled, wrong := answer(sink.Unavailable, 503), answer(sink.Throttled, 429), answer(sink.Misconfigured, 404)
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
		{name: "linger: sent at once", script: accept, change: func(c *Config) { c.Linger = time.Hour }, within: time.Minute, delivered: 4, calls: 1},
		{name: "linger: too late for a call", script: accept, change: func(c *Config) { c.Linger = time.Hour }, within: 34 * time.Second},
		{name: "linger: just in time for a call", script: accept, change: func(c *Config) { c.Linger = time.Hour }, within: 35 * time.Second, delivered: 4, calls: 1},
		{name: "back-off", script: always(down), change: func(c *Config) { c.Backoff = Backoff{time.Hour, time.Hour} }, before: time.Second, within: time.Minute},
		{name: "open breaker", script: always(down), before: 2 * time.Minute, within: time.Minute},
		{name: "throttle", script: always(throttled), before: time.Second, within: time.Minute},
		{name: "hold", script: always(wrong), before: time.Second, within: time.Minute},
		{name: "waiting in place", script: func(_ int, items []sink.Item) sink.Response {
			return each(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
		}, change: func(c *Config) { c.RetryInPlace = true }, before: time.Second, within: time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, c.script, c.change)
				r.dispatch(4, nil)
				synctest.Wait()
				testkit.AdvanceClock(c.before)
				synctest.Wait()
				calls, began := r.vendor.count(), time.Now()
				r.drain(c.within)
				<-r.tracker.Idle()
				if took := time.Since(began); took != 0 {
					t.Errorf("the drain took %v", took)
				}
				if got := r.kinds()["delivered"]; got != c.delivered || len(r.kinds()) > 1 {
					t.Errorf("outcomes %v, want %d delivered", r.kinds(), c.delivered)
				}
				if got := r.vendor.count() - calls; got != c.calls {
					t.Errorf("%d calls were made after the drain began, want %d", got, c.calls)
				}
				r.finish()
			})
		})
	}
}

func TestADrainWaitsForThePaceWhileACallMayStillStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, func(c *Config) { c.MaxItems = 2; c.Limiter = rate.NewLimiter(rate.Every(10*time.Second), 1) })
		r.dispatch(10, nil)
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		r.drain(time.Minute)
		<-r.tracker.Idle()
		// Calls may start until 25 s from the drain: those of 9 s and 19 s do.
		if took := time.Since(began).Round(time.Second); took != 19*time.Second {
			t.Errorf("the drain took %v", took)
		}
		r.finish()
		r.wantKinds(map[string]int{"delivered": 6})
	})
}

func TestADrainWaitsForTheCallInFlightAndSettlesIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, nil)
		r.vendor.took = 20 * time.Second
		r.dispatch(12, nil)
		synctest.Wait()
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		r.drain(time.Minute)
		<-r.tracker.Idle()
		// The call in flight ends after 19 s; the second one may still start then, for it could end 6 s before the assignment does.
		if took := time.Since(began); took != 39*time.Second {
			t.Errorf("the drain took %v", took)
		}
		r.finish()
		r.wantKinds(map[string]int{"delivered": 12})
	})
}

func TestADrainDoesNotDisturbOtherAssignments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, first(answer(sink.Misconfigured, 404)), nil)
		r.dispatch(4, nil)
		ending := r.tracker
		r.assign()
		r.dispatch(4, nil)
		synctest.Wait()
		ending.StartDraining(time.Now().Add(time.Minute))
		r.lanes.NotifyDraining()
		<-ending.Idle()
		r.finish()
		r.wantKinds(map[string]int{"delivered": 4})
	})
}

func TestNothingIsSentOrSettledAfterTheFence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, nil)
		r.vendor.took = 20 * time.Second
		r.dispatch(12, nil)
		testkit.AdvanceClock(time.Second)
		r.tracker.Fence()
		r.lanes.NotifyDraining()
		<-r.tracker.Idle()
		r.wantKinds(map[string]int{})
		r.wantSizes(8)
		r.finish()
	})
}

func TestAnAssignmentThatEndsWhileItIsAnnouncedSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, nil)
		r.border.onSent = func() { r.tracker.Fence() }
		r.dispatch(8, nil)
		<-r.tracker.Idle()
		r.finish()
		r.wantKinds(map[string]int{})
		r.wantSizes()
		if len(r.border.marked) != 0 {
			t.Errorf("%d records stand as sent", len(r.border.marked))
		}
	})
}

func TestWhatMovesUpForARecordThatWasDroppedIsAnnouncedBeforeItIsSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var r *rig
		answers := first(answer(sink.TooLarge, 413), answer(sink.Unavailable, 503))
		r = start(t, func(n int, items []sink.Item) sink.Response {
			r.checkSent(items)
			return answers(n, items)
		}, nil)
		r.dispatch(1, nil)
		ending, announced := r.tracker, 0
		r.border.onSent = func() {
			if announced++; announced == 2 { // four of the eight
				ending.Fence()
			}
		}
		r.assign()
		r.dispatch(7, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 7})
		r.wantSizes(8, 4, 3, 4)
	})
}

func TestCloseEndsTheLinger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, func(c *Config) { c.Linger = time.Hour })
		r.dispatch(3, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 3})
		if took := time.Since(r.began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAJobOfAnEndingAssignmentIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, nil)
		r.drain(time.Minute)
		r.dispatch(3, nil)
		<-r.tracker.Idle()
		r.finish()
		r.wantSizes()
	})
}

// What the vendor has taken is settled all the same; what a cut call says is nobody's fault.
func TestTheHardStopSettlesWhatWasDeliveredAndBlamesNobody(t *testing.T) {
	for _, a := range []sink.Response{answer(sink.Delivered, 200), answer(sink.Unknown, 0), answer(sink.Misconfigured, 0)} {
		t.Run(a.Class.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var r *rig
				want := map[string]int{}
				if a.Class == sink.Delivered {
					want["delivered"] = 4
				}
				r = start(t, func(n int, items []sink.Item) sink.Response {
					r.cancel()
					if a.Class == sink.Delivered {
						return accept(n, items)
					}
					return a
				}, func(c *Config) { c.Breaker.Failures = 1 })
				r.dispatch(4, nil)
				<-r.tracker.Idle()
				r.kill()
				r.wantKinds(want)
				if got := r.logged(); len(got) > 0 {
					t.Errorf("logged %v", got)
				}
			})
		})
	}
}

func TestWhatAFormerOwnerSentHasNoOutcomeAfterTheFence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, deadLetter)
		r.vendor.took = 20 * time.Second
		r.dispatch(1, nil)
		testkit.AdvanceClock(time.Second) // the lane is in a call
		r.assign()
		r.dispatch(1, takenOver)
		r.tracker.Fence()
		<-r.tracker.Idle()
		r.finish()
		r.wantKinds(map[string]int{"delivered": 1})
	})
}

func TestTheHardStopCutsCallsAndDropsTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, func(c *Config) { c.Concurrency = 2 })
		r.vendor.took = 20 * time.Second
		r.dispatch(100, nil)
		testkit.AdvanceClock(time.Second)
		began := time.Now()
		r.cancel()
		if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "delivering vendor.op") {
			t.Errorf("Run: %v", err)
		}
		r.dispatch(1, nil)
		<-r.tracker.Idle()
		if took := time.Since(began); took != 0 {
			t.Errorf("the stop took %v", took)
		}
		r.wantKinds(map[string]int{})
		if len(r.border.marked) != 16 {
			t.Errorf("%d records stand as sent, want the 16 of the calls that were cut", len(r.border.marked))
		}
	})
}

// A lane that dropped a waiting record alone would send what follows it, and the next owner would overwrite that with the older one.
func TestADrainDropsWhatFollowsADroppedRecordOfItsKey(t *testing.T) {
	for _, by := range []string{"key", "entity"} {
		t.Run(by, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, func(_ int, items []sink.Item) sink.Response {
					return each(items, func(it sink.Item) sink.ResultClass {
						if it.ID == id(0) {
							return sink.Retryable
						}
						return sink.Delivered
					})
				}, func(c *Config) { c.RetryInPlace = true })
				r.dispatch(3, func(j *Delivery) {
					if by == "key" {
						j.OrderKey = []byte("k")
					} else {
						j.Item.EntityKey = "e"
					}
				})
				testkit.AdvanceClock(time.Second)
				r.drain(time.Minute)
				<-r.tracker.Idle()
				r.finish()
				r.wantKinds(map[string]int{})
				r.wantSizes(1)
			})
		})
	}
}

func TestADrainDoesNotWaitForAnotherAssignmentsRecordOfTheKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, first(each(make([]sink.Item, 1), func(sink.Item) sink.ResultClass { return sink.Retryable })), func(c *Config) { c.RetryInPlace = true })
		keyed := func(j *Delivery) { j.OrderKey = []byte("k") }
		r.dispatch(1, keyed)
		testkit.AdvanceClock(time.Second)
		r.assign()
		r.dispatch(1, keyed)
		synctest.Wait()
		began := time.Now()
		r.drain(time.Minute)
		<-r.tracker.Idle()
		if took := time.Since(began); took != 0 {
			t.Errorf("the drain took %v", took)
		}
		r.finish()
		r.wantKinds(map[string]int{"delivered": 1})
	})
}
