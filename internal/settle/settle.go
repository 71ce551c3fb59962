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
	"sluice/internal/wake"
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
	flushed  wake.Broadcast
}

// The first and the longest wait between two writes of a record, before jitter.
const (
	firstWait   = 250 * time.Millisecond
	longestWait = 5 * time.Second
)

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

// Flush says that an assignment is ending: what waits to be written again looks at its record's Draining.
func (s *Settler) Flush() { s.flushed.Send() }

// leave writes records to their retry or dead-letter topic until each is confirmed. All are written at once; those that fail are written again
// after a wait, unless their assignment is ending: then the next owner reads them again.
func (s *Settler) leave(ctx context.Context, outcomes []record.Outcome, counts map[counted]int) error {
	for wait := firstWait; len(outcomes) > 0; wait = min(2*wait, longestWait) {
		flushed := s.flushed.Wait()
		outcomes = s.keepLive(ctx, s.tryLeave(outcomes, counts))
		if len(outcomes) > 0 {
			pause(ctx, flushed, wait/2+rand.N(wait))
			outcomes = s.keepLive(ctx, outcomes)
		}
	}
	return ctx.Err()
}

// tryLeave writes records once, and gives those that failed.
func (s *Settler) tryLeave(outcomes []record.Outcome, counts map[counted]int) []record.Outcome {
	errs := s.write(outcomes)
	s.note(outcomes, errs)
	var failed []record.Outcome
	for i, err := range errs {
		if err == nil {
			s.finish(outcomes[i], counts)
			continue
		}
		failed = append(failed, outcomes[i])
	}
	return failed
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
	}
	return errs
}

// note counts what failed, and logs it in one line for each topic, however many records it is.
func (s *Settler) note(outcomes []record.Outcome, errs []error) {
	records := map[string]int{}
	first := map[string]int{}
	for i, err := range errs {
		if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
			continue
		}
		topic, _ := s.topic(outcomes[i])
		s.obs.ProduceFailed(topic)
		if records[topic]++; records[topic] == 1 {
			first[topic] = i
		}
	}
	for topic, i := range first {
		s.log.Warn("writing to a retry or dead-letter topic failed; the records' offsets wait", zap.String("topic", topic),
			zap.Int("records", records[topic]), zap.String("first_origin", outcomes[i].Record.Origin.ID()), zap.Error(errs[i]))
	}
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

func pause(ctx context.Context, flushed <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-flushed:
	case <-ctx.Done():
	}
}
