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

// commitAt is what the group has committed for partition 0 before any member comes.
func (c *cluster) commitAt(offset int64) {
	c.t.Helper()
	c.commitWith(offset, "")
}

func (c *cluster) commitWith(offset int64, metadata string) {
	c.t.Helper()
	for p := range int32(numParts) {
		c.commit(source, p, 0, "")
	}
	c.commit(source, 0, offset, metadata)
}

func (c *cluster) commit(topic string, partition int32, offset int64, metadata string) {
	c.t.Helper()
	c.commitOffset(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1, Metadata: metadata})
}

// commitAtEpoch commits for a partition 0 as a member does, with the epoch of the record there.
func (c *cluster) commitAtEpoch(topic string, offset int64, epoch int32) {
	c.t.Helper()
	c.commitOffset(kadm.Offset{Topic: topic, Partition: 0, At: offset, LeaderEpoch: epoch})
}

func (c *cluster) commitOffset(o kadm.Offset) {
	c.t.Helper()
	c.commits.StartAt(o.Topic, o.Partition, o.At)
	offsets := kadm.Offsets{}
	offsets.Add(o)
	answer, err := kadm.NewClient(c.client).CommitOffsets(c.t.Context(), group, offsets)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func lost(policy consume.LostOffsetPolicy) func(*line, *consume.Config) {
	return func(_ *line, cfg *consume.Config) { cfg.OnOffsetLost = policy }
}

// The commit is at 100 in a log that ends at 10, or at 2 in one that begins at 5.
func TestALostOffsetFollowsItsPolicy(t *testing.T) {
	for _, test := range []struct {
		policy          consume.LostOffsetPolicy
		commit          int64
		before, andThen int // deliveries from partition 0
	}{
		{consume.LostOffsetStop, 100, 0, 0}, {consume.LostOffsetStop, 2, 0, 0},
		{consume.LostOffsetEarliest, 100, 5, 3}, {consume.LostOffsetEarliest, 2, 5, 3},
		{consume.LostOffsetLatest, 100, 0, 3}, {consume.LostOffsetLatest, 2, 0, 3},
	} {
		t.Run(fmt.Sprintf("%s, committed %d", test.policy, test.commit), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.commits.AllowRewinds()
				c.fill(10)
				if err := c.Cluster().DeleteRecords(source, 0, 5); err != nil {
					t.Fatal(err)
				}
				c.commitAt(test.commit)
				m := c.join(1, 0, lost(test.policy))
				testkit.AdvanceClock(10 * time.Second)
				if got, _ := c.vendor.counts(); got != test.before {
					t.Errorf("%d were delivered at first, want %d", got, test.before)
				}
				m.leave()
				c.fill(3) // while nobody reads: they are none of what was lost
				m = c.join(2, 0, lost(test.policy))
				testkit.AdvanceClock(10 * time.Second)
				if got, twice := c.vendor.counts(); got != test.before+test.andThen || twice != 0 {
					t.Errorf("%d were delivered in all and %d twice, want %d", got, twice, test.before+test.andThen)
				}
				m.leave()
			})
		})
	}
}

// A lost offset stays lost though the log grows past it meanwhile: what is there below it was never read.
func TestALostOffsetStaysLostThoughTheLogGrowsPastIt(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(10)
		c.commitAt(12)
		m := c.join(1, 0, lost(consume.LostOffsetStop))
		testkit.AdvanceClock(10 * time.Second)
		c.fill(10)
		testkit.AdvanceClock(time.Minute)
		m.checkHold("offset_lost")
		c.checkCount(0)
		m.leave()
	})
}

// Where the client finds out by the commit's epoch that the log was cut below it, reading goes on from the cut, and no hold stands.
func TestACommitPastACutGoesOnFromTheCut(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.commits.AllowRewinds()
		c.fill(10)
		c.commitAt(12)
		c.commitAtEpoch(source, 12, 0)
		c.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetForLeaderEpoch}, Count: 3, Err: kerr.LeaderNotAvailable})
		m := c.join(1, 0, lost(consume.LostOffsetStop))
		testkit.AdvanceClock(30 * time.Second)
		c.fill(10)
		testkit.AdvanceClock(time.Minute)
		m.checkHold("")
		c.checkCount(10)
		m.leave()
	})
}
