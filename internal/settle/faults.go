package settle

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"sluice/internal/observe"
)

// topicFaults keeps the retry and dead-letter topics that do not accept records, for all batches of
// a settler. While a batch waits for one of them, the pipeline states the hold "unwritable". It is
// safe for concurrent use.
type topicFaults struct {
	obs *observe.Pipeline
	log *zap.Logger

	mu      sync.Mutex
	byTopic map[string]*topicFault
	waiting int // batches that have reported a topic and have not ended
}

// topicFault lasts from the first failure until a topic has accepted a record and no batch waits
// for it any more.
type topicFault struct {
	since    time.Time
	failures int
	waiting  int // batches
}

func newTopicFaults(obs *observe.Pipeline, log *zap.Logger) *topicFaults {
	return &topicFaults{obs: obs, log: log, byTopic: map[string]*topicFault{}}
}

// reportFailures counts failed records of one topic and logs them in one line, however many they
// are. firstOfBatch says that the batch has not reported this topic before.
func (f *topicFaults) reportFailures(topic string, failures []produceFailure, firstOfBatch bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.byTopic[topic]
	if fault == nil {
		fault = &topicFault{since: time.Now()}
		f.byTopic[topic] = fault
	}
	fault.failures += len(failures)
	if firstOfBatch {
		fault.waiting++
		f.waiting++
		f.obs.SetWriteHold(observe.HoldUnwritable)
	}
	first := failures[0]
	for _, failure := range failures {
		f.obs.ProduceFailed(topic)
		if failure.outcome.Record.Origin.Offset < first.outcome.Record.Origin.Offset {
			first = failure
		}
	}
	f.log.Warn("produce to retry or dead-letter topic failed, retrying", topicField(topic),
		zap.Int("records", len(failures)), zap.String("first_origin", first.outcome.Record.Origin.ID()),
		zap.Error(first.err))
}

// endBatch ends the wait of a batch that has reported some topics and produced to others. A topic
// has recovered only when it accepted a record: a batch also ends when its records are released.
func (f *topicFaults) endBatch(reported, confirmed map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for topic := range reported {
		f.byTopic[topic].waiting--
		if f.waiting--; f.waiting == 0 {
			f.obs.SetWriteHold("")
		}
	}
	for topic := range confirmed {
		fault := f.byTopic[topic]
		if fault == nil || fault.waiting > 0 {
			continue
		}
		f.log.Info("produce to retry or dead-letter topic recovered", zap.String("topic", topic),
			zap.Int("failures", fault.failures), zap.Duration("lasted", time.Since(fault.since)))
		delete(f.byTopic, topic)
	}
}

// topicField is left out for a record whose delay has no retry tier.
func topicField(topic string) zap.Field {
	if topic == "" {
		return zap.Skip()
	}
	return zap.String("topic", topic)
}
