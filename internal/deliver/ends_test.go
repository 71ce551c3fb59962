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
	bubble(t, func(t *testing.T) {
		g, change := guarded(nil)
		r := start(t, nil, change)
		var ending *offset.Tracker
		r.vendor.script = func(n int, items []sink.Item) sink.Response {
			switch {
			case items[0].ID == id(0):
				return answer(sink.Rejected, 400)
			case len(items) > 1:
				g.Trip("vendor.op", nil)
				return answer(sink.Unavailable, 503)
			}
			ending.StartDraining(time.Now())
			r.lanes.NotifyDraining()
			return accept(n, items)
		}
		r.dispatch(1, nil)
		r.assign()
		r.dispatch(7, nil)
		ending = r.tracker
		<-ending.Idle()
		g.Release()
		r.finish()
		r.wantKinds(map[string]int{"dead rejected": 1, "delivered": 1})
	})
}

// The lane that failed last lets another one go first that asks. One that has ended would never go.
func TestALaneThatEndsIsWaitedForByNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		down := true
		r := start(t, func(n int, items []sink.Item) sink.Response {
			if down {
				return answer(sink.Unavailable, 503)
			}
			return accept(n, items)
		}, func(c *Config) { c.Concurrency, c.Linger, c.Breaker.Failures = 2, 0, 2 })
		r.dispatch(1, nil)
		testkit.AdvanceClock(5 * time.Second) // two failures: open
		stays := r.tracker
		r.assign()
		r.dispatch(1, nil) // to the other lane, which asks
		synctest.Wait()
		r.tracker.Fence()
		down = false
		r.lanes.Close()
		<-r.tracker.Idle()
		testkit.AdvanceClock(time.Minute)
		r.wantKinds(map[string]int{"delivered": 1})
		<-stays.Idle()
		r.finish()
	})
}
