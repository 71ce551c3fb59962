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

// produceTransaction produces records to each partition of a topic in one transaction and commits
// or aborts it. Offsets of aborted records and transaction markers need no delivery.
func (h *harness) produceTransaction(producer *kgo.Client, topic string, count int, end kgo.TransactionEndTry) {
	h.t.Helper()
	if err := producer.BeginTransaction(); err != nil {
		h.t.Fatal(err)
	}
	for p := range int32(numParts) {
		for range count {
			r := &kgo.Record{Topic: topic, Partition: p, Value: []byte("retry once")}
			if err := producer.ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
				h.t.Fatal(err)
			}
			if end == kgo.TryAbort {
				h.commits.MarkSettled(topic, p, r.Offset)
			}
		}
	}
	if err := producer.EndTransaction(h.t.Context(), end); err != nil {
		h.t.Fatal(err)
	}
	for p := range int32(numParts) {
		h.commits.MarkSettled(topic, p, h.Cluster().PartitionInfo(topic, p).HighWatermark-1)
	}
}

func TestOnlyCommittedTransactionsAreDelivered(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		producer := h.newClient(kgo.TransactionalID("upstream"))
		for range 3 {
			h.produceTransaction(producer, source, 3, kgo.TryAbort)
			h.produceTransaction(producer, source, 2, kgo.TryCommit)
		}
		h.produceTransaction(producer, source, 5, kgo.TryAbort) // the log ends in aborted records
		a := h.startMember(1, time.Second, nil)
		testkit.AdvanceClock(3 * time.Second)
		b := h.startMember(2, time.Second, nil)
		testkit.AdvanceClock(time.Minute)
		h.produceTransaction(producer, source, 1, kgo.TryCommit)
		testkit.AdvanceClock(time.Minute)
		a.stopCleanly()
		b.stopCleanly()
		h.checkDeliveries(numParts*(3*2+1), 0)
	})
}

// Recovery must not wait for a record at the end of such a partition, because none arrives.
func TestRetryPartitionThatEndsInATransactionMarkerIsRecovered(t *testing.T) {
	for name, end := range map[string]kgo.TransactionEndTry{"committed": kgo.TryCommit, "aborted": kgo.TryAbort} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				producer := h.newClient(kgo.TransactionalID("replay"))
				h.produceTransaction(producer, tier10s, 2, end)
				h.produceRecords(9, alwaysOK)
				m := h.startMember(1, 0, nil)
				h.awaitCommitted(9)
				m.stopCleanly()
				h.checkCommits()
			})
		})
	}
}

// Records behind an open transaction are unknown until it ends. If recovery did not wait, copies
// that an earlier owner wrote there would be considered late copies.
func TestRecoveryWaitsForAnOpenTransactionInARetryTopic(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		producer := h.newClient(kgo.TransactionalID("replay"), kgo.TransactionTimeout(10*time.Minute))
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		first := &kgo.Record{Topic: tier10s, Partition: 0, Value: []byte("ok")}
		if err := producer.ProduceSync(t.Context(), first).FirstErr(); err != nil {
			t.Fatal(err)
		}
		h.produceToFirst(3)
		h.produceCopy(tier10s, 0, 1, 1, time.Now(), "earlier")
		h.commits.MarkSettled(source, 0, 1)
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(30 * time.Second)
		h.checkDelivered(0)
		if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		testkit.AdvanceClock(30 * time.Second)
		m.stopCleanly()
		h.commits.MarkSettled(tier10s, 0, h.endOffset(tier10s, 0)-1) // the transaction marker
		h.checkDeliveries(4, 0)
	})
}

// Only records that settle while no broker is running may be delivered twice.
func TestBrokerRestartLosesNothing(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		o := embedded.Options{Ports: []int{9092}, DataDir: t.TempDir(), Network: &testkit.Network{}}
		h := newHarnessWithOptions(t, o)
		for _, topic := range []string{source, tier10s} {
			h.commits.StartAt(topic, 0, 0) // the oracle learns the topics while the broker runs
		}
		h.produceRecords(90, func(i int) string { return []string{"ok", "retry once", "dead"}[i/3%3] })
		m := h.startMember(1, 2*time.Second, nil)
		testkit.AdvanceClock(1500 * time.Millisecond)
		before, _ := h.vendor.countDeliveries()
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		testkit.AdvanceClock(20 * time.Second)
		during, _ := h.vendor.countDeliveries()
		h.Platform = testkit.StartPlatform(t, o)
		h.awaitCommitted(90)
		for p := range int32(numParts) {
			h.awaitOffset(tier10s, p, 10)
		}
		m.stopCleanly()
		h.checkCommits()
		delivered, twice := h.vendor.countDeliveries()
		if delivered != 60 || twice > during-before+1 {
			t.Errorf("got %d records delivered and %d duplicates, want 60 and at most the %d without a broker",
				delivered, twice, during-before)
		}
	})
}

func TestStuckRecordDoesNotBlockOthers(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		m := h.startMember(1, 0, func(s *fakeStages, cfg *consume.Config) {
			withLargeBudget(s, cfg)
			s.isStuck = func(r *record.Record) bool { return r.Origin.Partition == 0 && r.Origin.Offset == 0 }
		})
		for range 8 {
			h.produceToFirst(200)
			testkit.AdvanceClock(2 * time.Minute)
		}
		h.checkDelivered(8*200 - 1)
		m.stopCleanly()
		m = h.startMember(2, 0, nil)
		h.awaitOffset(source, 0, 8*200)
		m.stopCleanly()
		h.checkDeliveries(8*200, 0)
	})
}
