package sim_test

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/sink"
)

// produceRecords produces the next count records of the plan, or all of them if count is 0.
func (h *harness) produceRecords(count int) {
	if count == 0 {
		count = len(h.plan)
	}
	batch := h.plan[:count]
	h.plan = h.plan[count:]
	var records []*kgo.Record
	for _, kind := range batch {
		records = append(records, h.nextRecord(kind))
	}
	h.requireNoError(h.client.ProduceSync(h.Context(), records...).FirstErr())
	for _, r := range records {
		if original := h.ledger.findRecord(fmt.Sprintf("%s-%d-%d", r.Topic, r.Partition, r.Offset)); original == nil ||
			original.raw != r {
			h.Fatalf("record %s-%d-%d is not in the ledger under this position", r.Topic, r.Partition, r.Offset)
		}
	}
}

// nextRecord builds a record and adds it to the ledger under the offset that it will have, since it
// may be consumed before its write is acknowledged.
func (h *harness) nextRecord(recordKind kind) *kgo.Record {
	h.lastSeq++
	customer := fmt.Sprint("c", h.rng.IntN(12))
	key := []byte(customer)
	if h.rng.IntN(20) == 0 {
		customer, key = fmt.Sprint("n", h.lastSeq), nil
	}
	value, err := h.values.encodeValue(recordKind, h.lastSeq, customer)
	h.requireNoError(err)
	hash := fnv.New32a()
	hash.Write([]byte(customer))
	r := &kgo.Record{
		Topic: h.pipeline.name, Partition: int32(hash.Sum32() % uint32(h.partitions)), Key: key, Value: value,
		Timestamp: time.Now().Truncate(time.Millisecond),
		Headers: []kgo.RecordHeader{
			{Key: "trace", Value: []byte{0, 255, byte(h.lastSeq)}}, {Key: "empty"},
			{Key: "trace", Value: []byte("again")},
		},
	}
	origin := sink.Origin{
		Topic: r.Topic, TopicID: h.topicID, Partition: r.Partition, Offset: h.sourceEnds[r.Partition],
		Timestamp: r.Timestamp,
	}
	h.sourceEnds[r.Partition]++
	h.ledger.recordProduced(
		&producedRecord{seq: h.lastSeq, kind: recordKind, customer: customer, raw: r, origin: origin},
		h.skipsUnhandled() && (recordKind == tombstone || recordKind == unmapped),
	)
	return r
}
