package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"sluice/internal/demo/sample"
)

// tally counts what a topic has taken. The Kafka client calls it back while more is written.
type tally struct {
	mu      sync.Mutex // covers both
	written map[string]int
	failed  error // the first
}

func (t *tally) add(kind sample.Kind, r *kgo.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.written[r.Topic+" "+string(kind)]++
	case t.failed != nil:
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		t.failed = fmt.Errorf("writing to topic %s: it does not exist: make it, or run connector topics apply --sources 6 -c FILE", r.Topic)
	default:
		t.failed = fmt.Errorf("writing to topic %s: %w", r.Topic, err)
	}
}

func (t *tally) error() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// write makes the samples of a plan and writes them at the rate. It gives what was confirmed, by topic and kind.
func (p production) write(ctx context.Context, client *kgo.Client, samples *sample.Generator, plan []order) (map[string]int, error) {
	limit := rate.Inf
	if p.rate > 0 {
		limit = rate.Limit(p.rate)
	}
	pace := rate.NewLimiter(limit, 1)
	t := &tally{written: map[string]int{}}
	var stopped error
	for _, o := range plan {
		var s sample.Record
		if stopped = pace.Wait(ctx); stopped != nil || t.error() != nil {
			break
		}
		if s, stopped = samples.GenerateKind(o.pipeline, o.kind); stopped != nil {
			break
		}
		client.Produce(ctx, &kgo.Record{Topic: s.Topic, Key: s.Key, Value: s.Value}, func(r *kgo.Record, err error) { t.add(o.kind, r, err) })
	}
	if err := client.Flush(ctx); err != nil && stopped == nil {
		stopped = err
	}
	client.Close() // no more callbacks after this
	switch {
	case t.failed != nil:
		return t.written, t.failed
	case stopped != nil:
		return t.written, fmt.Errorf("stopped before all was written: %w", stopped)
	}
	return t.written, nil
}
