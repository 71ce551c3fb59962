package consume_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// copyTo writes a retry record of a source record, as an owner would have, with more headers or such in another's stead.
func (c *cluster) copyTo(topic string, partition int32, origin int64, attempt int, due time.Time, writer string, more ...kgo.RecordHeader) {
	c.t.Helper()
	header := func(k, v string) kgo.RecordHeader { return kgo.RecordHeader{Key: k, Value: []byte(v)} }
	r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("ok"), Headers: []kgo.RecordHeader{
		header(record.HeaderOriginTopic, source), header(record.HeaderOriginTopicID, record.FormatTopicID(c.Cluster().TopicInfo(source).TopicID)),
		header(record.HeaderOriginPartition, strconv.Itoa(int(partition))), header(record.HeaderOriginOffset, strconv.FormatInt(origin, 10)),
		header(record.HeaderAttempt, strconv.Itoa(attempt)), header(record.HeaderNotBefore, due.UTC().Format(time.RFC3339Nano)),
		header(record.HeaderWriter, writer),
	}}
	r.Headers = append(r.Headers, more...)
	if err := c.client.ProduceSync(c.t.Context(), r).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

func TestOfSeveralCopiesTheOneThatCameFarthestIsDelivered(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(3)
		now := time.Now()
		for range 2 {
			c.copyTo(tier10s, 0, 1, 1, now.Add(-time.Hour), "earlier")
		}
		c.copyTo(tier1m, 0, 1, 2, now.Add(30*time.Second), "earlier")
		for o := range int64(2) {
			c.commits.Settled(tier10s, 0, o) // older copies
		}
		c.commits.Settled(source, 0, 1)
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(20 * time.Second)
		c.check(2, 0)
		c.awaitOffset(tier1m, 0, 1)
		c.awaitOffset(tier10s, 0, 2)
		c.awaitOffset(source, 0, 3)
		m.leave()
		c.check(3, 0)
	})
}

func TestALateCopyOfAnEarlierOwnerIsSkipped(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(3)
		m := c.join(1, 0, nil)
		c.awaitOffset(source, 0, 3)
		c.commits.Settled(tier10s, 0, 0)
		c.copyTo(tier10s, 0, 1, 1, time.Now().Add(10*time.Second), "an owner that lost it")
		c.awaitOffset(tier10s, 0, 1)
		m.leave()
		c.check(3, 0)
	})
}

// A replay carries the writer of the copy that died; it is no late copy.
func TestAReplayIsDeliveredWhoeverWroteItOnce(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		c.copyTo(tier10s, 0, 1000, 1, time.Now(), "an earlier owner", kgo.RecordHeader{Key: record.HeaderReplays, Value: []byte("1")})
		c.awaitOffset(tier10s, 0, 1)
		m.leave()
		c.check(1, 0)
	})
}

// A copy from a topic of the same name that was deleted says nothing of the records that are at its offset now.
func TestACopyFromAnEarlierTopicOfTheNameSettlesNothing(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(3)
		earlier := kgo.RecordHeader{Key: record.HeaderOriginTopicID, Value: []byte(record.FormatTopicID([16]byte{1}))}
		c.copyTo(tier10s, 0, 1, 1, time.Now(), "earlier", earlier)
		m := c.join(1, 0, nil)
		c.awaitOffset(source, 0, 3)
		c.awaitOffset(tier10s, 0, 1)
		m.leave()
		c.check(3, 1) // they have the number of their offset in common, and nothing else
	})
}

func TestARecordThatSomebodyElseWroteToARetryTopicIsHandled(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		for range 2 { // one before the take-over, one after
			r := &kgo.Record{Topic: tier10s, Partition: 2, Value: []byte("ok")}
			if err := c.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if m := c.join(1, 0, nil); true {
				testkit.AdvanceClock(10 * time.Second)
				m.leave()
			}
		}
		c.awaitOffset(tier10s, 2, 2)
		c.check(2, 0)
	})
}

func TestManyHeldHeadsComeEachWhenItIsDue(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		start := time.Now()
		const n = 40
		for i := range n {
			c.copyTo(tier10s, int32(i%numParts), int64(1000+i), 1, start.Add(time.Duration(i)*7*time.Second), "earlier")
		}
		m := c.join(1, 0, nil)
		for p := range int32(numParts) {
			c.awaitOffset(tier10s, p, int64((n+numParts-1-int(p))/numParts))
		}
		m.leave()
		c.check(n, 0)
		for i := range n {
			id := source + "-" + strconv.Itoa(i%numParts) + "-" + strconv.Itoa(1000+i)
			if late := c.vendor.times[id][0].Sub(start.Add(time.Duration(i) * 7 * time.Second)); late < 0 || late > 2*time.Second {
				t.Errorf("%s came %v after it was due", id, late)
			}
		}
	})
}

// The retry topic refuses writes for a while, in passing or for good; also while a partition moves.
func TestWhileRetryTopicsRefuseWritesNothingIsCommittedAndNothingLost(t *testing.T) {
	for _, e := range []*kerr.Error{kerr.NotEnoughReplicas, kerr.MessageTooLarge} {
		t.Run(e.Message, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.produce(30, func(i int) string { return []string{"ok", "retry once", "dead"}[i/3%3] })
				refused := c.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: e, Count: -1})
				a := c.join(1, 0, nil)
				testkit.AdvanceClock(30 * time.Second)
				b := c.join(2, 0, nil)
				testkit.AdvanceClock(2 * time.Minute)
				refused.Remove()
				if refused.Hits() == 0 {
					t.Error("no write was refused")
				}
				c.awaitCommitted(30)
				a.leave()
				testkit.AdvanceClock(time.Minute)
				b.leave()
				if err := c.commits.Check(); err != nil {
					t.Error(err)
				}
				if delivered, _ := c.vendor.counts(); delivered != 21 {
					t.Errorf("%d were delivered, want 21", delivered)
				}
			})
		})
	}
}

func TestSentWaitsWhileCommitsFail(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		fired := c.fault(refusedCommits(kerr.CoordinatorLoadInProgress, -1))
		c.produce(9, ok)
		m := c.join(1, 0, func(l *line, _ *consume.Config) { l.sent = true })
		testkit.AdvanceClock(time.Minute)
		if delivered, _ := c.vendor.counts(); delivered != 0 {
			t.Errorf("%d were sent before that was committed", delivered)
		}
		fired()
		c.awaitCommitted(9)
		m.leave()
		c.check(9, 0)
	})
}
