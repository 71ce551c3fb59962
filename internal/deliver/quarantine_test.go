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
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	return floodGuard, func(cfg *Config) {
		cfg.Guard = floodGuard
		if change != nil {
			change(cfg)
		}
	}
}

// rejectingVendor refuses each item until it is mended.
type rejectingVendor struct {
	class    sink.ResultClass
	repaired bool
}

func (vendor *rejectingVendor) respond(_ int, items []sink.Item) sink.Response {
	return respondPerItem(items, func(sink.Item) sink.ResultClass {
		if vendor.repaired {
			return sink.Delivered
		}
		return vendor.class
	})
}

// wantFloodHold fails the test where the operation is not held by the guard.
func (h *harness) wantFloodHold() {
	h.t.Helper()
	synctest.Wait()
	if held := h.holdReason(); held != "flood" {
		h.t.Fatalf("it is held by %q", held)
	}
}

func TestAVendorThatRefusesEverythingCostsFewRecordsUntilItIsMended(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Retryable} {
		for _, lanes := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v in %d lanes", class, lanes), func(t *testing.T) {
				runInBubble(t, func(t *testing.T) {
					vendor := &rejectingVendor{class: class}
					_, change := withGuard(func(cfg *Config) { cfg.Concurrency = lanes })
					h := startHarness(t, vendor.respond, change)
					h.dispatchRecords(500, nil)
					testkit.AdvanceClock(24 * time.Hour)
					h.wantFloodHold()
					gone := len(h.countOutcomes())
					for _, n := range h.countOutcomes() {
						gone += n - 1
					}
					if gone == 0 || gone >= 20 {
						t.Errorf("%v have left", h.countOutcomes())
					}
					if n := h.vendor.callCount(); n > 2*24*12+20 {
						t.Errorf("%d calls in a day", n)
					}
					vendor.repaired = true
					h.closeAndWait()
					if got := h.countOutcomes()["delivered"]; got != 500-gone {
						t.Errorf("%v in the end", h.countOutcomes())
					}
				})
			})
		}
	}
}

func TestTheProbesOfAFloodAreSingleAndComeLessAndLessOften(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &rejectingVendor{class: sink.Rejected}
		_, change := withGuard(nil)
		h := startHarness(t, vendor.respond, change)
		h.dispatchRecords(100, nil)
		testkit.AdvanceClock(time.Hour)
		sizes, at := h.vendor.callSizes(), h.vendor.calledAt
		if sent, ended := len(h.ledger.intentIDs), len(h.ledger.outcomes); sent != ended {
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
			probed[h.vendor.callItems(i)[0]] = true
		}
		if len(probed) != 9 {
			t.Errorf("nine probes were of %d records", len(probed))
		}
		vendor.repaired = true
		before := len(sizes)
		h.closeAndWait()
		for i := before + 1; i < before+5; i++ {
			if gap := h.vendor.calledAt[i].Sub(h.vendor.calledAt[i-1]); gap != 0 {
				t.Errorf("probe %d followed an accepted one after %v", i-before+1, gap)
			}
		}
		if got := h.vendor.callSizes()[before:]; len(got) < 6 || got[4] != 1 || got[5] != 8 {
			t.Errorf("after it was mended: calls of %v, want five of one and full ones then", got)
		}
	})
}

func TestAnOperatorsReleaseLetsWhatIsHeldTakeItsCourse(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &rejectingVendor{class: sink.Rejected}
		floodGuard, change := withGuard(nil)
		h := startHarness(t, vendor.respond, change)
		h.dispatchRecords(24, nil)
		testkit.AdvanceClock(time.Second)
		h.wantFloodHold()
		h.wantOutcomes(map[string]int{"dead rejected": 16})
		floodGuard.Release()
		testkit.AdvanceClock(time.Second)
		h.wantOutcomes(map[string]int{"dead rejected": 24})
		if held := h.holdReason(); held != "" {
			t.Errorf("it is held by %q", held)
		}
		h.dispatchRecords(24, nil)
		testkit.AdvanceClock(time.Second)
		h.wantFloodHold()
		h.wantOutcomes(map[string]int{"dead rejected": 24 + 16})
		h.cancelAndWait()
	})
}

