package consume_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// The second owner skips the late copy, for it has the source record itself, and commits the copy as
// settled beyond an older retry record. The third owner must not take that for a word on the source record.
func TestASkippedLateCopyDoesNotSettleItsOrigin(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.copyTo(tier10s, 0, 1000, 1, time.Now(), "earlier") // of another source record
		c.fill(3)
		var away atomic.Bool
		away.Store(true)
		second := c.join(1, 0, func(l *line, _ *consume.Config) {
			l.stuck = func(r *record.Record) bool { return away.Load() && (r.TierDelay > 0 || r.Origin.Offset == 0) }
		})
		testkit.AdvanceClock(10 * time.Second)
		c.commits.Settled(tier10s, 0, 1)
		c.copyTo(tier10s, 0, 0, 1, time.Now(), "an owner that lost it")
		testkit.AdvanceClock(10 * time.Second)
		second.leave()
		c.checkCount(2)
		away.Store(false)
		third := c.join(2, 0, nil)
		c.awaitOffset(source, 0, 3)
		c.awaitOffset(tier10s, 0, 2)
		third.leave()
		c.check(4, 0)
	})
}

// As above, and the late copy has come farther than the copy that is still to be delivered.
func TestASkippedLateCopyDoesNotReplaceAnotherCopy(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(3)
		c.copyTo(tier10s, 0, 0, 1, time.Now(), "earlier")
		c.copyTo(tier1m, 0, 1000, 1, time.Now(), "earlier") // of another source record
		c.commits.Settled(source, 0, 0)
		var away atomic.Bool
		away.Store(true)
		second := c.join(1, 0, func(l *line, _ *consume.Config) {
			l.stuck = func(r *record.Record) bool { return away.Load() && r.TierDelay > 0 }
		})
		testkit.AdvanceClock(10 * time.Second)
		c.commits.Settled(tier1m, 0, 1)
		c.copyTo(tier1m, 0, 0, 2, time.Now(), "an owner that lost it")
		testkit.AdvanceClock(10 * time.Second)
		second.leave()
		c.checkCount(2)
		away.Store(false)
		third := c.join(2, 0, nil)
		c.awaitOffset(tier10s, 0, 1)
		c.awaitOffset(tier1m, 0, 2)
		third.leave()
		c.check(4, 0)
	})
}

// A copy that was delivered is known by the source's commit, so that of a retry partition waits for it:
// the calls of a partition whose source cannot be committed wait, and it comes back unsettled.
func TestARetryPartitionIsCommittedAfterItsSourcePartition(t *testing.T) {
	for _, end := range []string{"crash", "leave"} {
		t.Run(end, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.produce(3*numParts, func(i int) string {
					if i == 0 {
						return "retry once"
					}
					return "ok"
				})
				c.commits.AllowRewinds() // commits that are refused count too
				var others atomic.Bool
				var refused atomic.Pointer[kfake.FaultHandle]
				first := c.join(1, 0, func(l *line, _ *consume.Config) {
					l.sent = true
					l.stuck = func(r *record.Record) bool { return !others.Load() && r.Origin.Partition == 0 && r.Origin.Offset == 0 }
					l.before = func(r *record.Record) {
						if r.Origin.Partition == 0 && r.Origin.Offset == 0 && r.TierDelay == 0 {
							refused.Store(c.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: source, Partitions: []int32{0},
								Err: kerr.TopicAuthorizationFailed, Count: -1}))
						}
					}
				})
				testkit.AdvanceClock(10 * time.Second) // the others are delivered and committed
				others.Store(true)
				first.NotifyDraining()
				testkit.AdvanceClock(30 * time.Second)
				if f := refused.Load(); f == nil || f.Hits() == 0 {
					t.Error("no commit was refused")
				}
				if end == "crash" {
					first.crash()
				} else {
					first.leave()
				}
				refused.Load().Remove()
				testkit.AdvanceClock(2 * time.Minute)
				second := c.join(2, 0, func(l *line, _ *consume.Config) { l.sent = true })
				testkit.AdvanceClock(time.Minute) // as long as one more retry would take
				second.leave()
				c.check(9, 0)
				c.awaitOffset(source, 0, 3)
				c.awaitOffset(tier10s, 0, 1)
			})
		})
	}
}
