package sim_test

import (
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/record"
)

// produceTap observes each write to a retry or dead-letter topic before the cluster processes it,
// on the cluster's own goroutine. The write is therefore known before any commit that depends on it
// is checked. At the end the topics' end offsets must confirm what the tap has seen.
type produceTap struct {
	ledger          *ledger
	topicNames      map[[16]byte]string // of the observed topics
	deadLetterTopic string              // all other observed topics are retry topics

	mu            sync.Mutex
	nextOffsets   map[recordPosition]int64 // end offsets; the positions have offset 0
	batches       map[batchID]bool
	records       []*kgo.Record // as they are in the topics
	refusals      []*refusalPeriod
	refusedTopics map[kmsg.Request][]string // by request
}

// batchID identifies a record batch of an idempotent producer, which is the same when it is resent.
type batchID struct {
	at       recordPosition
	producer int64
	epoch    int16
	sequence int32
}

// refusalPeriod is a time during which a topic refuses writes. It begins with the first write.
type refusalPeriod struct {
	topic  string
	length time.Duration
	until  time.Time
}

// newProduceTap observes a cluster in which the topics exist.
func newProduceTap(
	cluster *kfake.Cluster, records *ledger, topics []string, deadLetterTopic string, partitions int,
) *produceTap {
	tap := &produceTap{
		ledger: records, topicNames: map[[16]byte]string{}, deadLetterTopic: deadLetterTopic,
		nextOffsets: map[recordPosition]int64{}, batches: map[batchID]bool{},
		refusedTopics: map[kmsg.Request][]string{},
	}
	for _, topic := range topics {
		tap.topicNames[cluster.TopicInfo(topic).TopicID] = topic
		for p := range partitions {
			tap.nextOffsets[recordPosition{topic: topic, partition: int32(p)}] = 0
		}
	}
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		tap.observeRequest(r.(*kmsg.ProduceRequest))
		return nil, nil, false
	})
	return tap
}

// refuseWrites makes the cluster refuse writes to a topic for a while, starting with the next one.
// The tap decides for each request and the fault follows it, so that the two never disagree.
func (t *produceTap) refuseWrites(
	cluster *kfake.Cluster, topic string, length time.Duration, err *kerr.Error,
) *kfake.FaultHandle {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refusals = append(t.refusals, &refusalPeriod{topic: topic, length: length})
	refused := func(r kmsg.Request) bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return slices.Contains(t.refusedTopics[r], topic)
	}
	return cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: err, Count: -1, When: refused})
}

func (t *produceTap) observeRequest(r *kmsg.ProduceRequest) {
	now := time.Now()
	for _, topic := range r.Topics {
		name := topic.Topic
		if name == "" {
			name = t.topicNames[topic.TopicID]
		}
		if _, watched := t.nextOffsets[recordPosition{topic: name}]; !watched || t.isRefused(r, name, now) {
			continue
		}
		for _, p := range topic.Partitions {
			t.observeBatch(name, p)
		}
	}
}

func (t *produceTap) isRefused(r kmsg.Request, topic string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, period := range t.refusals {
		if period.topic != topic {
			continue
		}
		if period.until.IsZero() {
			period.until = now.Add(period.length)
		}
		if now.Before(period.until) {
			t.refusedTopics[r] = append(t.refusedTopics[r], topic)
			return true
		}
	}
	return false
}

func (t *produceTap) observeBatch(topic string, p kmsg.ProduceRequestTopicPartition) {
	var head kmsg.RecordBatch
	if err := head.ReadFrom(p.Records); err != nil {
		t.ledger.mu.Lock()
		t.ledger.addViolation("decoding a batch for %s: %v", topic, err)
		t.ledger.mu.Unlock()
		return
	}
	position := recordPosition{topic: topic, partition: p.Partition}
	batch := batchID{position, head.ProducerID, head.ProducerEpoch, head.FirstSequence}
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: topic, Partition: p.Partition},
		&kmsg.FetchResponseTopicPartition{
			Partition: p.Partition, RecordBatches: p.Records,
		}, kgo.DefaultDecompressor(), nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.batches[batch] {
		return
	}
	t.batches[batch] = true
	for _, r := range fetched.Records {
		r.Offset = t.nextOffsets[position]
		t.nextOffsets[position]++
		if record.IsOwnershipMarker(r) {
			t.ledger.commits.MarkSettled(topic, p.Partition, r.Offset)
			continue
		}
		t.records = append(t.records, r)
		headers := record.ParseRetryHeaders(r)
		t.ledger.recordMoved(
			headers.Origin.ID(), recordPosition{topic, p.Partition, r.Offset}, topic == t.deadLetterTopic,
			headers.Attempt,
		)
	}
}

// writtenRecords returns the records of the dead-letter topic, or those of the retry topics.
func (t *produceTap) writtenRecords(dead bool) []*kgo.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(
		slices.Clone(t.records), func(r *kgo.Record) bool { return (r.Topic == t.deadLetterTopic) != dead },
	)
}

// endOffsets returns the end offsets of the partitions.
func (t *produceTap) endOffsets() map[recordPosition]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	ends := make(map[recordPosition]int64, len(t.nextOffsets))
	for position, n := range t.nextOffsets {
		ends[position] = n
	}
	return ends
}
