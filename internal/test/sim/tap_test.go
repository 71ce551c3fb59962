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

// tap sees each write to a retry or dead-letter topic before the cluster does, on the cluster's own goroutine, so that no commit that the write allows can
// be judged before the write is known. A write is believed here and proved at the end, by the topics' own end offsets.
type tap struct {
	books *books
	names map[[16]byte]string // of the topics that are watched
	dead  string              // the dead-letter topic

	mu      sync.Mutex
	next    map[place]int64 // by place with offset 0: the partition's end
	batches map[batchID]bool
	records []*kgo.Record // as they stand in the topics
	spells  []*spell
	refused map[kmsg.Request][]string // topics, by request
}

// batchID names a batch of an idempotent producer: one that is sent again is one batch.
type batchID struct {
	at       place
	producer int64
	epoch    int16
	sequence int32
}

// spell is a time in which a topic takes no writes; it begins with the first one.
type spell struct {
	topic  string
	length time.Duration
	until  time.Time
}

// watch taps a cluster whose topics are there already.
func watch(c *kfake.Cluster, b *books, topics []string, dead string, parts int) *tap {
	t := &tap{
		books: b, names: map[[16]byte]string{}, dead: dead,
		next: map[place]int64{}, batches: map[batchID]bool{}, refused: map[kmsg.Request][]string{},
	}
	for _, topic := range topics {
		t.names[c.TopicInfo(topic).TopicID] = topic
		for p := range parts {
			t.next[place{topic: topic, partition: int32(p)}] = 0
		}
	}
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		t.see(r.(*kmsg.ProduceRequest))
		return nil, nil, false
	})
	return t
}

// refuse has the cluster refuse writes to a topic for a while from the next one on. The tap decides and the fault obeys, so that both say the same of a request.
func (t *tap) refuse(c *kfake.Cluster, topic string, length time.Duration, err *kerr.Error) *kfake.FaultHandle {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spells = append(t.spells, &spell{topic: topic, length: length})
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: err, Count: -1, When: func(r kmsg.Request) bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return slices.Contains(t.refused[r], topic)
	}})
}

func (t *tap) see(r *kmsg.ProduceRequest) {
	now := time.Now()
	for _, topic := range r.Topics {
		name := topic.Topic
		if name == "" {
			name = t.names[topic.TopicID]
		}
		if _, watched := t.next[place{topic: name}]; !watched || t.refuses(r, name, now) {
			continue
		}
		for _, p := range topic.Partitions {
			t.batch(name, p)
		}
	}
}

func (t *tap) refuses(r kmsg.Request, topic string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.spells {
		if s.topic != topic {
			continue
		}
		if s.until.IsZero() {
			s.until = now.Add(s.length)
		}
		if now.Before(s.until) {
			t.refused[r] = append(t.refused[r], topic)
			return true
		}
	}
	return false
}

func (t *tap) batch(topic string, p kmsg.ProduceRequestTopicPartition) {
	var head kmsg.RecordBatch
	if err := head.ReadFrom(p.Records); err != nil {
		t.books.mu.Lock()
		t.books.fault("reading a batch for %s: %v", topic, err)
		t.books.mu.Unlock()
		return
	}
	at := place{topic: topic, partition: p.Partition}
	id := batchID{at, head.ProducerID, head.ProducerEpoch, head.FirstSequence}
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: topic, Partition: p.Partition},
		&kmsg.FetchResponseTopicPartition{Partition: p.Partition, RecordBatches: p.Records}, kgo.DefaultDecompressor(), nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.batches[id] {
		return
	}
	t.batches[id] = true
	for _, r := range fetched.Records {
		r.Offset = t.next[at]
		t.next[at]++
		t.records = append(t.records, r)
		h := record.ParseRetryHeaders(r)
		t.books.moved(h.Origin.ID(), place{topic, p.Partition, r.Offset}, topic == t.dead, h.Attempt)
	}
}

// written are the records of the retry topics or of the dead-letter topic.
func (t *tap) written(dead bool) []*kgo.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.records), func(r *kgo.Record) bool { return (r.Topic == t.dead) != dead })
}

// ends are the partitions' ends.
func (t *tap) ends() map[place]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	ends := make(map[place]int64, len(t.next))
	for at, n := range t.next {
		ends[at] = n
	}
	return ends
}
