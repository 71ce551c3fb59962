package consume_test

import (
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// With an older epoch, the next owner's client would assume that the log was truncated where that
// epoch ended, and read records again.
func TestCommitHasTheLeaderEpochOfThePrecedingRecord(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarnessWithBrokers(t, 3)
		var free atomic.Bool
		m := h.startMember(1, 0, func(s *fakeStages, cfg *consume.Config) {
			withLargeBudget(s, cfg)
			s.isStuck = func(r *record.Record) bool {
				return r.Origin.Partition == 0 && r.Origin.Offset == 0 && !free.Load()
			}
		})
		h.produceToFirst(1)
		testkit.AdvanceClock(time.Second)
		leader := h.Cluster().LeaderFor(source, 0)
		if err := h.Cluster().MoveTopicPartition(source, 0, (leader+1)%3); err != nil {
			t.Fatal(err)
		}
		h.produceToFirst(65) // enough for the tracker to compact the settled ones
		testkit.AdvanceClock(10 * time.Second)
		h.checkDelivered(65)
		free.Store(true)
		m.NotifyDraining()
		h.awaitOffset(source, 0, 66)
		m.stopCleanly()
		m = h.startMember(2, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		m.stopCleanly()
		h.checkDeliveries(66, 0)
	})
}
