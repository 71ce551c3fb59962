package deliver

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/sink"
)

func TestRetryInPlaceKeepsTheOrderOfItsKeyAndDoesNotDelayOtherKeys(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		tries := map[string]int{}
		h := startHarness(t, func(_ int, items []sink.Item) sink.Response {
			return respondPerItem(items, func(item sink.Item) sink.ResultClass {
				if tries[item.ID]++; item.ID == recordID(0) && tries[item.ID] <= 2 || item.ID == recordID(4) {
					return sink.Retryable
				}
				return sink.Delivered
			})
		}, func(cfg *Config) { cfg.RetryInPlace = true; cfg.Concurrency = 1 })
		keys := []string{"a", "b", "a", "b", "c", "c"}
		for _, k := range keys {
			h.dispatchRecords(1, func(delivery *Delivery) { delivery.OrderKey = []byte(k) })
		}
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 5, "dead exhausted": 1})
		place := func(n int) int { return slices.Index(h.ledger.order, recordID(n)) }
		if place(0) > place(2) || place(4) > place(5) {
			t.Errorf("got records settled in the order %v, want 0 before 2 and 4 before 5", h.ledger.order)
		}
		if at := h.ledger.settledAt[recordID(3)].Sub(h.began); at > time.Second {
			t.Errorf("got key b delayed by %v, want at most 1 s", at)
		}
		if at := h.ledger.settledAt[recordID(0)].Sub(h.began); at < 70*time.Second {
			t.Errorf("got the first record of key a delivered after %v, want at least its delays of 10 s and 1 m", at)
		}
	})
}

func TestItemsOfOneEntityNeverShareACall(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, func(call int, items []sink.Item) sink.Response {
			seen := map[string]bool{}
			for _, item := range items {
				if seen[item.EntityKey] {
					t.Errorf("call %d: got entity %s twice, want once", call, item.EntityKey)
				}
				seen[item.EntityKey] = true
			}
			return acceptAll(call, items)
		}, func(cfg *Config) { cfg.Concurrency = 3 })
		for i := range 60 {
			h.dispatchRecords(1, func(delivery *Delivery) { delivery.Item.EntityKey = fmt.Sprint(i % 7) })
		}
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 60})
		last := map[int]int{}
		for _, name := range h.ledger.order {
			var n int
			if _, err := fmt.Sscanf(name, "t-0-%d", &n); err != nil {
				t.Fatal(err)
			}
			if n < last[n%7] {
				t.Errorf("got %d settled after %d of the same entity", n, last[n%7])
			}
			last[n%7] = n
		}
	})
}

func TestOutcomesOfOneCallAreSettledTogether(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, nil)
		h.dispatchRecords(24, nil)
		h.closeAndWait()
		if h.ledger.settleCalls != 3 {
			t.Errorf("got Settle called %d times for 3 calls, want 3", h.ledger.settleCalls)
		}
		if outcome := h.ledger.outcomes[recordID(0)]; outcome.Disposition != record.DispositionDelivered ||
			outcome.Attempt != 1 {
			t.Errorf("got outcome %+v, want delivered at attempt 1", outcome)
		}
	})
}
