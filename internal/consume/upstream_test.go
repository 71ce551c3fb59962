package consume_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/consume"
	"sluice/internal/demo/embedded"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// transact writes n records to each partition of a topic in one transaction, which ends as told. Offsets of aborted records and of markers hold nothing.
func (c *cluster) transact(producer *kgo.Client, topic string, n int, end kgo.TransactionEndTry) {
	c.t.Helper()
	if err := producer.BeginTransaction(); err != nil {
		c.t.Fatal(err)
	}
	for p := range int32(numParts) {
		for range n {
			r := &kgo.Record{Topic: topic, Partition: p, Value: []byte("retry once")}
			if err := producer.ProduceSync(c.t.Context(), r).FirstErr(); err != nil {
				c.t.Fatal(err)
			}
			if end == kgo.TryAbort {
				c.commits.Settled(topic, p, r.Offset)
			}
		}
	}
	if err := producer.EndTransaction(c.t.Context(), end); err != nil {
		c.t.Fatal(err)
	}
	for p := range int32(numParts) {
		c.commits.Settled(topic, p, c.Cluster().PartitionInfo(topic, p).HighWatermark-1)
	}
}

func TestOfTransactionsOnlyWhatWasCommittedIsDelivered(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		producer := testkit.NewClient(t, c.Platform, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("upstream"))
		for range 3 {
			c.transact(producer, source, 3, kgo.TryAbort)
			c.transact(producer, source, 2, kgo.TryCommit)
		}
		c.transact(producer, source, 5, kgo.TryAbort) // the log ends in what nobody sees
		a := c.join(1, time.Second, nil)
		testkit.AdvanceClock(3 * time.Second)
		b := c.join(2, time.Second, nil)
		testkit.AdvanceClock(time.Minute)
		c.transact(producer, source, 1, kgo.TryCommit)
		testkit.AdvanceClock(time.Minute)
		a.leave()
		b.leave()
		c.check(numParts*(3*2+1), 0)
	})
}

// A retry partition that ends in a marker, or in what was aborted, must not keep a take-over waiting for a record that never comes.
func TestARetryPartitionThatEndsInAMarkerIsTakenOver(t *testing.T) {
	for name, end := range map[string]kgo.TransactionEndTry{"committed": kgo.TryCommit, "aborted": kgo.TryAbort} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				producer := testkit.NewClient(t, c.Platform, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("replay"))
				c.transact(producer, tier10s, 2, end)
				c.produce(9, ok)
				m := c.join(1, 0, nil)
				c.awaitCommitted(9)
				m.leave()
				if err := c.commits.Check(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What is behind an open transaction in a retry partition is not known until it ends. Going on without would take an earlier owner's copies there for late ones.
func TestAnOpenTransactionInARetryTopicHoldsATakeOverUntilItEnds(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		producer := testkit.NewClient(t, c.Platform, kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.TransactionalID("replay"), kgo.TransactionTimeout(10*time.Minute))
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: tier10s, Partition: 0, Value: []byte("ok")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		c.fill(3)
		c.copyTo(tier10s, 0, 1, 1, time.Now(), "earlier")
		c.commits.Settled(source, 0, 1)
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(30 * time.Second)
		c.checkCount(0)
		if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		testkit.AdvanceClock(30 * time.Second)
		m.leave()
		c.commits.Settled(tier10s, 0, 2) // the marker
		c.check(4, 0)
	})
}

// What settles while no broker is there to commit it to may be sent again, and nothing else.
func TestABrokerThatRestartsLosesNothing(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		o := embedded.Options{Ports: []int{9092}, DataDir: t.TempDir(), Network: &testkit.Network{}}
		c := newClusterWith(t, o)
		for _, topic := range []string{source, tier10s} {
			c.commits.StartAt(topic, 0, 0) // it learns the topics while the cluster can tell
		}
		c.produce(90, func(i int) string { return []string{"ok", "retry once", "dead"}[i/3%3] })
		m := c.join(1, 2*time.Second, nil)
		testkit.AdvanceClock(1500 * time.Millisecond)
		before, _ := c.vendor.counts()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		testkit.AdvanceClock(20 * time.Second)
		during, _ := c.vendor.counts()
		c.Platform = testkit.StartPlatform(t, o)
		c.awaitCommitted(90)
		for p := range int32(numParts) {
			c.awaitOffset(tier10s, p, 10)
		}
		m.leave()
		if err := c.commits.Check(); err != nil {
			t.Error(err)
		}
		delivered, twice := c.vendor.counts()
		if delivered != 60 || twice > during-before+1 {
			t.Errorf("%d were delivered and %d twice, want 60 and at most the %d of the time without a broker", delivered, twice, during-before)
		}
	})
}

// One record is stuck while everything behind it passes.
func TestAStuckHeadKeepsNothingElse(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		m := c.join(1, 0, func(l *line, cfg *consume.Config) {
			roomy(l, cfg)
			l.stuck = func(r *record.Record) bool { return r.Origin.Partition == 0 && r.Origin.Offset == 0 }
		})
		for range 8 {
			c.fill(200)
			testkit.AdvanceClock(2 * time.Minute)
		}
		c.checkCount(8*200 - 1)
		m.leave()
		m = c.join(2, 0, nil)
		c.awaitOffset(source, 0, 8*200)
		m.leave()
		c.check(8*200, 0)
	})
}
