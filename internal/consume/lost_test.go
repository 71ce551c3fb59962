package consume_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/test/testkit"
)

// commitFirst commits an offset for the group before the group has a member.
func (h *harness) commitFirst(offset int64) {
	h.t.Helper()
	h.commitFirstWith(offset, "")
}

func (h *harness) commitFirstWith(offset int64, metadata string) {
	h.t.Helper()
	for p := range int32(numParts) {
		h.commitPartition(source, p, 0, "")
	}
	h.commitPartition(source, 0, offset, metadata)
}

func (h *harness) commitPartition(topic string, partition int32, offset int64, metadata string) {
	h.t.Helper()
	h.commitOffset(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1, Metadata: metadata})
}

// commitFirstAtEpoch commits for partition 0 of a topic as a member does, with a leader epoch.
func (h *harness) commitFirstAtEpoch(topic string, offset int64, epoch int32) {
	h.t.Helper()
	h.commitOffset(kadm.Offset{Topic: topic, Partition: 0, At: offset, LeaderEpoch: epoch})
}

func (h *harness) commitOffset(o kadm.Offset) {
	h.t.Helper()
	h.commits.StartAt(o.Topic, o.Partition, o.At)
	offsets := kadm.Offsets{}
	offsets.Add(o)
	responses, err := kadm.NewClient(h.client).CommitOffsets(h.t.Context(), group, offsets)
	if err == nil {
		err = responses.Error()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func withLostPolicy(policy consume.LostOffsetPolicy) func(*fakeStages, *consume.Config) {
	return func(_ *fakeStages, cfg *consume.Config) { cfg.OnOffsetLost = policy }
}

// The log starts at 5 and ends at 10, and 100 or 2 is committed.
func TestLostOffsetFollowsItsPolicy(t *testing.T) {
	for _, test := range []struct {
		policy        consume.LostOffsetPolicy
		commit        int64
		before, after int // deliveries before and after the restart
	}{
		{consume.LostOffsetStop, 100, 0, 0}, {consume.LostOffsetStop, 2, 0, 0},
		{consume.LostOffsetEarliest, 100, 5, 3}, {consume.LostOffsetEarliest, 2, 5, 3},
		{consume.LostOffsetLatest, 100, 0, 3}, {consume.LostOffsetLatest, 2, 0, 3},
	} {
		t.Run(fmt.Sprintf("%s, committed %d", test.policy, test.commit), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.commits.AllowRewinds()
				h.produceToFirst(10)
				if err := h.Cluster().DeleteRecords(source, 0, 5); err != nil {
					t.Fatal(err)
				}
				h.commitFirst(test.commit)
				m := h.startMember(1, 0, withLostPolicy(test.policy))
				testkit.AdvanceClock(10 * time.Second)
				if got, _ := h.vendor.countDeliveries(); got != test.before {
					t.Errorf("got %d records delivered before the restart, want %d", got, test.before)
				}
				m.stopCleanly()
				h.produceToFirst(3) // while no member runs, so none of them is lost
				m = h.startMember(2, 0, withLostPolicy(test.policy))
				testkit.AdvanceClock(10 * time.Second)
				if got, twice := h.vendor.countDeliveries(); got != test.before+test.after || twice != 0 {
					t.Errorf("got %d records delivered and %d duplicates, want %d and none",
						got, twice, test.before+test.after)
				}
				m.stopCleanly()
			})
		})
	}
}

// Records that the log later has below the lost offset were never read.
func TestLostOffsetIsStillLostAfterTheLogGrowsPastIt(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(10)
		h.commitFirst(12)
		m := h.startMember(1, 0, withLostPolicy(consume.LostOffsetStop))
		testkit.AdvanceClock(10 * time.Second)
		h.produceToFirst(10)
		testkit.AdvanceClock(time.Minute)
		m.checkHold("offset_lost")
		h.checkDelivered(0)
		m.stopCleanly()
	})
}

// The client detects from the committed epoch that the log was truncated below the committed
// offset.
func TestCommitBeyondATruncationResumesAtTheTruncationPoint(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.commits.AllowRewinds()
		h.produceToFirst(10)
		h.commitFirst(12)
		h.commitFirstAtEpoch(source, 12, 0)
		h.Cluster().Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.OffsetForLeaderEpoch}, Count: 3, Err: kerr.LeaderNotAvailable,
		})
		m := h.startMember(1, 0, withLostPolicy(consume.LostOffsetStop))
		testkit.AdvanceClock(30 * time.Second)
		h.produceToFirst(10)
		testkit.AdvanceClock(time.Minute)
		m.checkHold("")
		h.checkDelivered(10)
		m.stopCleanly()
	})
}