func TestADrainDropsWhatTheGuardHolds(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Unknown} {
		t.Run(class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				vendor := &rejectingVendor{class: class}
				_, change := withGuard(func(cfg *Config) { cfg.UnknownPolicy = sink.UnknownDeadLetter })
				h := startHarness(t, vendor.respond, change)
				h.dispatchRecords(100, nil)
				testkit.AdvanceClock(time.Minute)
				h.wantFloodHold()
				began := time.Now()
				h.startDraining(time.Minute)
				<-h.tracker.Idle()
				if took := time.Since(began); took != 0 {
					t.Errorf("the drain took %v", took)
				}
				want := map[sink.ResultClass]int{sink.Rejected: 16, sink.Unknown: 0}[class]
				if class == sink.Unknown {
					for _, n := range h.vendor.callSizes() {
						want += n
					}
				}
				if n := len(h.ledger.intentIDs); n != want {
					t.Errorf("%d stand as sent, want %d", n, want)
				}
				h.closeAndWait()
				h.wantOutcomes(map[string]int{"dead " + class.String(): 16})
			})
		})
	}
}

func TestAHalfThatIsRefusedByRuleOfTheDataNeverTrips(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		floodGuard, change := withGuard(nil)
		tripped := false
		floodGuard.Subscribe(func(status guard.Status) { tripped = true })
		h := startHarness(t, func(_ int, items []sink.Item) sink.Response {
			return respondPerItem(items, func(item sink.Item) sink.ResultClass {
				if (item.ID[len(item.ID)-1]-'0')%2 == 0 {
					return sink.Rejected
				}
				return sink.Delivered
			})
		}, change)
		h.dispatchRecords(1000, nil)
		h.closeAndWait()
		if tripped {
			t.Error("the guard has tripped")
		}
		h.wantOutcomes(map[string]int{"dead rejected": 500, "delivered": 500})
	})
}

// A second survey mail is worse than a record that waits.
func TestWhatTheVendorMayHaveActedOnIsNotSentAgainByTheGuard(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &rejectingVendor{class: sink.Unknown}
		floodGuard, change := withGuard(func(cfg *Config) { cfg.UnknownPolicy = sink.UnknownDeadLetter })
		h := startHarness(t, vendor.respond, change)
		h.dispatchRecords(40, nil)
		testkit.AdvanceClock(24 * time.Hour)
		h.wantFloodHold()
		h.wantOutcomes(map[string]int{"dead unknown": 16})
		if n := len(h.ledger.intentIDs); n != 40 {
			t.Errorf("%d stand as sent, want all", n)
		}
		floodGuard.Release()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead unknown": 40})
		sent := 0
		for _, n := range h.vendor.callSizes() {
			sent += n
		}
		if sent != 40 {
			t.Errorf("40 records were sent %d times", sent)
		}
	})
}

func TestAnItemRefusedAfterALostAnswerIsNotSentAgainByTheGuard(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		floodGuard, change := withGuard(func(cfg *Config) { cfg.MaxItems = 32 })
		h := startHarness(t, func(call int, items []sink.Item) sink.Response {
			if call == 1 {
				return newResponse(sink.Unavailable, 503)
			}
			if call == 2 {
				return receivedServerError()
			}
			return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Rejected })
		}, change)
		h.dispatchRecords(32, nil)
		testkit.AdvanceClock(24 * time.Hour)
		h.wantFloodHold()
		h.wantCallSizes(32, 32, 32)
		floodGuard.Release()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead rejected": 32})
	})
}

// rejectWholeBatch refuses a batch that has one of the bad, and names nobody.
func rejectWholeBatch(bad func(id string) bool) script {
	return func(call int, items []sink.Item) sink.Response {
		for _, item := range items {
			if bad(item.ID) {
				return newResponse(sink.Rejected, 400)
			}
		}
		return acceptAll(call, items)
	}
}

func TestNothingOfABatchDiesWhereOverAQuarterOfItIsRefused(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		broken := true
		_, change := withGuard(func(cfg *Config) { cfg.MaxItems = 128 })
		h := startHarness(t, rejectWholeBatch(func(string) bool { return broken }), change)
		h.dispatchRecords(128, nil)
		testkit.AdvanceClock(time.Minute)
		h.wantFloodHold()
		h.wantOutcomes(map[string]int{})
		if n := h.vendor.callCount(); n > 16*(7+2)+6 {
			t.Errorf("%d calls until it was held", n)
		}
		broken = false
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 128})
	})
}

