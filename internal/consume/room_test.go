package consume_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// produceToFirst produces records to partition 0 of the source.
func (h *harness) produceToFirst(count int) {
	h.t.Helper()
	h.produceToPartition(0, count)
}

func (h *harness) produceToPartition(partition int32, count int) {
	h.t.Helper()
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Topic: source, Partition: partition, Value: []byte("ok")}
	}
	if err := h.client.ProduceSync(h.t.Context(), records...).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}

// withLargeBudget raises the credits so far that only the commit metadata limits the records in
// flight.
func withLargeBudget(_ *fakeStages, cfg *consume.Config) {
	cfg.MaxInFlight, cfg.MaxInFlightBytes = 20_000, 64<<20
}

// One record in twenty is stuck, so that the commit metadata fills up and the partition is paused.
func TestVolumeNextOwnerContinuesAPartitionWithFullMetadata(t *testing.T) {
	testkit.SkipUnderRaceDetector(t)
	for name, end := range map[string]func(*member){
		"after a crash": (*member).crashMember, "after a stop": (*member).stopCleanly,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceToFirst(14_000)
				a := h.startMember(1, 0, func(s *fakeStages, cfg *consume.Config) {
					withLargeBudget(s, cfg)
					s.isStuck = func(r *record.Record) bool { return r.Origin.Offset%20 == 0 }
				})
				testkit.AdvanceClock(time.Minute)
				if delivered, _ := h.vendor.countDeliveries(); delivered >= 13_000 {
					t.Fatal("got nearly all records delivered, want the partition paused")
				}
				end(a)
				b := h.startMember(2, 0, withLargeBudget)
				h.awaitOffset(source, 0, 14_000)
				b.stopCleanly()
				h.checkDeliveries(14_000, 0)
			})
		})
	}
}

// In a compacted log, records are far apart, and the records of one poll might not fit into the
// metadata.
func TestVolumeCompactedSourceNeverOverfillsTheMetadata(t *testing.T) {
	testkit.SkipUnderRaceDetector(t)
	const last, gap = 100_000, 50
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		left := h.produceCompacted(last, gap)
		if left > last/10 {
			t.Fatalf("got %d records after compaction, want at most %d", left, last/10)
		}
		release := make(chan struct{})
		a := h.startMember(1, 0, func(s *fakeStages, cfg *consume.Config) {
			withLargeBudget(s, cfg)
			s.isStuck = func(r *record.Record) bool {
				select {
				case <-release:
					return false
				default:
					return r.Origin.Offset/gap%2 == 0
				}
			}
		})
		testkit.AdvanceClock(time.Minute)
		if delivered, _ := h.vendor.countDeliveries(); delivered >= left/2 {
			t.Errorf("got %d records delivered, want the partition paused before that", delivered)
		}
		close(release)
		a.NotifyDraining()
		h.awaitOffset(source, 0, last+1)
		a.stopCleanly()
		h.checkDeliveries(left, 0)
	})
}

// produceCompacted fills partition 0 of the source up to and including the last offset, and
// compacts it so that about one record per gap offsets remains. It returns how many remain.
func (h *harness) produceCompacted(last, gap int) (left int) {
	h.t.Helper()
	if err := h.Cluster().DeleteTopic(source); err != nil {
		h.t.Fatal(err)
	}
	settings := map[string]string{"cleanup.policy": "compact", "segment.bytes": "16384"}
	if err := h.Cluster().CreateTopic(source, numParts, settings); err != nil {
		h.t.Fatal(err)
	}
	records := make([]*kgo.Record, last+1)
	for i := range records {
		key := []byte("superseded")
		if i%gap == 0 {
			key = fmt.Append(nil, i)
		}
		records[i] = &kgo.Record{Topic: source, Partition: 0, Key: key, Value: []byte("ok")}
	}
	for chunk := range slices.Chunk(records, 1000) {
		if err := h.client.ProduceSync(h.t.Context(), chunk...).FirstErr(); err != nil {
			h.t.Fatal(err)
		}
	}
	h.Cluster().Compact()
	return h.settleLogGaps(int64(last))
}

// settleLogGaps marks the offsets of partition 0 without a record as settled in the oracle, and
// returns the number of records.
func (h *harness) settleLogGaps(last int64) (left int) {
	first := map[string]map[int32]kgo.Offset{source: {0: kgo.NewOffset().AtStart()}}
	reader := testkit.NewClient(h.t, h.Platform, kgo.ConsumePartitions(first))
	for next := int64(0); next <= last; {
		reader.PollFetches(h.t.Context()).EachRecord(func(r *kgo.Record) {
			for ; next < r.Offset; next++ {
				h.commits.MarkSettled(source, 0, next)
			}
			next++
			left++
		})
	}
	return left
}
