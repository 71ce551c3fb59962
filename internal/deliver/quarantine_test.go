package deliver

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/guard"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// withGuard has the lanes ask a guard, which trips at over a half of 200 from 20 on.
func withGuard(change func(*Config)) (*guard.Guard, func(*Config)) {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	return g, func(c *Config) {
		c.Guard = g
		if change != nil {
			change(c)
		}
	}
}

// rejectingVendor refuses each item until it is mended.
type rejectingVendor struct {
	class    sink.ResultClass
	repaired bool
}

func (v *rejectingVendor) respond(_ int, items []sink.Item) sink.Response {
	return respondPerItem(items, func(sink.Item) sink.ResultClass {
		if v.repaired {
			return sink.Delivered
		}
		return v.class
	})
}

// wantFloodHold fails the test where the operation is not held by the guard.
func (r *harness) wantFloodHold() {
	r.t.Helper()
	synctest.Wait()
	if held := r.holdReason(); held != "flood" {
		r.t.Fatalf("it is held by %q", held)
	}
}

func TestAVendorThatRefusesEverythingCostsFewRecordsUntilItIsMended(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Retryable} {
		for _, lanes := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v in %d lanes", class, lanes), func(t *testing.T) {
				runInBubble(t, func(t *testing.T) {
					v := &rejectingVendor{class: class}
					_, change := withGuard(func(c *Config) { c.Concurrency = lanes })
					r := startHarness(t, v.respond, change)
					r.dispatchRecords(500, nil)
					testkit.AdvanceClock(24 * time.Hour)
					r.wantFloodHold()
					gone := len(r.countOutcomes())
					for _, n := range r.countOutcomes() {
						gone += n - 1
					}
					if gone == 0 || gone >= 20 {
						t.Errorf("%v have left", r.countOutcomes())
					}
					if n := r.vendor.callCount(); n > 2*24*12+20 {
						t.Errorf("%d calls in a day", n)
					}
					v.repaired = true
					r.closeAndWait()
					if got := r.countOutcomes()["delivered"]; got != 500-gone {
						t.Errorf("%v in the end", r.countOutcomes())
					}
				})
			})
		}
	}
}

func TestTheProbesOfAFloodAreSingleAndComeLessAndLessOften(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		v := &rejectingVendor{class: sink.Rejected}
		_, change := withGuard(nil)
		r := startHarness(t, v.respond, change)
		r.dispatchRecords(100, nil)
		testkit.AdvanceClock(time.Hour)
		sizes, at := r.vendor.callSizes(), r.vendor.calledAt
		if sent, ended := len(r.ledger.intentIDs), len(r.ledger.outcomes); sent != ended {
			t.Errorf("%d stand as sent, %d have ended: what is held was refused", sent, ended)
		}
		wait := 5 * time.Second
		for i := 3; i < 12; i++ {
			if gap := at[i].Sub(at[i-1]); sizes[i] != 1 || gap != wait {
				t.Errorf("probe %d of %d items came after %v, want %v", i-2, sizes[i], gap, wait)
			}
			wait = min(2*wait, 5*time.Minute)
		}
		probed := map[string]bool{}
		for i := 3; i < 12; i++ {
			probed[r.vendor.callItems(i)[0]] = true
		}
		if len(probed) != 9 {
			t.Errorf("nine probes were of %d records", len(probed))
		}
		v.repaired = true
		before := len(sizes)
		r.closeAndWait()
		for i := before + 1; i < before+5; i++ {
			if gap := r.vendor.calledAt[i].Sub(r.vendor.calledAt[i-1]); gap != 0 {
				t.Errorf("probe %d followed an accepted one after %v", i-before+1, gap)
			}
		}
		if got := r.vendor.callSizes()[before:]; len(got) < 6 || got[4] != 1 || got[5] != 8 {
			t.Errorf("after it was mended: calls of %v, want five of one and full ones then", got)
		}
	})
}

func TestAnOperatorsReleaseLetsWhatIsHeldTakeItsCourse(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		v := &rejectingVendor{class: sink.Rejected}
		g, change := withGuard(nil)
		r := startHarness(t, v.respond, change)
		r.dispatchRecords(24, nil)
		testkit.AdvanceClock(time.Second)
		r.wantFloodHold()
		r.wantOutcomes(map[string]int{"dead rejected": 16})
		g.Release()
		testkit.AdvanceClock(time.Second)
		r.wantOutcomes(map[string]int{"dead rejected": 24})
		if held := r.holdReason(); held != "" {
			t.Errorf("it is held by %q", held)
		}
		r.dispatchRecords(24, nil)
		testkit.AdvanceClock(time.Second)
		r.wantFloodHold()
		r.wantOutcomes(map[string]int{"dead rejected": 24 + 16})
		r.cancelAndWait()
	})
}

