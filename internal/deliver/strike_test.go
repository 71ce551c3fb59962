package deliver

import (
	"testing"
	"time"

	"sluice/internal/test/testkit"
)

// Else an outage that begins while other lanes' calls are under way would look like a batch that alone fails.
func TestACallThatBeganBeforeAFailureIsNoPassAfterIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newTestGate(nil)
		under, failing := enter(t, g, 0), enter(t, g, 1)
		testkit.AdvanceClock(time.Second)
		fail(failing)
		pass(under)
		if _, passes := g.caps(); passes != 0 {
			t.Errorf("%d passes after the failure, want 0", passes)
		}
		pass(enter(t, g, 0))
		if _, passes := g.caps(); passes != 1 {
			t.Errorf("%d passes after the failure, want 1", passes)
		}
	})
}
