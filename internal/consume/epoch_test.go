package consume_test

import (
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// A commit carries the leader epoch of the record before it: with an older one the next owner's client would take the log for truncated where that
// epoch ended, and read again from there.
func TestACommitCarriesTheEpochOfTheRecordBeforeItThoughLeadersMoved(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newClusterOf(t, 3)
		var free atomic.Bool
		m := c.join(1, 0, func(l *line, cfg *consume.Config) {
			roomy(l, cfg)
			l.stuck = func(r *record.Record) bool { return r.Origin.Partition == 0 && r.Origin.Offset == 0 && !free.Load() }
		})
		c.fill(1)
		testkit.AdvanceClock(time.Second)
		leader := c.Cluster().LeaderFor(source, 0)
		if err := c.Cluster().MoveTopicPartition(source, 0, (leader+1)%3); err != nil {
			t.Fatal(err)
		}
		c.fill(65) // as many as make the tracker forget settled entries behind the head
		testkit.AdvanceClock(10 * time.Second)
		c.checkCount(65)
		free.Store(true)
		m.NotifyDraining()
		c.awaitOffset(source, 0, 66)
		m.leave()
		m = c.join(2, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		m.leave()
		c.check(66, 0)
	})
}
