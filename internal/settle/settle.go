// Package settle turns outcomes into their effect in Kafka. A delivered or skipped record is
// settled at once. A record that goes to a retry or dead-letter topic is settled once all in-sync
// replicas have acknowledged it. If producing it fails, it is produced again, and its offset is not
// committed meanwhile.
package settle

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/record"
)

// Config names the topics that records are produced to.
type Config struct {
	// ConnectorName is "<name>.<pipeline>". Dead letters carry it as Kafka Connect's connector
	// name.
	ConnectorName string
	// RetryTopics maps each retry delay to its retry topic.
	RetryTopics map[time.Duration]string
	// DeadLetterTopic is the dead-letter topic.
	DeadLetterTopic string
}

// Settler settles the outcomes of one pipeline. It is safe for concurrent use and starts no
// goroutine.
type Settler struct {
	cfg      Config
	producer *kgo.Client
	obs      *observe.Pipeline
	topics   *unwritableTopics
	draining notify.Broadcaster
}

// NewSettler returns a settler that produces with producer, which must partition manually and wait
// for all in-sync replicas.
func NewSettler(cfg Config, producer *kgo.Client, obs *observe.Pipeline, log *zap.Logger) *Settler {
	return &Settler{cfg: cfg, producer: producer, obs: obs, topics: newUnwritableTopics(obs, log)}
}

// Settle returns once every outcome's record is settled or released. A record is released if its
// assignment has ended, or if producing it failed and its assignment is ending or ctx has ended.
// The error is ctx.Err().
func (s *Settler) Settle(ctx context.Context, outcomes []record.Outcome) error {
	var toProduce []record.Outcome
	counts := settledCounts{}
	for _, outcome := range outcomes {
		switch {
		case outcome.Record.Fenced():
			s.releaseRecord(outcome.Record)
		case outcome.Disposition == record.DispositionDelivered || outcome.Disposition == record.DispositionSkipped:
			s.settleRecord(outcome, counts)
		default:
			toProduce = append(toProduce, outcome)
		}
	}
	if len(toProduce) > 0 {
		s.produceAll(ctx, toProduce, counts)
	}
	for key, n := range counts {
		s.obs.RecordsSettled(key.operation, key.disposition, key.cause, n)
	}
	return ctx.Err()
}

// NotifyDraining makes calls of Settle that are waiting check whether assignments of their records
// are ending.
func (s *Settler) NotifyDraining() { s.draining.Notify() }

// settledCounts adds up settled records, so that one Settle updates each metric once.
type settledCounts map[settledKey]int

type settledKey struct {
	operation   string
	disposition record.Disposition
	cause       record.Cause
}

func (s *Settler) settleRecord(outcome record.Outcome, counts settledCounts) {
	if outcome.Disposition == record.DispositionDelivered {
		s.obs.DeliveryDelay(outcome.OperationName, time.Since(outcome.Record.Origin.Timestamp))
	}
	counts[settledKey{outcome.OperationName, outcome.Disposition, outcome.Cause}]++
	outcome.Record.Settle()
}

func (s *Settler) releaseRecord(rec *record.Record) {
	rec.Release()
	s.obs.RecordsReleased(1)
}

// topicFor returns the retry or dead-letter topic that the outcome's record is produced to.
func (s *Settler) topicFor(outcome record.Outcome) (string, error) {
	if outcome.Disposition == record.DispositionDead {
		return s.cfg.DeadLetterTopic, nil
	}
	topic, ok := s.cfg.RetryTopics[outcome.Delay]
	if !ok {
		return "", fmt.Errorf("no retry tier has the delay %s", outcome.Delay)
	}
	return topic, nil
}

// outgoingRecord returns the record to produce: key, value and original headers byte for byte, the
// same partition number, and now as its timestamp.
func (s *Settler) outgoingRecord(outcome record.Outcome, now time.Time) (*kgo.Record, error) {
	topic, err := s.topicFor(outcome)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{
		Topic: topic, Partition: outcome.Record.Raw.Partition, Timestamp: now,
		Key: outcome.Record.Raw.Key, Value: outcome.Record.Raw.Value, Headers: s.outgoingHeaders(outcome, now),
	}, nil
}
