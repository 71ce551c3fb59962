package consume_test

import (
	"testing"
	"time"

	"sluice/internal/test/testkit"
)

func TestLagIsToldWhileNothingIsRead(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(100)
		m := c.join(1, 0, stuckAll)
		testkit.AdvanceClock(time.Minute)
		c.fill(900)
		testkit.AdvanceClock(time.Minute)
		if got := m.obs.Snapshot().LagRecords; got != 1000 {
			t.Errorf("the lag is %d, want 1000", got)
		}
		m.leave()
	})
}
