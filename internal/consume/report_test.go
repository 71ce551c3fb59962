package consume_test

import (
	"testing"
	"time"

	"sluice/internal/test/testkit"
)

func TestLagIsReportedWhileNothingIsFetched(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(100)
		m := h.startMember(1, 0, withAllStuck)
		testkit.AdvanceClock(time.Minute)
		h.produceToFirst(900)
		testkit.AdvanceClock(time.Minute)
		if got := m.obs.Snapshot().LagRecords; got != 1000 {
			t.Errorf("got lag %d, want 1000", got)
		}
		m.stopCleanly()
	})
}
