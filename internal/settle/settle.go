// Package settle turns outcomes into their effect in Kafka: a delivered or skipped record is done; one that leaves for a retry or dead-letter topic
// is done once all in-sync replicas have it there. While that write fails, it is tried again and the record's offset waits.
package settle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/record"
)

// Config says where records leave to.
type Config struct {
	// ConnectorName is the name that dead letters give as the connector's: "<name>.<pipeline>".
	ConnectorName string
	// RetryTopics names the retry topic of each delay.
	RetryTopics map[time.Duration]string
	// DeadLetterTopic names the dead-letter topic.
	DeadLetterTopic string
}

// Settler settles the outcomes of one pipeline. Safe for concurrent use; it starts no goroutine.
type Settler struct {
	cfg      Config
	producer *kgo.Client
	obs      *observe.Pipeline
	log      *zap.Logger
	flushed  notify.Broadcaster

	mu      sync.Mutex
	waiting int // callers of Settle whose writes are not taken for now; guarded by mu
}

// NewSettler makes a settler that writes through producer, which must partition manually and wait for all in-sync replicas.
func NewSettler(cfg Config, producer *kgo.Client, obs *observe.Pipeline, log *zap.Logger) *Settler {
	return &Settler{cfg: cfg, producer: producer, obs: obs, log: log}
}

// Settle returns when each outcome's record is done, or dropped because its assignment ended before it could be. The error is ctx's.
func (s *Settler) Settle(ctx context.Context, outcomes []record.Outcome) error {
	var leaving []record.Outcome
	counts := map[counted]int{}
	for _, o := range outcomes {
		switch {
		case o.Record.Fenced():
			o.Record.Release()
			s.obs.RecordsReleased(1)
		case o.Disposition == record.DispositionDelivered || o.Disposition == record.DispositionSkipped:
			s.finish(o, counts)
		default:
			leaving = append(leaving, o)
		}
	}
	if len(leaving) > 0 {
		s.leave(ctx, leaving, counts)
	}
	for c, n := range counts {
		s.obs.RecordsSettled(c.operation, c.kind, c.cause, n)
	}
	return ctx.Err()
}

type counted struct {
	operation string
	kind      record.Disposition
	cause     record.Cause
}

func (s *Settler) finish(o record.Outcome, counts map[counted]int) {
	if o.Disposition == record.DispositionDelivered {
		s.obs.DeliveryDelay(o.OperationName, time.Since(o.Record.Origin.Timestamp))
	}
	counts[counted{o.OperationName, o.Disposition, o.Cause}]++
	o.Record.Settle()
}

// NotifyDraining says that an assignment is ending: what waits to be written again looks at its record's Draining.
func (s *Settler) NotifyDraining() { s.flushed.Notify() }

func (s *Settler) topic(o record.Outcome) (string, error) {
	if o.Disposition == record.DispositionDead {
		return s.cfg.DeadLetterTopic, nil
	}
	topic, ok := s.cfg.RetryTopics[o.Delay]
	if !ok {
		return "", fmt.Errorf("there is no retry tier of %s", o.Delay)
	}
	return topic, nil
}

// leaving is the record as it leaves: key, value and the original headers byte for byte, its own partition number, and the time of writing.
func (s *Settler) leaving(o record.Outcome, now time.Time) (*kgo.Record, error) {
	topic, err := s.topic(o)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{
		Topic: topic, Partition: o.Record.Raw.Partition, Timestamp: now,
		Key: o.Record.Raw.Key, Value: o.Record.Raw.Value, Headers: s.headers(o, now),
	}, nil
}
