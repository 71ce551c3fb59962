package deliver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/backoff"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func TestRepeatableOperationsLogNoIntentsAndResendAfterATimeout(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &fakeVendor{
			spec: sink.OperationSpec{Repeatable: true}, script: respondFirst(newResponse(sink.Unknown, 504)),
		}
		h := newHarness(t, vendor, vendor, nil)
		h.dispatchRecords(8, func(delivery *Delivery) { delivery.Record.OutcomeUnknown = true })
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 8})
		h.wantCallSizes(8, 8)
		if n := h.obs.Snapshot().PossibleDuplicates; h.ledger.intentsLogged != 0 || n != 0 {
			t.Errorf("got %d intents logged and %d possible duplicates, want none", h.ledger.intentsLogged, n)
		}
	})
}

func TestIntentsAreLoggedBeforeACall(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		var h *harness
		check := func(call int, items []sink.Item) sink.Response {
			if len(h.ledger.intents) < len(items) {
				t.Errorf("call %d of %d items: got %d intents, want one for each item", call, len(items), len(h.ledger.intents))
			}
			switch call {
			case 1:
				return newResponse(sink.Unavailable, 503)
			case 2:
				return newResponse(sink.Rejected, 400)
			}
			return acceptAll(call, items)
		}
		h = startHarness(t, check, nil)
		h.dispatchRecords(8, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 8})
	})
}

// A member that has lost its partitions without noticing must learn that from the commit before the
// call, before the vendor accepts an outdated state.
func TestOrderedRepeatableOperationsLogIntentsBeforeEachCall(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		var h *harness
		vendor := &fakeVendor{spec: sink.OperationSpec{Repeatable: true}}
		vendor.script = func(call int, items []sink.Item) sink.Response {
			if len(h.ledger.intents) < len(items) {
				t.Errorf("call %d of %d items: got %d intents, want one for each item", call, len(items), len(h.ledger.intents))
			}
			switch call {
			case 1:
				return newResponse(sink.Unavailable, 503)
			case 2:
				return newResponse(sink.Unknown, 504)
			case 3:
				return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
			}
			return acceptAll(call, items)
		}
		h = newHarness(t, vendor, vendor, func(cfg *Config) { cfg.RetryInPlace = true })
		h.dispatchRecords(8, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 8})
		if calls := h.ledger.intentsLogged / 8; calls != 4 {
			t.Errorf("got intents logged for %d calls, want 4", calls)
		}
	})
}

func TestOnlyACallThatResolvesTheRecordCountsAsAnAttempt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		refuse := func(_ int, items []sink.Item) sink.Response {
			return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Rejected })
		}
		waits := []sink.Response{
			newResponse(sink.Unavailable, 503), newResponse(sink.Throttled, 429), newResponse(sink.Unauthorized, 401),
		}
		h := startHarness(t, func(call int, items []sink.Item) sink.Response {
			if call <= len(waits) {
				return waits[call-1]
			}
			return refuse(call, items)
		}, nil)
		h.dispatchRecords(1, func(delivery *Delivery) { delivery.Record.Attempt = 2 })
		h.closeAndWait()
		outcome := h.ledger.outcomes[recordID(0)]
		if outcome.Attempt != 3 || outcome.Cause != record.CauseRejected ||
			outcome.Stage != record.StageDeliver || outcome.OperationName != "vendor.op" {
			t.Fatalf("got outcome %+v, want rejected at attempt 3", outcome)
		}
		if !strings.Contains(outcome.Reason, "refused") {
			t.Fatalf("got reason %q, want it to say refused", outcome.Reason)
		}
	})
}

func TestAttemptOfAnEarlierOwnerCounts(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, deadLetterUnknown)
		h.dispatchRecords(
			1, func(delivery *Delivery) { delivery.Record.OutcomeUnknown, delivery.Record.Attempt = true, 1 },
		)
		h.closeAndWait()
		if outcome := h.ledger.outcomes[recordID(0)]; outcome.Attempt != 2 || outcome.Cause != record.CauseUnknown {
			t.Fatalf("got outcome %+v, want unknown at attempt 2", outcome)
		}
	})
}

// Full jitter makes a single wait meaningless. Only the sum of many waits shows that they grow.
func TestBackOffOfALaneGrows(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		down := make([]sink.Response, 12)
		for i := range down {
			down[i] = newResponse(sink.Unavailable, 503)
		}
		h := startHarness(
			t, respondFirst(down...),
			func(cfg *Config) { disableBreaker(cfg); cfg.Backoff = backoff.Policy{Min: time.Second, Max: time.Hour} },
		)
		h.dispatchRecords(1, nil)
		h.closeAndWait()
		at := h.vendor.calledAt
		if took := at[12].Sub(at[0]); took < 5*time.Minute || took > (1<<12)*time.Second {
			t.Errorf("got %v for 12 waits with doubling limits from 1 s on, want 5 m to %v",
				took, (1<<12)*time.Second)
		}
	})
}

func TestAgeOfARecordExcludesHolds(t *testing.T) {
	slow := newResponse(sink.Throttled, 429)
	slow.RetryAfter = time.Hour
	for _, response := range []sink.Response{
		newResponse(sink.Unavailable, 503), newResponse(sink.Misconfigured, 404), newResponse(sink.Unauthorized, 401),
		slow,
	} {
		t.Run(response.Class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				down := true
				h := startHarness(t, func(_ int, items []sink.Item) sink.Response {
					if down {
						return response
					}
					return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
				}, nil)
				h.dispatchRecords(
					1, func(delivery *Delivery) { delivery.Record.FirstFailed = time.Now().Add(-time.Minute) },
				)
				testkit.AdvanceClock(3 * time.Hour)
				down = false
				h.closeAndWait()
				h.wantOutcomes(map[string]int{"retried retryable": 1})
			})
		})
	}
}

