package settle

import (
	"sync"

	"go.uber.org/zap"

	"sluice/internal/observe"
)

// unwritableTopics tracks the retry and dead-letter topics that do not accept records, for all
// produce batches of a settler. While a produce batch waits for one of them, the pipeline has the
// hold "unwritable". It is safe for concurrent use.
type unwritableTopics struct {
	obs *observe.Pipeline
	log *zap.Logger

	mu      sync.Mutex
	byTopic map[string]*unwritableTopic
	waiting int // batches that have reported a topic and have not ended, counted once per topic
}

// unwritableTopic exists from the first failure until the topic has accepted a record and no batch
// waits for it.
type unwritableTopic struct {
	condition *observe.Condition
	waiting   int // batches
}

func newUnwritableTopics(obs *observe.Pipeline, log *zap.Logger) *unwritableTopics {
	return &unwritableTopics{obs: obs, log: log, byTopic: map[string]*unwritableTopic{}}
}

// reportFailures counts the failed records of one topic. It logs the first failures of a topic, and
// later ones only if the error has changed. firstOfBatch means that the batch has not reported this
// topic before.
func (u *unwritableTopics) reportFailures(topic string, failures []produceFailure, firstOfBatch bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	unwritable := u.byTopic[topic]
	if unwritable == nil {
		unwritable = &unwritableTopic{condition: observe.NewCondition(u.log,
			"producing to a retry or dead-letter topic failed, retrying",
			"retry or dead-letter topic accepts records again", topicField(topic))}
		u.byTopic[topic] = unwritable
	}
	if firstOfBatch {
		unwritable.waiting++
		u.waiting++
		u.obs.SetWriteHold(observe.HoldUnwritable)
	}
	first := failures[0]
	for _, failure := range failures {
		u.obs.ProduceFailed(topic)
		if failure.outcome.Record.Origin.Offset < first.outcome.Record.Origin.Offset {
			first = failure
		}
	}
	unwritable.condition.BeginRepeated(first.err, len(failures), zap.Int("records", len(failures)),
		zap.String("first_origin", first.outcome.Record.Origin.ID()))
}

// endBatch ends the wait of a produce batch. reported has the topics that it reported as
// unwritable, confirmed those that accepted at least one of its records; a topic may be in both.
// Only a topic that has accepted a record has recovered: a batch also ends when its records are
// released.
func (u *unwritableTopics) endBatch(reported, confirmed map[string]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for topic := range reported {
		u.byTopic[topic].waiting--
		if u.waiting--; u.waiting == 0 {
			u.obs.SetWriteHold("")
		}
	}
	for topic := range confirmed {
		unwritable := u.byTopic[topic]
		if unwritable == nil || unwritable.waiting > 0 {
			continue
		}
		unwritable.condition.End()
		delete(u.byTopic, topic)
	}
}

// topicField returns no field for an empty topic, which a record has whose delay has no retry tier.
func topicField(topic string) zap.Field {
	if topic == "" {
		return zap.Skip()
	}
	return zap.String("topic", topic)
}
