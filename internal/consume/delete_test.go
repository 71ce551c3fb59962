package consume_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/test/testkit"
)

// checkLogStart checks the log start offset of a retry partition.
func (h *harness) checkLogStart(topic string, partition int32, want int64) {
	h.t.Helper()
	if got := h.Cluster().PartitionInfo(topic, partition).LogStartOffset; got != want {
		h.t.Errorf("%s/%d: got start offset %d, want %d", topic, partition, got, want)
	}
}

// Settled and committed records are deleted, because the broker eventually expires the group's
// offsets in retry topics.
func TestSettledRetryRecordsAreDeleted(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		for o := range int64(3) {
			h.produceCopy(tier10s, 0, 1000+o, 1, time.Now(), "earlier")
		}
		h.produceCopy(tier10s, 0, 1003, 1, time.Now().Add(time.Hour), "earlier")
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(2 * time.Minute)
		h.checkLogStart(tier10s, 0, 3)
		m.stopCleanly()
		h.checkLogStart(tier10s, 0, 3)
	})
}

func TestSettledRetryRecordsOfAnEarlierOwnerAreDeleted(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		for o := range int64(3) {
			h.produceCopy(tier10s, 0, 1000+o, 1, time.Now(), "earlier")
		}
		m := h.startMember(1, 0, nil)
		h.awaitOffset(tier10s, 0, 3)
		m.crashMember()
		h.checkLogStart(tier10s, 0, 0)
		m = h.startMember(2, 0, nil)
		testkit.AdvanceClock(3 * time.Minute)
		h.checkLogStart(tier10s, 0, 3+2) // with the markers of both owners
		m.stopCleanly()
		h.checkDeliveries(3, 0)
	})
}

func TestFailedDeletionIsRetried(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		for o := range int64(3) {
			h.produceCopy(tier10s, 0, 1000+o, 1, time.Now(), "earlier")
			h.produceCopy(tier10s, 1, 1000+o, 1, time.Now(), "earlier")
		}
		removeFault := h.injectFault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.DeleteRecords}, Partitions: []int32{1}, Err: kerr.PolicyViolation, Count: 1,
		})
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(90 * time.Second)
		removeFault()
		h.checkLogStart(tier10s, 0, 3+1) // with the owner's marker
		h.checkLogStart(tier10s, 1, 0)
		testkit.AdvanceClock(time.Minute)
		h.checkLogStart(tier10s, 1, 3+1)
		m.stopCleanly()
	})
}
