package consume_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/test/testkit"
)

// checkHold checks why the member's reading is held; empty: it is not.
func (m *member) checkHold(want string) {
	m.c.t.Helper()
	got := ""
	if h := m.obs.Snapshot().Hold; h != nil {
		got = string(h.Reason)
	}
	if got != want {
		m.c.t.Errorf("the hold is %q, want %q", got, want)
	}
}

// A partition that cannot be fetched says so, is asked for now and then and not all the time, and keeps no other.
func TestAPartitionThatCannotBeReadIsAStatedHoldAndGoesOnByItself(t *testing.T) {
	for topic, want := range map[string]struct{ before, after int }{source: {12, 15}, tier10s: {11, 12}} {
		t.Run(topic, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.produce(9, ok)
				for p := range int32(numParts) {
					c.copyTo(tier10s, p, 1000, 1, time.Now().Add(time.Minute), "earlier")
				}
				m := c.join(1, 0, nil)
				testkit.AdvanceClock(time.Second) // taken over
				refused := c.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Partitions: []int32{1}, Count: -1, Err: kerr.TopicAuthorizationFailed})
				if topic == source {
					c.toPartition(1, 3)
				}
				testkit.AdvanceClock(3 * time.Minute)
				m.checkHold("unreadable")
				c.checkCount(want.before)
				if n := refused.Hits(); n == 0 || n > 3*60 {
					t.Errorf("%d fetches in 3 minutes", n)
				}
				refused.Remove()
				testkit.AdvanceClock(time.Minute)
				m.checkHold("")
				m.leave()
				c.check(want.after, 0)
			})
		})
	}
}

// One retry partition that cannot be read keeps its own source partition waiting, and no other.
func TestARetryPartitionThatCannotBeReadHoldsItsOwnTakeOverAlone(t *testing.T) {
	faults := map[string]func(*cluster) (undo func()){
		"refused": func(c *cluster) func() {
			return c.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: tier10s, Partitions: []int32{1}, Count: -1, Err: kerr.TopicAuthorizationFailed})
		},
		"behind an open transaction": func(c *cluster) func() {
			producer := testkit.NewClient(c.t, c.Platform, kgo.RecordPartitioner(kgo.ManualPartitioner()),
				kgo.TransactionalID("replay"), kgo.TransactionTimeout(15*time.Minute))
			if err := producer.BeginTransaction(); err != nil {
				c.t.Fatal(err)
			}
			r := &kgo.Record{Topic: tier10s, Partition: 1, Value: []byte("ok")}
			if err := producer.ProduceSync(c.t.Context(), r).FirstErr(); err != nil {
				c.t.Fatal(err)
			}
			return func() {
				if err := producer.EndTransaction(c.t.Context(), kgo.TryAbort); err != nil {
					c.t.Fatal(err)
				}
				c.commits.Settled(tier10s, 1, r.Offset)
				c.commits.Settled(tier10s, 1, r.Offset+1)
			}
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.produce(9, ok)
				for p := range int32(numParts) {
					c.copyTo(tier10s, p, 1000, 1, time.Now(), "earlier")
				}
				undo := fault(c)
				m := c.join(1, 0, nil)
				testkit.AdvanceClock(2 * time.Minute)
				m.checkHold("recovery")
				c.checkCount(12 - 4)
				undo()
				testkit.AdvanceClock(time.Minute)
				m.checkHold("")
				m.leave()
				c.check(12, 0)
			})
		})
	}
}

// A topic made anew has other records at the offsets that are known: nothing of it is read before a restart, and that is said.
func TestATopicMadeAnewWhileItIsReadIsAStatedHold(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.commits.AllowRewinds()
		c.produce(9, ok)
		m := c.join(1, 0, nil)
		c.awaitCommitted(9)
		if err := c.Cluster().DeleteTopic(source); err != nil {
			t.Fatal(err)
		}
		if err := c.Cluster().CreateTopic(source, numParts, nil); err != nil {
			t.Fatal(err)
		}
		c.client = testkit.NewClient(t, c.Platform, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		c.produce(15, ok)
		testkit.AdvanceClock(3 * time.Minute)
		m.checkHold("unreadable")
		c.checkCount(9)
		m.leave()
		if _, err := kadm.NewClient(c.client).DeleteOffsets(t.Context(), group, kadm.TopicsSet{source: {0: {}, 1: {}, 2: {}}}); err != nil {
			t.Fatal(err) // a broker does it when the topic goes
		}
		m = c.join(2, 0, nil)
		c.awaitCommitted(15)
		m.leave()
		if got, twice := c.vendor.counts(); got != 15 || twice != 9 {
			t.Errorf("%d offsets were delivered and %d twice, want 15 and the 9 of the first topic", got, twice)
		}
	})
}

// A batch that unpacks to more than the bound is not read, and is never given up silently.
func TestVolumeABatchThatUnpacksToTooMuchIsAStatedHold(t *testing.T) {
	testkit.SkipUnlessVolume(t)
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		packer := testkit.NewClient(t, c.Platform, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.GzipCompression()),
			kgo.ProducerBatchMaxBytes(100<<20), kgo.BrokerMaxWriteBytes(200<<20))
		if err := packer.ProduceSync(t.Context(), &kgo.Record{Topic: source, Partition: 1, Value: make([]byte, 65<<20)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		c.produce(9, ok)
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(3 * time.Minute)
		m.checkHold("unreadable")
		c.checkCount(6)
		m.leave()
		m.checkHold("")
		if err := c.commits.Check(); err != nil {
			t.Error(err)
		}
	})
}

func TestAPartitionThatWaitsForItsRetryPartitionIsAStatedHold(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		if err := c.Cluster().DeleteTopic(tier1m); err != nil {
			t.Fatal(err)
		}
		c.produce(9, ok)
		m := c.join(1, 0, nil)
		testkit.AdvanceClock(time.Minute)
		m.checkHold("recovery")
		if err := c.Cluster().CreateTopic(tier1m, numParts, nil); err != nil {
			t.Fatal(err)
		}
		c.awaitCommitted(9)
		testkit.AdvanceClock(10 * time.Second)
		m.checkHold("")
		m.leave()
		c.check(9, 0)
	})
}

func TestALostOffsetIsAStatedHoldUntilItsPartitionGoes(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(3)
		c.commitAt(100)
		m := c.join(1, 0, lost(consume.LostOffsetStop))
		testkit.AdvanceClock(time.Minute)
		m.checkHold("offset_lost")
		m.leave()
		m.checkHold("")
	})
}