func TestTheCulpritsOfABatchDieWhereTheyAreFew(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		bad := map[string]bool{}
		for n := range 12 {
			bad[recordID(n)] = true // all of them in front, which is how the fewest have passed when the last is found
		}
		_, change := withGuard(func(cfg *Config) { cfg.MaxItems = 128 })
		h := startHarness(t, rejectWholeBatch(func(id string) bool { return bad[id] }), change)
		h.dispatchRecords(128, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead rejected": 12, "delivered": 116})
		if len(h.logs.All()) != 0 {
			t.Errorf("it was held: %v", h.loggedMessages())
		}
	})
}

func TestASmallBatchIsJudgedAtTheEndOfItsSearch(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		floodGuard, change := withGuard(nil)
		h := startHarness(t, rejectWholeBatch(func(string) bool { return true }), change)
		h.dispatchRecords(8, nil)
		testkit.AdvanceClock(time.Second)
		h.wantFloodHold()
		h.wantOutcomes(map[string]int{})
		floodGuard.Release()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead rejected": 8})
	})
}

func TestAFloodKeepsTheOrderOfEachKey(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &rejectingVendor{class: sink.Rejected}
		_, change := withGuard(func(cfg *Config) { cfg.Concurrency, cfg.RetryInPlace = 2, true })
		h := startHarness(t, vendor.respond, change)
		var keys []string
		for n := range 300 {
			keys = append(keys, fmt.Sprint(n%60))
			h.dispatchRecords(1, func(delivery *Delivery) { delivery.OrderKey = []byte(keys[n]) })
		}
		testkit.AdvanceClock(time.Hour)
		h.wantFloodHold()
		vendor.repaired = true
		h.closeAndWait()
		last := map[string]int64{}
		for _, name := range h.ledger.order {
			outcome := h.ledger.outcomes[name]
			key := keys[outcome.Record.Origin.Offset]
			if outcome.Record.Origin.Offset < last[key] {
				t.Errorf("%d of key %s came after %d", outcome.Record.Origin.Offset, key, last[key])
			}
			last[key] = outcome.Record.Origin.Offset
		}
	})
}

func TestTheHardStopDropsWhatTheGuardHolds(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Unknown} {
		t.Run(class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				vendor := &rejectingVendor{class: class}
				_, change := withGuard(func(cfg *Config) { cfg.UnknownPolicy = sink.UnknownDeadLetter })
				h := startHarness(t, vendor.respond, change)
				h.dispatchRecords(100, nil)
				testkit.AdvanceClock(time.Minute)
				h.wantFloodHold()
				h.cancelAndWait()
			})
		})
	}
}

func TestTheTimeInAFloodDoesNotAgeARecord(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &rejectingVendor{class: sink.Retryable}
		floodGuard, change := withGuard(func(cfg *Config) { cfg.RetryInPlace, cfg.MaxAge = true, time.Hour })
		h := startHarness(t, vendor.respond, change)
		h.dispatchRecords(24, nil)
		testkit.AdvanceClock(24 * time.Hour)
		h.wantFloodHold()
		floodGuard.Release()
		testkit.AdvanceClock(time.Second)
		for id, outcome := range h.ledger.outcomes {
			if outcome.Cause == record.CauseExpired {
				t.Fatalf("%s has expired", id)
			}
		}
		vendor.repaired = true
		h.closeAndWait()
		if h.countOutcomes()["dead expired"] != 0 || h.countOutcomes()["delivered"] == 0 {
			t.Errorf("outcomes %v", h.countOutcomes())
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
			h := startHarness(t, func(call int, items []sink.Item) sink.Response {
				if call == 3 {
					return throttled
				}
				return newResponse(sink.Rejected, 400)
			}, change)
			h.dispatchRecords(2, nil)
			testkit.AdvanceClock(time.Second) // one of the two is found, the other waits
			h.closeAndWait()
			h.wantOutcomes(map[string]int{"dead rejected": 2})
		})
	})
	t.Run("records of an assignment that was fenced", func(t *testing.T) {
		runInBubble(t, func(t *testing.T) {
			vendor := &rejectingVendor{class: sink.Rejected}
			_, change := withGuard(nil)
			h := startHarness(t, vendor.respond, change)
			h.dispatchRecords(24, nil)
			testkit.AdvanceClock(time.Second)
			h.wantFloodHold()
			h.tracker.Fence()
			h.closeAndWait()
			h.wantOutcomes(map[string]int{"dead rejected": 16})
		})
	})
}
