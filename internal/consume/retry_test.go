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

// produceCopy produces a retry record of the source record at an offset, as an owner would, and
// returns its offset. Extra headers override earlier ones with the same key.
func (h *harness) produceCopy(
	topic string, partition int32, origin int64, attempt int, due time.Time, writer string, extra ...kgo.RecordHeader,
) (offset int64) {
	h.t.Helper()
	topicID := record.FormatTopicID(h.Cluster().TopicInfo(source).TopicID)
	header := func(k, v string) kgo.RecordHeader { return kgo.RecordHeader{Key: k, Value: []byte(v)} }
	r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("ok"), Headers: []kgo.RecordHeader{
		header(record.HeaderOriginTopic, source), header(record.HeaderOriginTopicID, topicID),
		header(record.HeaderOriginPartition, strconv.Itoa(int(partition))),
		header(record.HeaderOriginOffset, strconv.FormatInt(origin, 10)),
		header(record.HeaderAttempt, strconv.Itoa(attempt)),
		header(record.HeaderNotBefore, due.UTC().Format(time.RFC3339Nano)),
		header(record.HeaderWriter, writer),
	}}
	r.Headers = append(r.Headers, extra...)
	if err := h.client.ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
	return r.Offset
}

func TestOnlyTheNewestCopyIsDelivered(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(3)
		now := time.Now()
		for range 2 {
			h.produceCopy(tier10s, 0, 1, 1, now.Add(-time.Hour), "earlier")
		}
		h.produceCopy(tier1m, 0, 1, 2, now.Add(30*time.Second), "earlier")
		for o := range int64(2) {
			h.commits.MarkSettled(tier10s, 0, o) // older copies
		}
		h.commits.MarkSettled(source, 0, 1)
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(20 * time.Second)
		h.checkDeliveries(2, 0)
		h.awaitOffset(tier1m, 0, 1)
		h.awaitOffset(tier10s, 0, 2)
		h.awaitOffset(source, 0, 3)
		m.stopCleanly()
		h.checkDeliveries(3, 0)
	})
}

func TestLateCopyOfAnEarlierOwnerIsSkipped(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(3)
		m := h.startMember(1, 0, nil)
		h.awaitOffset(source, 0, 3)
		h.commits.MarkSettled(tier10s, 0, h.endOffset(tier10s, 0))
		h.produceCopy(tier10s, 0, 1, 1, time.Now().Add(10*time.Second), "an owner that lost it")
		h.awaitOffset(tier10s, 0, 1)
		m.stopCleanly()
		h.checkDeliveries(3, 0)
	})
}

// A replay keeps the writer ID of the dead letter, which must not make it a late copy.
func TestReplayIsNotALateCopy(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		replays := kgo.RecordHeader{Key: record.HeaderReplays, Value: []byte("1")}
		h.produceCopy(tier10s, 0, 1000, 1, time.Now(), "an earlier owner", replays)
		h.awaitOffset(tier10s, 0, 1)
		m.stopCleanly()
		h.checkDeliveries(1, 0)
	})
}

// A copy of a record from the deleted topic must not settle the record that has the same offset in
// the new topic.
func TestCopyFromADeletedTopicDoesNotSettleARecordOfTheNewOne(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(3)
		earlier := kgo.RecordHeader{Key: record.HeaderOriginTopicID, Value: []byte(record.FormatTopicID([16]byte{1}))}
		h.produceCopy(tier10s, 0, 1, 1, time.Now(), "earlier", earlier)
		m := h.startMember(1, 0, nil)
		h.awaitOffset(source, 0, 3)
		h.awaitOffset(tier10s, 0, 1)
		m.stopCleanly()
		h.checkDeliveries(3, 1) // two records with the same offset, not one delivered twice
	})
}

func TestForeignRecordInARetryTopicIsDelivered(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		for range 2 { // one before the recovery, one after
			r := &kgo.Record{Topic: tier10s, Partition: 2, Value: []byte("ok")}
			if err := h.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			m := h.startMember(1, 0, nil)
			testkit.AdvanceClock(10 * time.Second)
			m.stopCleanly()
		}
		h.awaitOffset(tier10s, 2, 2)
		h.checkDeliveries(2, 0)
	})
}

func TestDeferredRecordsAreEachDeliveredWhenDue(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		start := time.Now()
		const n = 40
		for i := range n {
			due := start.Add(time.Duration(i) * 7 * time.Second)
			h.produceCopy(tier10s, int32(i%numParts), int64(1000+i), 1, due, "earlier")
		}
		m := h.startMember(1, 0, nil)
		for p := range int32(numParts) {
			h.awaitOffset(tier10s, p, int64((n+numParts-1-int(p))/numParts))
		}
		m.stopCleanly()
		h.checkDeliveries(n, 0)
		for i := range n {
			id := source + "-" + strconv.Itoa(i%numParts) + "-" + strconv.Itoa(1000+i)
			due := start.Add(time.Duration(i) * 7 * time.Second)
			if late := h.vendor.times[id][0].Sub(due); late < 0 || late > 2*time.Second {
				t.Errorf("%s: got delivery %v after it was due, want 0s to 2s", id, late)
			}
		}
	})
}

// Writes to the retry topics fail with a transient or a permanent error, also during a rebalance.
func TestNothingIsLostWhileRetryTopicsRefuseWrites(t *testing.T) {
	for _, e := range []*kerr.Error{kerr.NotEnoughReplicas, kerr.MessageTooLarge} {
		t.Run(e.Message, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceRecords(30, func(i int) string { return []string{"ok", "retry once", "dead"}[i/3%3] })
				refused := h.Cluster().Fault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.Produce}, Err: e, Count: -1, When: isWithoutMarker,
				})
				a := h.startMember(1, 0, nil)
				testkit.AdvanceClock(30 * time.Second)
				b := h.startMember(2, 0, nil)
				testkit.AdvanceClock(2 * time.Minute)
				refused.Remove()
				if refused.Hits() == 0 {
					t.Error("got no refused write, want at least one")
				}
				h.awaitCommitted(30)
				a.stopCleanly()
				testkit.AdvanceClock(time.Minute)
				b.stopCleanly()
				h.checkCommits()
				if delivered, _ := h.vendor.countDeliveries(); delivered != 21 {
					t.Errorf("got %d records delivered, want 21", delivered)
				}
			})
		})
	}
}

func TestNothingIsSentWhileIntentsCannotBeCommitted(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		removeFault := h.injectFault(refuseCommits(kerr.CoordinatorLoadInProgress, -1))
		h.produceRecords(9, alwaysOK)
		m := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) { s.logIntents = true })
		testkit.AdvanceClock(time.Minute)
		if delivered, _ := h.vendor.countDeliveries(); delivered != 0 {
			t.Errorf("got %d records delivered before their intent was committed, want none", delivered)
		}
		removeFault()
		h.awaitCommitted(9)
		m.stopCleanly()
		h.checkDeliveries(9, 0)
	})
}
