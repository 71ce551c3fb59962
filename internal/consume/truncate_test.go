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

// truncate makes the cluster say, to whoever asks where an epoch of a partition 0 ends, that its log was lost from an offset on. What is there then comes again, as
// other records would that were written since. The function that it gives proves that somebody asked.
func (c *cluster) truncate(topic string, to int64) (asked func()) {
	c.t.Helper()
	var answered atomic.Int32
	c.Cluster().ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.Cluster().KeepControl()
		req := r.(*kmsg.OffsetForLeaderEpochRequest)
		answer := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, rt := range req.Topics {
			t := kmsg.NewOffsetForLeaderEpochResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.LeaderEpoch, p.EndOffset = rp.Partition, rp.LeaderEpoch, 1<<40
				if rt.Topic == topic && rp.Partition == 0 && answered.Add(1) == 1 {
					p.EndOffset = to
				}
				t.Partitions = append(t.Partitions, p)
			}
			answer.Topics = append(answer.Topics, t)
		}
		return answer, nil, true
	})
	if err := c.Cluster().MoveTopicPartition(topic, 0, (c.Cluster().LeaderFor(topic, 0)+1)%3); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		if answered.Load() == 0 {
			c.t.Error("nobody asked where the epoch ends")
		}
	}
}

// Of a log that is cut at 20, the records before that which are still in flight are owed, and those after it are new ones.
func TestATruncatedLogGoesOnWhereItWasCutAndOwesWhatWasReadBefore(t *testing.T) {
	for _, policy := range []consume.LostOffsetPolicy{consume.LostOffsetStop, consume.LostOffsetEarliest, consume.LostOffsetLatest} {
		t.Run(string(policy), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newClusterOf(t, 3)
				c.commits.AllowRewinds()
				var free atomic.Bool
				c.fill(30)
				m := c.join(1, 0, func(l *line, cfg *consume.Config) {
					cfg.OnOffsetLost = policy
					l.stuck = func(r *record.Record) bool { return (r.Origin.Offset < 10 || r.Origin.Offset >= 28) && !free.Load() }
				})
				testkit.AdvanceClock(10 * time.Second)
				c.checkCount(18)
				asked := c.truncate(source, 20)
				testkit.AdvanceClock(10 * time.Second)
				asked()
				c.checkCount(18)
				free.Store(true)
				m.NotifyDraining()
				c.fill(5)
				c.awaitOffset(source, 0, 35)
				m.leave()
				c.check(35, 8)
			})
		})
	}
}

func TestATruncatedRetryTopicGoesOnWhereItWasCut(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newClusterOf(t, 3)
		c.commits.AllowRewinds()
		for i := range int64(9) {
			c.copyTo(tier10s, 0, 1000+i, 1, time.Now(), "earlier")
		}
		m := c.join(1, 0, nil)
		c.awaitOffset(tier10s, 0, 9)
		asked := c.truncate(tier10s, 6)
		testkit.AdvanceClock(10 * time.Second)
		asked()
		m.leave()
		c.check(9, 3)
	})
}

// At a take-over, what metadata and copies say of offsets that the log does not have is about records that are gone: it is not true of those that come there.
func TestWhatIsKnownOfOffsetsPastTheEndOfTheLogIsForgotten(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.commits.AllowRewinds()
		c.fill(5)
		tr := offset.NewTracker(c.Cluster().TopicInfo(source).TopicID, 2, nil)
		tr.MarkSettled([]int64{4, 5, 6})
		commit, _ := tr.PendingCommit()
		c.commitWith(2, commit.Metadata)
		c.commits.Settled(source, 0, 3)
		c.commits.Settled(source, 0, 4)
		c.copyTo(tier10s, 0, 3, 1, time.Now(), "earlier")
		c.copyTo(tier10s, 0, 7, 1, time.Now(), "earlier")
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		c.fill(5)
		c.awaitOffset(source, 0, 10)
		m.leave()
		c.check(7, 1) // 2, 5 to 9 from the source, 3 and 7 from the tier: this one is of a record that is gone
	})
}

func TestARetryPartitionWhoseCommitIsPastItsEndIsReadWhole(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(1)
		c.commitAt(0)
		c.commit(tier10s, 0, 100, "")
		c.copyTo(tier10s, 0, 1000, 1, time.Now(), "earlier")
		c.commits.AllowRewinds()
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		c.copyTo(tier10s, 0, 1001, 1, time.Now(), "")
		testkit.AdvanceClock(10 * time.Second)
		m.leave()
		c.check(3, 0)
	})
}

// The cut is found too where the head that the reading was put back to is one that is not due.
func TestATruncatedRetryTopicGoesOnWhereItWasCutThoughItsHeadIsHeld(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newClusterOf(t, 3)
		c.commits.AllowRewinds()
		for i := range int64(9) {
			due := time.Now()
			if i >= 6 {
				due = due.Add(30 * time.Second)
			}
			c.copyTo(tier10s, 0, 1000+i, 1, due, "earlier")
		}
		m := c.join(1, 0, nil)
		c.awaitOffset(tier10s, 0, 6)
		asked := c.truncate(tier10s, 3)
		testkit.AdvanceClock(40 * time.Second) // less than until settled records are deleted
		asked()
		m.leave()
		c.check(9, 3)
	})
}

// The cut is found too where nothing was read since the take-over: what comes there then is new.
func TestATruncatedRetryTopicGoesOnWhereItWasCutThoughNothingWasReadYet(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newClusterOf(t, 3)
		c.commits.AllowRewinds()
		for i := range int64(9) {
			c.copyTo(tier10s, 0, 1000+i, 1, time.Now(), "earlier")
		}
		c.commitAtEpoch(tier10s, 9, 0)
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(time.Second)
		asked := c.truncate(tier10s, 6)
		testkit.AdvanceClock(10 * time.Second)
		asked()
		m.leave()
		c.check(3, 0)
	})
}
