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
	bubble(t, func(t *testing.T) {
		tries := map[string]int{}
		r := start(t, func(_ int, items []sink.Item) sink.Response {
			return each(items, func(it sink.Item) sink.ResultClass {
				if tries[it.ID]++; it.ID == id(0) && tries[it.ID] <= 2 || it.ID == id(4) {
					return sink.Retryable
				}
				return sink.Delivered
			})
		}, func(c *Config) { c.RetryInPlace = true; c.Concurrency = 1 })
		keys := []string{"a", "b", "a", "b", "c", "c"}
		for _, k := range keys {
			r.dispatch(1, func(j *Delivery) { j.OrderKey = []byte(k) })
		}
		r.finish()
		r.wantKinds(map[string]int{"delivered": 5, "dead exhausted": 1})
		place := func(n int) int { return slices.Index(r.border.order, id(n)) }
		if place(0) > place(2) || place(4) > place(5) {
			t.Errorf("settled in the order %v", r.border.order)
		}
		if at := r.border.at[id(3)].Sub(r.began); at > time.Second {
			t.Errorf("key b waited %v for key a", at)
		}
		if at := r.border.at[id(0)].Sub(r.began); at < 70*time.Second {
			t.Errorf("the first of key a was delivered after %v, before its delays of 10 s and 1 m", at)
		}
	})
}

func TestItemsOfOneEntityAreNeverInOneCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(n int, items []sink.Item) sink.Response {
			seen := map[string]bool{}
			for _, it := range items {
				if seen[it.EntityKey] {
					t.Errorf("call %d holds entity %s twice", n, it.EntityKey)
				}
				seen[it.EntityKey] = true
			}
			return accept(n, items)
		}, func(c *Config) { c.Concurrency = 3 })
		for i := range 60 {
			r.dispatch(1, func(j *Delivery) { j.Item.EntityKey = fmt.Sprint(i % 7) })
		}
		r.finish()
		r.wantKinds(map[string]int{"delivered": 60})
		last := map[int]int{}
		for _, name := range r.border.order {
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
	bubble(t, func(t *testing.T) {
		r := start(t, accept, nil)
		r.dispatch(24, nil)
		r.finish()
		if r.border.settles != 3 {
			t.Errorf("%d calls of the settler for 3 answers", r.border.settles)
		}
		if o := r.border.outcomes[id(0)]; o.Disposition != record.DispositionDelivered || o.Attempt != 1 {
			t.Errorf("outcome %+v", o)
		}
	})
}
