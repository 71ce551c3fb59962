package deliver

import (
	"testing"
	"time"

	"sluice/internal/test/testkit"
)

// Else an outage that begins while other lanes' calls are under way would look like a batch that alone fails.
func TestACallThatBeganBeforeAFailureIsNoPassAfterIt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		under, failing := mustAdmit(t, g, 0), mustAdmit(t, g, 1)
		testkit.AdvanceClock(time.Second)
		reportUnavailable(failing)
		reportDelivered(under)
		if _, passes := g.callLimits(); passes != 0 {
			t.Errorf("%d passes after the failure, want 0", passes)
		}
		reportDelivered(mustAdmit(t, g, 0))
		if _, passes := g.callLimits(); passes != 1 {
			t.Errorf("%d passes after the failure, want 1", passes)
		}
	})
}