func TestADrainDropsWhatTheGuardHolds(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Unknown} {
		t.Run(class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				v := &rejectingVendor{class: class}
				_, change := withGuard(func(c *Config) { c.UnknownPolicy = sink.UnknownDeadLetter })
				r := startHarness(t, v.respond, change)
				r.dispatchRecords(100, nil)
				testkit.AdvanceClock(time.Minute)
				r.wantFloodHold()
				began := time.Now()
				r.startDraining(time.Minute)
				<-r.tracker.Idle()
				if took := time.Since(began); took != 0 {
					t.Errorf("the drain took %v", took)
				}
				want := map[sink.ResultClass]int{sink.Rejected: 16, sink.Unknown: 0}[class]
				if class == sink.Unknown {
					for _, n := range r.vendor.callSizes() {
						want += n
					}
				}
				if n := len(r.ledger.intentIDs); n != want {
					t.Errorf("%d stand as sent, want %d", n, want)
				}
				r.closeAndWait()
				r.wantOutcomes(map[string]int{"dead " + class.String(): 16})
			})
		})
	}
}

func TestAHalfThatIsRefusedByRuleOfTheDataNeverTrips(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g, change := withGuard(nil)
		tripped := false
		g.Subscribe(func(s guard.Status) { tripped = true })
		r := startHarness(t, func(_ int, items []sink.Item) sink.Response {
			return respondPerItem(items, func(it sink.Item) sink.ResultClass {
				if (it.ID[len(it.ID)-1]-'0')%2 == 0 {
					return sink.Rejected
				}
				return sink.Delivered
			})
		}, change)
		r.dispatchRecords(1000, nil)
		r.closeAndWait()
		if tripped {
			t.Error("the guard has tripped")
		}
		r.wantOutcomes(map[string]int{"dead rejected": 500, "delivered": 500})
	})
}

// A second survey mail is worse than a record that waits.
func TestWhatTheVendorMayHaveActedOnIsNotSentAgainByTheGuard(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		v := &rejectingVendor{class: sink.Unknown}
		g, change := withGuard(func(c *Config) { c.UnknownPolicy = sink.UnknownDeadLetter })
		r := startHarness(t, v.respond, change)
		r.dispatchRecords(40, nil)
		testkit.AdvanceClock(24 * time.Hour)
		r.wantFloodHold()
		r.wantOutcomes(map[string]int{"dead unknown": 16})
		if n := len(r.ledger.intentIDs); n != 40 {
			t.Errorf("%d stand as sent, want all", n)
		}
		g.Release()
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"dead unknown": 40})
		sent := 0
		for _, n := range r.vendor.callSizes() {
			sent += n
		}
		if sent != 40 {
			t.Errorf("40 records were sent %d times", sent)
		}
	})
}

func TestAnItemRefusedAfterALostAnswerIsNotSentAgainByTheGuard(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g, change := withGuard(func(c *Config) { c.MaxItems = 32 })
		r := startHarness(t, func(n int, items []sink.Item) sink.Response {
			if n == 1 {
				return newResponse(sink.Unavailable, 503)
			}
			if n == 2 {
				return receivedServerError()
			}
			return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Rejected })
		}, change)
		r.dispatchRecords(32, nil)
		testkit.AdvanceClock(24 * time.Hour)
		r.wantFloodHold()
		r.wantCallSizes(32, 32, 32)
		g.Release()
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"dead rejected": 32})
	})
}

// rejectWholeBatch refuses a batch that has one of the bad, and names nobody.
func rejectWholeBatch(bad func(id string) bool) script {
	return func(n int, items []sink.Item) sink.Response {
		for _, it := range items {
			if bad(it.ID) {
				return newResponse(sink.Rejected, 400)
			}
		}
		return acceptAll(n, items)
	}
}

func TestNothingOfABatchDiesWhereOverAQuarterOfItIsRefused(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		broken := true
		_, change := withGuard(func(c *Config) { c.MaxItems = 128 })
		r := startHarness(t, rejectWholeBatch(func(string) bool { return broken }), change)
		r.dispatchRecords(128, nil)
		testkit.AdvanceClock(time.Minute)
		r.wantFloodHold()
		r.wantOutcomes(map[string]int{})
		if n := r.vendor.callCount(); n > 16*(7+2)+6 {
			t.Errorf("%d calls until it was held", n)
		}
		broken = false
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 128})
	})
}