// The vendor omits an item in each response. A lane that matched results to items by position would
// report one delivery too many.
func TestOmittedItemIsNeverDelivered(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, func(call int, items []sink.Item) sink.Response {
			response := acceptAll(call, items)
			response.ItemResults = response.ItemResults[:len(response.ItemResults)-1]
			return response
		}, nil)
		h.dispatchRecords(20, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead unknown": 20})
	})
}

func TestRetryAfterIsCapped(t *testing.T) {
	cases := []struct {
		class              sink.ResultClass
		asked, least, most time.Duration
	}{
		{sink.Throttled, 30 * time.Second, 30 * time.Second, 31 * time.Second},
		{sink.Throttled, 24 * time.Hour, 15 * time.Minute, 15*time.Minute + time.Second},
		{sink.Throttled, 0, 0, time.Second},
		{sink.Unavailable, 30 * time.Second, 30 * time.Second, 31 * time.Second},
		{sink.Unavailable, 24 * time.Hour, 15 * time.Minute, 15*time.Minute + time.Second},
	}
	for _, tc := range cases {
		t.Run(tc.class.String()+" "+tc.asked.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				response := newResponse(tc.class, 0)
				response.RetryAfter = tc.asked
				h := startHarness(t, respondFirst(response), nil)
				h.dispatchRecords(8, nil)
				h.closeAndWait()
				if wait := h.vendor.calledAt[1].Sub(h.vendor.calledAt[0]); wait < tc.least || wait > tc.most {
					t.Fatalf("got a wait of %v, want %v to %v", wait, tc.least, tc.most)
				}
			})
		})
	}
}

func TestThrottlingSlowsAllLanesDownForAWhile(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(
			t, respondFirst(newResponse(sink.Throttled, 429)), func(cfg *Config) { cfg.Concurrency = 2 },
		)
		h.dispatchRecords(8*60, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 8 * 60})
		at := h.vendor.calledAt
		if gap := at[3].Sub(at[2]); gap < 50*time.Millisecond {
			t.Fatalf("got %v between the first calls after throttling, want at least 50 ms", gap)
		}
		if gap := at[len(at)-1].Sub(at[len(at)-2]); gap != 0 {
			t.Fatalf("got %v between calls after many successes, want 0", gap)
		}
	})
}

// Otherwise a record to which the vendor never responds would block its lane forever, whatever the
// kind of failure.
func TestBatchThatAloneMakesTheVendorFailIsBisected(t *testing.T) {
	coded := newResponse(sink.Unavailable, 200)
	coded.MayHaveActed = true
	for _, tc := range []struct {
		name       string
		lanes      int
		repeatable bool
		failing    sink.Response
		outcome    string // of the item that fails alone
	}{
		{"500", 2, false, newResponse(sink.Unavailable, 500), "retried retryable"},
		{"500, in the only lane", 1, false, newResponse(sink.Unavailable, 500), "retried retryable"},
		{"a code that means the same", 2, true, coded, "retried retryable"},
		{"a code that means the same, not repeatable", 2, false, coded, "dead unknown"}, // its sends are used up
		{"504", 2, true, newResponse(sink.Unknown, 504), "retried retryable"},
		{"timeout after the request was written", 2, true, newResponse(sink.Unknown, 0), "retried retryable"},
		{"unreadable response", 2, true, newResponse(sink.Unknown, 200), "retried retryable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				vendor := &fakeVendor{spec: sink.OperationSpec{Repeatable: tc.repeatable}}
				vendor.script = func(call int, items []sink.Item) sink.Response {
					if slices.ContainsFunc(items, func(item sink.Item) bool { return item.ID == recordID(5) }) {
						return tc.failing
					}
					return acceptAll(call, items)
				}
				h := newHarness(t, vendor, vendor, func(cfg *Config) { cfg.Concurrency = tc.lanes; cfg.Linger = 0 })
				h.dispatchRecords(64, nil)
				for range 40 {
					testkit.AdvanceClock(10 * time.Second)
					h.dispatchRecords(4, nil)
				}
				h.closeAndWait()
				h.wantOutcomes(map[string]int{"delivered": 64 + 160 - 1, tc.outcome: 1})
				if outcome := h.ledger.outcomes[recordID(5)]; outcome.Disposition == record.DispositionDelivered {
					t.Fatalf("got outcome %+v for the item that fails alone, want %s", outcome, tc.outcome)
				}
			})
		})
	}
}

func TestCallNeverExceedsTheVendorsLimit(t *testing.T) {
	cases := []struct {
		name       string
		spec       sink.OperationSpec
		configured int
		want       int
	}{
		{"configured", sink.OperationSpec{MaxItems: 100, DefaultItems: 50}, 20, 20},
		{"configured above the limit", sink.OperationSpec{MaxItems: 10}, 20, 10},
		{"not configured", sink.OperationSpec{MaxItems: 100, DefaultItems: 50}, 0, 50},
		{"not configured, no default", sink.OperationSpec{MaxItems: 40}, 0, 40},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				vendor := &fakeVendor{spec: tc.spec, script: acceptAll}
				h := newHarness(t, vendor, vendor, func(cfg *Config) { cfg.MaxItems = tc.configured })
				h.dispatchRecords(100, nil)
				h.closeAndWait()
				if got := slices.Max(vendor.callSizes()); got != tc.want {
					t.Errorf("got a largest call of %d items, want %d", got, tc.want)
				}
			})
		})
	}
}
