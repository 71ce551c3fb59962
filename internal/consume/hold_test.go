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

// checkHold checks the hold reason that the member reports. An empty reason means that nothing is
// held.
func (m *member) checkHold(want string) {
	m.harness.t.Helper()
	got := ""
	if hold := m.obs.Snapshot().Hold; hold != nil {
		got = string(hold.Reason)
	}
	if got != want {
		m.harness.t.Errorf("got hold reason %q, want %q", got, want)
	}
}

// refuseFetches returns a fault that refuses every fetch of partition 1 of a topic.
func refuseFetches(topic string) kfake.Fault {
	return kfake.Fault{
		Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Partitions: []int32{1}, Count: -1,
		Err: kerr.TopicAuthorizationFailed,
	}
}

// A partition that cannot be fetched is held and retried at intervals, and it does not hold up the
// others.
func TestUnreadablePartitionIsHeldAndResumesByItself(t *testing.T) {
	for topic, want := range map[string]struct{ before, after int }{source: {12, 15}, tier10s: {11, 12}} {
		t.Run(topic, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceRecords(9, alwaysOK)
				for p := range int32(numParts) {
					h.produceCopy(tier10s, p, 1000, 1, time.Now().Add(time.Minute), "earlier")
				}
				m := h.startMember(1, 0, nil)
				testkit.AdvanceClock(time.Second) // until it is recovered
				refused := h.Cluster().Fault(refuseFetches(topic))
				if topic == source {
					h.produceToPartition(1, 3)
				}
				testkit.AdvanceClock(3 * time.Minute)
				m.checkHold("unreadable")
				h.checkDelivered(want.before)
				if n := refused.Hits(); n == 0 || n > 3*60 {
					t.Errorf("got %d fetches in 3 minutes, want 1 to 180", n)
				}
				refused.Remove()
				testkit.AdvanceClock(time.Minute)
				m.checkHold("")
				m.stopCleanly()
				h.checkDeliveries(want.after, 0)
			})
		})
	}
}

// A retry partition that cannot be read holds only its own source partition.
func TestUnreadableRetryPartitionHoldsOnlyItsOwnRecovery(t *testing.T) {
	faults := map[string]func(*harness) (undo func()){
		"refused": func(h *harness) func() {
			return h.injectFault(refuseFetches(tier10s))
		},
		"behind an open transaction": func(h *harness) func() {
			producer := h.newClient(kgo.TransactionalID("replay"), kgo.TransactionTimeout(15*time.Minute))
			if err := producer.BeginTransaction(); err != nil {
				h.t.Fatal(err)
			}
			r := &kgo.Record{Topic: tier10s, Partition: 1, Value: []byte("ok")}
			if err := producer.ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
				h.t.Fatal(err)
			}
			return func() {
				if err := producer.EndTransaction(h.t.Context(), kgo.TryAbort); err != nil {
					h.t.Fatal(err)
				}
				h.commits.MarkSettled(tier10s, 1, r.Offset)
				h.commits.MarkSettled(tier10s, 1, h.endOffset(tier10s, 1)-1) // the transaction marker
			}
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceRecords(9, alwaysOK)
				for p := range int32(numParts) {
					h.produceCopy(tier10s, p, 1000, 1, time.Now(), "earlier")
				}
				undo := fault(h)
				m := h.startMember(1, 0, nil)
				testkit.AdvanceClock(2 * time.Minute)
				m.checkHold("recovery")
				h.checkDelivered(12 - 4)
				undo()
				testkit.AdvanceClock(time.Minute)
				m.checkHold("")
				m.stopCleanly()
				h.checkDeliveries(12, 0)
			})
		})
	}
}

// In a recreated topic, the committed offsets belong to other records. It is held until the
// connector restarts.
func TestRecreatedTopicIsHeldAsUnreadable(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.commits.AllowRewinds()
		h.produceRecords(9, alwaysOK)
		m := h.startMember(1, 0, nil)
		h.awaitCommitted(9)
		if err := h.Cluster().DeleteTopic(source); err != nil {
			t.Fatal(err)
		}
		if err := h.Cluster().CreateTopic(source, numParts, nil); err != nil {
			t.Fatal(err)
		}
		h.client = h.newClient()
		h.produceRecords(15, alwaysOK)
		testkit.AdvanceClock(3 * time.Minute)
		m.checkHold("unreadable")
		h.checkDelivered(9)
		m.stopCleanly()
		// A broker deletes the offsets of a deleted topic; the embedded one does not.
		deleted := kadm.TopicsSet{source: {0: {}, 1: {}, 2: {}}}
		if _, err := kadm.NewClient(h.client).DeleteOffsets(t.Context(), group, deleted); err != nil {
			t.Fatal(err)
		}
		m = h.startMember(2, 0, nil)
		h.awaitCommitted(15)
		m.stopCleanly()
		if got, twice := h.vendor.countDeliveries(); got != 15 || twice != 9 {
			t.Errorf("got %d offsets delivered and %d duplicates, want 15 and the 9 of the first topic", got, twice)
		}
	})
}

// A batch that decompresses to more than the limit is not read, and never silently skipped.
func TestVolumeBatchAboveTheDecompressionLimitIsHeld(t *testing.T) {
	testkit.SkipUnderRaceDetector(t)
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		packer := h.newClient(kgo.ProducerBatchCompression(kgo.GzipCompression()),
			kgo.ProducerBatchMaxBytes(100<<20), kgo.BrokerMaxWriteBytes(200<<20))
		large := &kgo.Record{Topic: source, Partition: 1, Value: make([]byte, 65<<20)}
		if err := packer.ProduceSync(t.Context(), large).FirstErr(); err != nil {
			t.Fatal(err)
		}
		h.produceRecords(9, alwaysOK)
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(3 * time.Minute)
		m.checkHold("unreadable")
		h.checkDelivered(6)
		m.stopCleanly()
		m.checkHold("")
		h.checkCommits()
	})
}

func TestPartitionWithoutItsRetryPartitionIsHeld(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		if err := h.Cluster().DeleteTopic(tier1m); err != nil {
			t.Fatal(err)
		}
		h.produceRecords(9, alwaysOK)
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(time.Minute)
		m.checkHold("recovery")
		if err := h.Cluster().CreateTopic(tier1m, numParts, nil); err != nil {
			t.Fatal(err)
		}
		h.commits.StartAt(tier1m, 0, 0) // the oracle learns the new topic
		h.awaitCommitted(9)
		testkit.AdvanceClock(10 * time.Second)
		m.checkHold("")
		m.stopCleanly()
		h.checkDeliveries(9, 0)
	})
}

func TestLostOffsetIsHeldUntilItsPartitionIsRevoked(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(3)
		h.commitFirst(100)
		m := h.startMember(1, 0, withLostPolicy(consume.LostOffsetStop))
		testkit.AdvanceClock(time.Minute)
		m.checkHold("offset_lost")
		m.stopCleanly()
		m.checkHold("")
	})
}
