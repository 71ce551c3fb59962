package deliver

import (
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/offset"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// A trial that looked for another item in a batch of which only culprits are left would end the process.
func TestABatchWhoseLastItemsAreDroppedBuriesItsCulprits(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g, change := withGuard(nil)
		r := startHarness(t, nil, change)
		var ending *offset.Tracker
		r.vendor.script = func(n int, items []sink.Item) sink.Response {
			switch {
			case items[0].ID == recordID(0):
				return newResponse(sink.Rejected, 400)
			case len(items) > 1:
				g.Trip("vendor.op", nil)
				return newResponse(sink.Unavailable, 503)
			}
			ending.StartDraining(time.Now())
			r.dispatcher.NotifyDraining()
			return acceptAll(n, items)
		}
		r.dispatchRecords(1, nil)
		r.newAssignment()
		r.dispatchRecords(7, nil)
		ending = r.tracker
		<-ending.Idle()
		g.Release()
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"dead rejected": 1, "delivered": 1})
	})
}

// The lane that failed last lets another one go first that asks. One that has ended would never go.
func TestALaneThatEndsIsWaitedForByNobody(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		down := true
		r := startHarness(t, func(n int, items []sink.Item) sink.Response {
			if down {
				return newResponse(sink.Unavailable, 503)
			}
			return acceptAll(n, items)
		}, func(c *Config) { c.Concurrency, c.Linger, c.Breaker.Failures = 2, 0, 2 })
		r.dispatchRecords(1, nil)
		testkit.AdvanceClock(5 * time.Second) // two failures: open
		stays := r.tracker
		r.newAssignment()
		r.dispatchRecords(1, nil) // to the other lane, which asks
		synctest.Wait()
		r.tracker.Fence()
		down = false
		r.dispatcher.Close()
		<-r.tracker.Idle()
		testkit.AdvanceClock(time.Minute)
		r.wantOutcomes(map[string]int{"delivered": 1})
		<-stays.Idle()
		r.closeAndWait()
	})
}
