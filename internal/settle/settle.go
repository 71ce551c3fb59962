// Package settle turns outcomes into their effect in Kafka: a delivered or skipped record is done; one that leaves for a retry or dead-letter topic
// is done once all in-sync replicas have it there. While that write fails, it is tried again and the record's offset waits.
package settle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/record"
)

// Config says where records leave to.
type Config struct {
	// Connector is the name that dead letters give as the connector's: "<name>.<pipeline>".
	Connector string
	// Retry names the retry topic of each delay.
	Retry map[time.Duration]string
	// DeadLetter names the dead-letter topic.
	DeadLetter string
}

// Settler settles the outcomes of one pipeline. Safe for concurrent use; it starts no goroutine.
type Settler struct {
	cfg      Config
	producer *kgo.Client
	obs      *observe.Pipeline
	log      *zap.Logger
}

// New makes a settler that writes through producer, which must partition manually and wait for all in-sync replicas.
func New(cfg Config, producer *kgo.Client, obs *observe.Pipeline, log *zap.Logger) *Settler {
	return &Settler{cfg: cfg, producer: producer, obs: obs, log: log}
}

// Settle returns when each outcome's record is done, or dropped because its assignment ended before it could be. The error is ctx's.
func (s *Settler) Settle(ctx context.Context, outcomes []record.Outcome) error {
	var leaving []record.Outcome
	counts := map[counted]int{}
	for _, o := range outcomes {
		switch {
		case o.Record.Fenced():
			o.Record.Drop()
			s.obs.Dropped(1)
		case o.Kind == record.Delivered || o.Kind == record.Skipped:
			s.finish(o, counts)
		default:
			leaving = append(leaving, o)
		}
	}
	err := s.leave(ctx, leaving, counts)
	for c, n := range counts {
		s.obs.Outcome(c.operation, c.kind.String(), string(c.cause), n)
	}
	return err
}

type counted struct {
	operation string
	kind      record.Kind
	cause     record.Cause
}

func (s *Settler) finish(o record.Outcome, counts map[counted]int) {
	if o.Kind == record.Delivered {
		s.obs.Delay(o.Operation, time.Since(o.Record.Origin.Timestamp))
	}
	counts[counted{o.Operation, o.Kind, o.Cause}]++
	o.Record.Done()
}

// leave writes records to their retry or dead-letter topic until each is confirmed. All are written at once; those that fail are written again
// after a wait, unless their assignment is ending: then the next owner reads them again.
func (s *Settler) leave(ctx context.Context, outcomes []record.Outcome, counts map[counted]int) error {
	for wait := 250 * time.Millisecond; len(outcomes) > 0; wait = min(2*wait, 5*time.Second) {
		var failed []record.Outcome
		for i, err := range s.write(outcomes) {
			if err == nil {
				s.finish(outcomes[i], counts)
				continue
			}
			failed = append(failed, outcomes[i])
		}
		outcomes = s.keepLive(ctx, failed)
		if len(outcomes) > 0 && !sleep(ctx, outcomes[0].Record.Life, time.Duration(rand.Int64N(int64(wait)))+wait/2) {
			outcomes = s.keepLive(ctx, outcomes)
		}
	}
	return ctx.Err()
}

// keepLive drops the records that nobody waits for any more.
func (s *Settler) keepLive(ctx context.Context, outcomes []record.Outcome) []record.Outcome {
	var live []record.Outcome
	for _, o := range outcomes {
		if _, draining := o.Record.Draining(); draining || ctx.Err() != nil {
			o.Record.Drop()
			s.obs.Dropped(1)
			continue
		}
		live = append(live, o)
	}
	return live
}

// write produces all records and gives an error for each, nil where it is confirmed.
func (s *Settler) write(outcomes []record.Outcome) []error {
	type answer struct {
		i   int
		err error
	}
	answers := make(chan answer, len(outcomes))
	now := time.Now()
	for i, o := range outcomes {
		r, err := s.leaving(o, now)
		if err != nil {
			answers <- answer{i, err}
			continue
		}
		s.producer.Produce(o.Record.Life, r, func(_ *kgo.Record, err error) { answers <- answer{i, err} })
	}
	errs := make([]error, len(outcomes))
	for range outcomes {
		a := <-answers
		errs[a.i] = a.err
		s.note(outcomes[a.i], a.err)
	}
	return errs
}

func (s *Settler) note(o record.Outcome, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	topic, _ := s.topic(o)
	s.obs.ProduceFailed(topic)
	s.log.Warn("writing a record to its retry or dead-letter topic failed; its offset waits", zap.String("topic", topic),
		zap.String("origin", o.Record.Origin.ID()), zap.Error(err))
}

func (s *Settler) topic(o record.Outcome) (string, error) {
	if o.Kind == record.Dead {
		return s.cfg.DeadLetter, nil
	}
	topic, ok := s.cfg.Retry[o.Delay]
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

// sleep waits, and tells whether it could wait to the end of it.
func sleep(ctx, life context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-life.Done():
		return false
	}
}
