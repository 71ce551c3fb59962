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

// withGuard configures a flood guard that trips when more than half of the last 200 records, at
// least 20, were refused.
func withGuard(change func(*Config)) (*guard.Guard, func(*Config)) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	return floodGuard, func(cfg *Config) {
		cfg.Guard = floodGuard
		if change != nil {
			change(cfg)
		}
	}
}

// rejectingVendor responds to each item with its class, until it is repaired.
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

// wantFloodHold fails the test if the operation is not held because of a flood.
func (h *harness) wantFloodHold() {
	h.t.Helper()
	synctest.Wait()
	if reason := h.holdReason(); reason != "flood" {
		h.t.Fatalf("got hold reason %q, want flood", reason)
	}
}

func TestVendorThatRefusesEverythingCostsFewRecords(t *testing.T) {
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
						t.Errorf("got outcomes %v, want 1 to 19", h.countOutcomes())
					}
					if n := h.vendor.callCount(); n > 2*24*12+20 {
						t.Errorf("got %d calls in a day, want at most %d", n, 2*24*12+20)
					}
					vendor.repaired = true
					h.closeAndWait()
					if got := h.countOutcomes()["delivered"]; got != 500-gone {
						t.Errorf("got outcomes %v in the end, want %d delivered", h.countOutcomes(), 500-gone)
					}
				})
			})
		}
	}
}

func TestFloodIsProbedWithOneItemAtGrowingIntervals(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &rejectingVendor{class: sink.Rejected}
		_, change := withGuard(nil)
		h := startHarness(t, vendor.respond, change)
		h.dispatchRecords(100, nil)
		testkit.AdvanceClock(time.Hour)
		sizes, at := h.vendor.callSizes(), h.vendor.calledAt
		if sent, ended := len(h.ledger.intentIDs), len(h.ledger.outcomes); sent != ended {
			t.Errorf("got %d intents and %d outcomes, want no intent of a quarantined record", sent, ended)
		}
		wait := 5 * time.Second
		for i := 3; i < 12; i++ {
			if gap := at[i].Sub(at[i-1]); sizes[i] != 1 || gap != wait {
				t.Errorf("probe %d: got %d items after %v, want 1 after %v", i-2, sizes[i], gap, wait)
			}
			wait = min(2*wait, 5*time.Minute)
		}
		probed := map[string]bool{}
		for i := 3; i < 12; i++ {
			probed[h.vendor.callItems(i)[0]] = true
		}
		if len(probed) != 9 {
			t.Errorf("got nine probes of %d records, want 9", len(probed))
		}
		vendor.repaired = true
		before := len(sizes)
		h.closeAndWait()
		for i := before + 1; i < before+5; i++ {
			if gap := h.vendor.calledAt[i].Sub(h.vendor.calledAt[i-1]); gap != 0 {
				t.Errorf("probe %d: got %v after an accepted one, want 0", i-before+1, gap)
			}
		}
		if got := h.vendor.callSizes()[before:]; len(got) < 6 || got[4] != 1 || got[5] != 8 {
			t.Errorf("after the repair: got calls of %v items, want five of 1 and then full ones", got)
		}
	})
}

func TestOperatorReleaseResolvesWhatIsInQuarantine(t *testing.T) {
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
		if reason := h.holdReason(); reason != "" {
			t.Errorf("got hold reason %q, want none", reason)
		}
		h.dispatchRecords(24, nil)
		testkit.AdvanceClock(time.Second)
		h.wantFloodHold()
		h.wantOutcomes(map[string]int{"dead rejected": 24 + 16})
		h.cancelAndWait()
	})
}

func TestDrainReleasesTheQuarantine(t *testing.T) {
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
					t.Errorf("got a drain of %v, want 0", took)
				}
				want := map[sink.ResultClass]int{sink.Rejected: 16, sink.Unknown: 0}[class]
				if class == sink.Unknown {
					for _, n := range h.vendor.callSizes() {
						want += n
					}
				}
				if n := len(h.ledger.intentIDs); n != want {
					t.Errorf("got %d intents, want %d", n, want)
				}
				h.closeAndWait()
				h.wantOutcomes(map[string]int{"dead " + class.String(): 16})
			})
		})
	}
}