func TestTheCulpritsOfABatchDieWhereTheyAreFew(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		bad := map[string]bool{}
		for n := range 12 {
			bad[recordID(n)] = true // all of them in front, which is how the fewest have passed when the last is found
		}
		_, change := withGuard(func(c *Config) { c.MaxItems = 128 })
		r := startHarness(t, rejectWholeBatch(func(id string) bool { return bad[id] }), change)
		r.dispatchRecords(128, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"dead rejected": 12, "delivered": 116})
		if len(r.logs.All()) != 0 {
			t.Errorf("it was held: %v", r.loggedMessages())
		}
	})
}

func TestASmallBatchIsJudgedAtTheEndOfItsSearch(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g, change := withGuard(nil)
		r := startHarness(t, rejectWholeBatch(func(string) bool { return true }), change)
		r.dispatchRecords(8, nil)
		testkit.AdvanceClock(time.Second)
		r.wantFloodHold()
		r.wantOutcomes(map[string]int{})
		g.Release()
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"dead rejected": 8})
	})
}

func TestAFloodKeepsTheOrderOfEachKey(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		v := &rejectingVendor{class: sink.Rejected}
		_, change := withGuard(func(c *Config) { c.Concurrency, c.RetryInPlace = 2, true })
		r := startHarness(t, v.respond, change)
		var keys []string
		for n := range 300 {
			keys = append(keys, fmt.Sprint(n%60))
			r.dispatchRecords(1, func(j *Delivery) { j.OrderKey = []byte(keys[n]) })
		}
		testkit.AdvanceClock(time.Hour)
		r.wantFloodHold()
		v.repaired = true
		r.closeAndWait()
		last := map[string]int64{}
		for _, name := range r.ledger.order {
			o := r.ledger.outcomes[name]
			key := keys[o.Record.Origin.Offset]
			if o.Record.Origin.Offset < last[key] {
				t.Errorf("%d of key %s came after %d", o.Record.Origin.Offset, key, last[key])
			}
			last[key] = o.Record.Origin.Offset
		}
	})
}

func TestTheHardStopDropsWhatTheGuardHolds(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Unknown} {
		t.Run(class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				v := &rejectingVendor{class: class}
				_, change := withGuard(func(c *Config) { c.UnknownPolicy = sink.UnknownDeadLetter })
				r := startHarness(t, v.respond, change)
				r.dispatchRecords(100, nil)
				testkit.AdvanceClock(time.Minute)
				r.wantFloodHold()
				r.cancelAndWait()
			})
		})
	}
}

func TestTheTimeInAFloodDoesNotAgeARecord(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		v := &rejectingVendor{class: sink.Retryable}
		g, change := withGuard(func(c *Config) { c.RetryInPlace, c.MaxAge = true, time.Hour })
		r := startHarness(t, v.respond, change)
		r.dispatchRecords(24, nil)
		testkit.AdvanceClock(24 * time.Hour)
		r.wantFloodHold()
		g.Release()
		testkit.AdvanceClock(time.Second)
		for id, o := range r.ledger.outcomes {
			if o.Cause == record.CauseExpired {
				t.Fatalf("%s has expired", id)
			}
		}
		v.repaired = true
		r.closeAndWait()
		if r.countOutcomes()["dead expired"] != 0 || r.countOutcomes()["delivered"] == 0 {
			t.Errorf("outcomes %v", r.countOutcomes())
		}
	})
}

// A lane that looks for the end only before its turn would wait for ever.
func TestALaneEndsWithTheLastOfWhatItHolds(t *testing.T) {
	t.Run("culprits of a search that ends after the close", func(t *testing.T) {
		runInBubble(t, func(t *testing.T) {
			throttled := newResponse(sink.Throttled, 429)
			throttled.RetryAfter = time.Minute
			_, change := withGuard(nil)
			r := startHarness(t, func(n int, items []sink.Item) sink.Response {
				if n == 3 {
					return throttled
				}
				return newResponse(sink.Rejected, 400)
			}, change)
			r.dispatchRecords(2, nil)
			testkit.AdvanceClock(time.Second) // one of the two is found, the other waits
			r.closeAndWait()
			r.wantOutcomes(map[string]int{"dead rejected": 2})
		})
	})
	t.Run("records of an assignment that was fenced", func(t *testing.T) {
		runInBubble(t, func(t *testing.T) {
			v := &rejectingVendor{class: sink.Rejected}
			_, change := withGuard(nil)
			r := startHarness(t, v.respond, change)
			r.dispatchRecords(24, nil)
			testkit.AdvanceClock(time.Second)
			r.wantFloodHold()
			r.tracker.Fence()
			r.closeAndWait()
			r.wantOutcomes(map[string]int{"dead rejected": 16})
		})
	})
}
