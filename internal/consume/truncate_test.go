package consume_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// truncateLog makes the broker respond to the next OffsetForLeaderEpoch request for partition 0 of
// a topic that its log ends at an offset. Records that the log has from there on are fetched again,
// as if they had been written since. The returned function checks that there was such a request.
func (h *harness) truncateLog(topic string, to int64) (checkRequested func()) {
	h.t.Helper()
	var responded atomic.Int32
	h.Cluster().ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.Cluster().KeepControl()
		req := r.(*kmsg.OffsetForLeaderEpochRequest)
		response := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, rt := range req.Topics {
			t := kmsg.NewOffsetForLeaderEpochResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.LeaderEpoch, p.EndOffset = rp.Partition, rp.LeaderEpoch, 1<<40
				if rt.Topic == topic && rp.Partition == 0 && responded.Add(1) == 1 {
					p.EndOffset = to
				}
				t.Partitions = append(t.Partitions, p)
			}
			response.Topics = append(response.Topics, t)
		}
		return response, nil, true
	})
	if err := h.Cluster().MoveTopicPartition(topic, 0, (h.Cluster().LeaderFor(topic, 0)+1)%3); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		h.t.Helper()
		if responded.Load() == 0 {
			h.t.Error("got no request for the end of the epoch, want at least one")
		}
	}
}

// respondToRetryEpochs makes the broker respond to OffsetForLeaderEpoch requests for retry topics
// that no log was truncated. kfake reports the log as lost when nothing was written since its
// leader moved.
func (h *harness) respondToRetryEpochs() {
	h.Cluster().ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.OffsetForLeaderEpochRequest)
		response := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, rt := range req.Topics {
			if rt.Topic == source {
				return nil, nil, false
			}
			t := kmsg.NewOffsetForLeaderEpochResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.LeaderEpoch, p.EndOffset = rp.Partition, rp.LeaderEpoch, 1<<40
				t.Partitions = append(t.Partitions, p)
			}
			response.Topics = append(response.Topics, t)
		}
		h.Cluster().KeepControl()
		return response, nil, true
	})
}

// The log is truncated at 20. Records in flight below offset 20 must still be settled; records from
// offset 20 on are new.
func TestTruncatedSourceResumesAtTheTruncationPointAndSettlesEarlierRecords(t *testing.T) {
	for _, policy := range []consume.LostOffsetPolicy{
		consume.LostOffsetStop, consume.LostOffsetEarliest, consume.LostOffsetLatest,
	} {
		t.Run(string(policy), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarnessWithBrokers(t, 3)
				h.commits.AllowRewinds()
				var free atomic.Bool
				h.produceToFirst(30)
				m := h.startMember(1, 0, func(s *fakeStages, cfg *consume.Config) {
					cfg.OnOffsetLost = policy
					s.isStuck = func(r *record.Record) bool {
						return (r.Origin.Offset < 10 || r.Origin.Offset >= 28) && !free.Load()
					}
				})
				testkit.AdvanceClock(10 * time.Second)
				h.checkDelivered(18)
				checkRequested := h.truncateLog(source, 20)
				testkit.AdvanceClock(10 * time.Second)
				checkRequested()
				h.checkDelivered(18)
				free.Store(true)
				m.NotifyDraining()
				h.produceToFirst(5)
				h.awaitOffset(source, 0, 35)
				m.stopCleanly()
				h.checkDeliveries(35, 8)
			})
		})
	}
}

func TestRetryPartitionResumesAtTheTruncationPoint(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarnessWithBrokers(t, 3)
		h.commits.AllowRewinds()
		for i := range int64(9) {
			h.produceCopy(tier10s, 0, 1000+i, 1, time.Now(), "earlier")
		}
		m := h.startMember(1, 0, nil)
		h.awaitOffset(tier10s, 0, 9)
		checkRequested := h.truncateLog(tier10s, 6)
		testkit.AdvanceClock(10 * time.Second)
		checkRequested()
		m.stopCleanly()
		h.checkDeliveries(9, 3)
	})
}

// At recovery, metadata and copies for offsets that the log does not have belong to lost records,
// not to records that are written there later.
func TestPriorStateBeyondTheEndOfTheLogIsForgotten(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.commits.AllowRewinds()
		h.produceToFirst(5)
		tr := offset.NewTracker(h.Cluster().TopicInfo(source).TopicID, 2, nil)
		tr.MarkSettled([]int64{4, 5, 6})
		commit, _ := tr.PendingCommit()
		h.commitFirstWith(2, commit.Metadata)
		h.commits.MarkSettled(source, 0, 3)
		h.commits.MarkSettled(source, 0, 4)
		h.produceCopy(tier10s, 0, 3, 1, time.Now(), "earlier")
		h.produceCopy(tier10s, 0, 7, 1, time.Now(), "earlier")
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		h.produceToFirst(5)
		h.awaitOffset(source, 0, 10)
		m.stopCleanly()
		// 2 and 5 to 9 are delivered from the source, 3 and 7 from the retry topic. The copy of 7
		// is of a lost record.
		h.checkDeliveries(7, 1)
	})
}

func TestRetryPartitionCommittedBeyondItsEndIsReadFromItsStart(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(1)
		h.commitFirst(0)
		h.commitPartition(tier10s, 0, 100, "")
		h.produceCopy(tier10s, 0, 1000, 1, time.Now(), "earlier")
		h.commits.AllowRewinds()
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		h.produceCopy(tier10s, 0, 1001, 1, time.Now(), "")
		testkit.AdvanceClock(10 * time.Second)
		m.stopCleanly()
		h.checkDeliveries(3, 0)
	})
}

// The truncation is also detected while the partition is deferred at a record that is not due.
func TestDeferredRetryPartitionResumesAtTheTruncationPoint(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarnessWithBrokers(t, 3)
		h.commits.AllowRewinds()
		for i := range int64(9) {
			due := time.Now()
			if i >= 6 {
				due = due.Add(30 * time.Second)
			}
			h.produceCopy(tier10s, 0, 1000+i, 1, due, "earlier")
		}
		m := h.startMember(1, 0, nil)
		h.awaitOffset(tier10s, 0, 6)
		checkRequested := h.truncateLog(tier10s, 3)
		testkit.AdvanceClock(40 * time.Second) // before settled records are deleted
		checkRequested()
		m.stopCleanly()
		h.checkDeliveries(9, 3)
	})
}

// The truncation is also detected when no record has been fetched since recovery.
func TestRecoveredRetryPartitionResumesAtTheTruncationPoint(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarnessWithBrokers(t, 3)
		h.commits.AllowRewinds()
		for i := range int64(9) {
			h.produceCopy(tier10s, 0, 1000+i, 1, time.Now(), "earlier")
		}
		h.commitFirstAtEpoch(tier10s, 9, 0)
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(time.Second)
		checkRequested := h.truncateLog(tier10s, 6)
		testkit.AdvanceClock(10 * time.Second)
		checkRequested()
		m.stopCleanly()
		h.checkDeliveries(3, 0)
	})
}
