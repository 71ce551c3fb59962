package consume_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/test/testkit"
)

// startsAt checks where the log of a retry partition begins.
func (c *cluster) startsAt(topic string, partition int32, want int64) {
	c.t.Helper()
	if got := c.Cluster().PartitionInfo(topic, partition).LogStartOffset; got != want {
		c.t.Errorf("%s/%d begins at %d, want %d", topic, partition, got, want)
	}
}

// What is settled and committed is deleted, for the broker forgets the group's offsets of retry topics after a while.
func TestSettledRetryRecordsAreDeleted(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		for o := range int64(3) {
			c.copyTo(tier10s, 0, 1000+o, 1, time.Now(), "earlier")
		}
		c.copyTo(tier10s, 0, 1003, 1, time.Now().Add(time.Hour), "earlier")
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(2 * time.Minute)
		c.startsAt(tier10s, 0, 3)
		m.leave()
		c.startsAt(tier10s, 0, 3)
	})
}

func TestWhatAnEarlierOwnerCommittedAndDidNotComeToDeleteIsDeleted(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		for o := range int64(3) {
			c.copyTo(tier10s, 0, 1000+o, 1, time.Now(), "earlier")
		}
		m := c.join(1, 0, nil)
		c.awaitOffset(tier10s, 0, 3)
		m.crash()
		c.startsAt(tier10s, 0, 0)
		m = c.join(2, 0, nil)
		testkit.AdvanceClock(3 * time.Minute)
		c.startsAt(tier10s, 0, 3)
		m.leave()
		c.check(3, 0)
	})
}

func TestADeletionThatFailsIsTriedAgain(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		for o := range int64(3) {
			c.copyTo(tier10s, 0, 1000+o, 1, time.Now(), "earlier")
			c.copyTo(tier10s, 1, 1000+o, 1, time.Now(), "earlier")
		}
		fired := c.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DeleteRecords}, Partitions: []int32{1}, Err: kerr.PolicyViolation, Count: 1})
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(90 * time.Second)
		fired()
		c.startsAt(tier10s, 0, 3)
		c.startsAt(tier10s, 1, 0)
		testkit.AdvanceClock(time.Minute)
		c.startsAt(tier10s, 1, 3)
		m.leave()
	})
}
