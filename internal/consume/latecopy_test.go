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

// The second owner skips the late copy, because it has the source record itself, and commits the
// copy as settled beyond an older retry record. The third owner must not infer from this commit
// that the source record is settled.
func TestSkippedLateCopyDoesNotSettleItsOrigin(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceCopy(tier10s, 0, 1000, 1, time.Now(), "earlier") // of another source record
		h.produceToFirst(3)
		var away atomic.Bool
		away.Store(true)
		second := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) {
			s.isStuck = func(r *record.Record) bool { return away.Load() && (r.TierDelay > 0 || r.Origin.Offset == 0) }
		})
		testkit.AdvanceClock(10 * time.Second)
		h.commits.MarkSettled(tier10s, 0, h.endOffset(tier10s, 0)) // the late copy
		h.produceCopy(tier10s, 0, 0, 1, time.Now(), "an owner that lost it")
		testkit.AdvanceClock(10 * time.Second)
		second.stopCleanly()
		h.checkDelivered(2)
		away.Store(false)
		third := h.startMember(2, 0, nil)
		h.awaitOffset(source, 0, 3)
		h.awaitOffset(tier10s, 0, 2)
		third.stopCleanly()
		h.checkDeliveries(4, 0)
	})
}

// In this case, the late copy is also newer than the copy that is still to be delivered.
func TestSkippedLateCopyDoesNotReplaceAnotherCopy(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(3)
		h.produceCopy(tier10s, 0, 0, 1, time.Now(), "earlier")
		h.produceCopy(tier1m, 0, 1000, 1, time.Now(), "earlier") // of another source record
		h.commits.MarkSettled(source, 0, 0)
		var away atomic.Bool
		away.Store(true)
		second := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) {
			s.isStuck = func(r *record.Record) bool { return away.Load() && r.TierDelay > 0 }
		})
		testkit.AdvanceClock(10 * time.Second)
		h.commits.MarkSettled(tier1m, 0, h.endOffset(tier1m, 0)) // the late copy
		h.produceCopy(tier1m, 0, 0, 2, time.Now(), "an owner that lost it")
		testkit.AdvanceClock(10 * time.Second)
		second.stopCleanly()
		h.checkDelivered(2)
		away.Store(false)
		third := h.startMember(2, 0, nil)
		h.awaitOffset(tier10s, 0, 1)
		h.awaitOffset(tier1m, 0, 2)
		third.stopCleanly()
		h.checkDeliveries(4, 0)
	})
}

// The source's commit contains the origin of every delivered copy, so the commit of a retry
// partition waits for it. While the source cannot be committed, calls wait for their intents, and
// their records are released unsettled.
func TestRetryPartitionIsCommittedAfterItsSourcePartition(t *testing.T) {
	for _, end := range []string{"crash", "leave"} {
		t.Run(end, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceRecords(3*numParts, func(i int) string {
					if i == 0 {
						return "retry once"
					}
					return "ok"
				})
				h.commits.AllowRewinds() // the oracle also counts commits that the broker refused
				var others atomic.Bool
				var refused atomic.Pointer[kfake.FaultHandle]
				first := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) {
					s.logIntents = true
					s.isStuck = func(r *record.Record) bool {
						return !others.Load() && r.Origin.Partition == 0 && r.Origin.Offset == 0
					}
					s.beforeCall = func(r *record.Record) {
						if r.Origin.Partition == 0 && r.Origin.Offset == 0 && r.TierDelay == 0 {
							refused.Store(h.Cluster().Fault(kfake.Fault{
								Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: source, Partitions: []int32{0},
								Err: kerr.TopicAuthorizationFailed, Count: -1,
							}))
						}
					}
				})
				testkit.AdvanceClock(10 * time.Second) // the other records are delivered and committed
				others.Store(true)
				first.NotifyDraining()
				testkit.AdvanceClock(30 * time.Second)
				if f := refused.Load(); f == nil || f.Hits() == 0 {
					t.Error("got no refused commit, want at least one")
				}
				if end == "crash" {
					first.crashMember()
				} else {
					first.stopCleanly()
				}
				refused.Load().Remove()
				testkit.AdvanceClock(2 * time.Minute)
				second := h.startMember(2, 0, func(s *fakeStages, _ *consume.Config) { s.logIntents = true })
				testkit.AdvanceClock(time.Minute) // enough for one more retry
				second.stopCleanly()
				h.checkDeliveries(9, 0)
				h.awaitOffset(source, 0, 3)
				h.awaitOffset(tier10s, 0, 1)
			})
		})
	}
}
