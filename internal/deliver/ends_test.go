package deliver

import (
	"testing"
	"time"

	"sluice/internal/offset"
	"sluice/internal/sink"
)

// A trial that looked for another item in a batch of which only culprits are left would end the process.
func TestABatchWhoseLastItemsAreDroppedBuriesItsCulprits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, change := guarded(nil)
		r := start(t, nil, change)
		var ending *offset.Tracker
		r.vendor.script = func(n int, items []sink.Item) sink.Answer {
			switch {
			case items[0].ID == id(0):
				return answer(sink.Rejected, 400)
			case len(items) > 1:
				g.Trip("vendor.op", nil)
				return answer(sink.Unavailable, 503)
			}
			ending.Drain(time.Now())
			r.lanes.Flush()
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