func TestRefusingExactlyTheMaximumRatioDoesNotTrip(t *testing.T) {
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
			t.Error("got a tripped guard, want it clear")
		}
		h.wantOutcomes(map[string]int{"dead rejected": 500, "delivered": 500})
	})
}

// A second survey mail is worse than a record that has to wait.
func TestQuarantineDoesNotResendUnknownOutcomes(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &rejectingVendor{class: sink.Unknown}
		floodGuard, change := withGuard(func(cfg *Config) { cfg.UnknownPolicy = sink.UnknownDeadLetter })
		h := startHarness(t, vendor.respond, change)
		h.dispatchRecords(40, nil)
		testkit.AdvanceClock(24 * time.Hour)
		h.wantFloodHold()
		h.wantOutcomes(map[string]int{"dead unknown": 16})
		if n := len(h.ledger.intentIDs); n != 40 {
			t.Errorf("got %d intents, want 40", n)
		}
		floodGuard.Release()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead unknown": 40})
		sent := 0
		for _, n := range h.vendor.callSizes() {
			sent += n
		}
		if sent != 40 {
			t.Errorf("got %d items sent, want 40", sent)
		}
	})
}

func TestQuarantineDoesNotResendAnItemRefusedAfterALostResponse(t *testing.T) {
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
		h.wantCallSizes(32, 32, 16, 16)
		floodGuard.Release()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead rejected": 32})
	})
}

// rejectWholeBatch rejects a batch that contains a bad item, without naming it.
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

func TestNoRecordIsDeadLetteredWhenOverAQuarterOfABatchIsRejected(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		broken := true
		_, change := withGuard(func(cfg *Config) { cfg.MaxItems = 128 })
		h := startHarness(t, rejectWholeBatch(func(string) bool { return broken }), change)
		h.dispatchRecords(128, nil)
		testkit.AdvanceClock(time.Minute)
		h.wantFloodHold()
		h.wantOutcomes(map[string]int{})
		if n := h.vendor.callCount(); n > 16*(7+2)+6 {
			t.Errorf("got %d calls until it was held, want at most %d", n, 16*(7+2)+6)
		}
		broken = false
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 128})
	})
}

func TestFewOffendersOfABatchAreDeadLettered(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		bad := map[string]bool{}
		for n := range 12 {
			bad[recordID(n)] = true // at the front, so that few items have passed when the last one is found
		}
		_, change := withGuard(func(cfg *Config) { cfg.MaxItems = 128 })
		h := startHarness(t, rejectWholeBatch(func(id string) bool { return bad[id] }), change)
		h.dispatchRecords(128, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead rejected": 12, "delivered": 116})
		if len(h.logs.All()) != 0 {
			t.Errorf("got log messages %v, want none", h.loggedMessages())
		}
	})
}

func TestSmallBatchTripsTheGuardOnceItsBisectionIsComplete(t *testing.T) {
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

func TestFloodKeepsTheOrderOfEachKey(t *testing.T) {
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
				t.Errorf("got %d of key %s settled after %d", outcome.Record.Origin.Offset, key, last[key])
			}
			last[key] = outcome.Record.Origin.Offset
		}
	})
}

func TestEndOfTheWorkContextReleasesTheQuarantine(t *testing.T) {
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

func TestAgeOfARecordExcludesFloods(t *testing.T) {
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
				t.Fatalf("got %s expired, want it to be retried", id)
			}
		}
		vendor.repaired = true
		h.closeAndWait()
		if h.countOutcomes()["dead expired"] != 0 || h.countOutcomes()["delivered"] == 0 {
			t.Errorf("got outcomes %v, want some delivered and none expired", h.countOutcomes())
		}
	})
}

// A lane that checked only before its turn whether it is finished would wait forever.
func TestLaneEndsWithTheLastDeliveryOfItsBacklog(t *testing.T) {
	t.Run("offenders of a search that is completed after Close", func(t *testing.T) {
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
			testkit.AdvanceClock(time.Second) // one offender has been found, the other is waiting
			h.closeAndWait()
			h.wantOutcomes(map[string]int{"dead rejected": 2})
		})
	})
	t.Run("records of a fenced assignment", func(t *testing.T) {
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
