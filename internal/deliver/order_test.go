package deliver

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/sink"
)

func TestOrderPerKeyHoldsAcrossWaitsInPlaceWhileOtherKeysGoOn(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		tries := map[string]int{}
		r := startHarness(t, func(_ int, items []sink.Item) sink.Response {
			return respondPerItem(items, func(it sink.Item) sink.ResultClass {
				if tries[it.ID]++; it.ID == recordID(0) && tries[it.ID] <= 2 || it.ID == recordID(4) {
					return sink.Retryable
				}
				return sink.Delivered
			})
		}, func(c *Config) { c.RetryInPlace = true; c.Concurrency = 1 })
		keys := []string{"a", "b", "a", "b", "c", "c"}
		for _, k := range keys {
			r.dispatchRecords(1, func(j *Delivery) { j.OrderKey = []byte(k) })
		}
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 5, "dead exhausted": 1})
		place := func(n int) int { return slices.Index(r.ledger.order, recordID(n)) }
		if place(0) > place(2) || place(4) > place(5) {
			t.Errorf("settled in the order %v", r.ledger.order)
		}
		if at := r.ledger.settledAt[recordID(3)].Sub(r.began); at > time.Second {
			t.Errorf("key b waited %v for key a", at)
		}
		if at := r.ledger.settledAt[recordID(0)].Sub(r.began); at < 70*time.Second {
			t.Errorf("the first of key a was delivered after %v, before its delays of 10 s and 1 m", at)
		}
	})
}

func TestItemsOfOneEntityAreNeverInOneCall(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, func(n int, items []sink.Item) sink.Response {
			seen := map[string]bool{}
			for _, it := range items {
				if seen[it.EntityKey] {
					t.Errorf("call %d holds entity %s twice", n, it.EntityKey)
				}
				seen[it.EntityKey] = true
			}
			return acceptAll(n, items)
		}, func(c *Config) { c.Concurrency = 3 })
		for i := range 60 {
			r.dispatchRecords(1, func(j *Delivery) { j.Item.EntityKey = fmt.Sprint(i % 7) })
		}
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 60})
		last := map[int]int{}
		for _, name := range r.ledger.order {
			var n int
			if _, err := fmt.Sscanf(name, "t-0-%d", &n); err != nil {
				t.Fatal(err)
			}
			if n < last[n%7] {
				t.Errorf("%d came after %d of the same entity", n, last[n%7])
			}
			last[n%7] = n
		}
	})
}

func TestOutcomesOfOneAnswerReachTheSettlerTogether(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, nil)
		r.dispatchRecords(24, nil)
		r.closeAndWait()
		if r.ledger.settleCalls != 3 {
			t.Errorf("%d calls of the settler for 3 answers", r.ledger.settleCalls)
		}
		if o := r.ledger.outcomes[recordID(0)]; o.Disposition != record.DispositionDelivered || o.Attempt != 1 {
			t.Errorf("outcome %+v", o)
		}
	})
}
