package deliver

import (
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/offset"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// A probe that searched for another item in a batch of which only offenders are left would panic.
func TestBatchWhoseLastItemsAreReleasedResolvesItsOffenders(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		floodGuard, change := withGuard(nil)
		h := startHarness(t, nil, change)
		var ending *offset.Tracker
		h.vendor.script = func(call int, items []sink.Item) sink.Response {
			switch {
			case items[0].ID == recordID(0):
				return newResponse(sink.Rejected, 400)
			case len(items) > 1:
				floodGuard.Trip("vendor.op", nil)
				return newResponse(sink.Unavailable, 503)
			}
			ending.StartDraining(time.Now())
			h.dispatcher.NotifyDraining()
			return acceptAll(call, items)
		}
		h.dispatchRecords(1, nil)
		h.newAssignment()
		h.dispatchRecords(7, nil)
		ending = h.tracker
		<-ending.Idle()
		floodGuard.Release()
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead rejected": 1, "delivered": 1})
	})
}

// The lane that failed last lets another waiting lane go first. A lane that has ended must
// not count as waiting, because it would never go.
func TestNoLaneWaitsForALaneThatHasEnded(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		down := true
		h := startHarness(t, func(call int, items []sink.Item) sink.Response {
			if down {
				return newResponse(sink.Unavailable, 503)
			}
			return acceptAll(call, items)
		}, func(cfg *Config) { cfg.Concurrency, cfg.Linger, cfg.Breaker.Failures = 2, 0, 2 })
		h.dispatchRecords(1, nil)
		testkit.AdvanceClock(5 * time.Second) // two failures open the breaker
		stays := h.tracker
		h.newAssignment()
		h.dispatchRecords(1, nil) // to the other lane, which then waits
		synctest.Wait()
		h.tracker.Fence()
		down = false
		h.dispatcher.Close()
		<-h.tracker.Idle()
		testkit.AdvanceClock(time.Minute)
		h.wantOutcomes(map[string]int{"delivered": 1})
		<-stays.Idle()
		h.closeAndWait()
	})
}
