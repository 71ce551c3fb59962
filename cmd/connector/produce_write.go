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

// produceTally counts acknowledged records by topic and kind. The Kafka client reports to it while
// more records are produced.
type produceTally struct {
	mu      sync.Mutex // guards the other fields
	written map[string]int
	failed  error // the first failure
}

func (t *produceTally) recordAck(kind sample.Kind, r *kgo.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.written[r.Topic+" "+string(kind)]++
	case t.failed != nil:
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		t.failed = fmt.Errorf("writing to topic %s: it does not exist: create it, or run connector topics apply --sources 6 -c FILE", r.Topic)
	default:
		t.failed = fmt.Errorf("writing to topic %s: %w", r.Topic, err)
	}
}

func (t *produceTally) firstError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// writeSamples generates the planned samples and produces them at the configured rate. It returns
// how many were acknowledged, by topic and kind.
func (p produceOptions) writeSamples(ctx context.Context, client *kgo.Client, samples *sample.Generator, plan []sampleOrder) (map[string]int, error) {
	limit := rate.Inf
	if p.rate > 0 {
		limit = rate.Limit(p.rate)
	}
	limiter := rate.NewLimiter(limit, 1)
	t := &produceTally{written: map[string]int{}}
	var stopped error
	for _, o := range plan {
		var s sample.Record
		if stopped = limiter.Wait(ctx); stopped != nil || t.firstError() != nil {
			break
		}
		if s, stopped = samples.GenerateKind(o.pipeline, o.kind); stopped != nil {
			break
		}
		client.Produce(ctx, &kgo.Record{Topic: s.Topic, Key: s.Key, Value: s.Value}, func(r *kgo.Record, err error) { t.recordAck(o.kind, r, err) })
	}
	if err := client.Flush(ctx); err != nil && stopped == nil {
		stopped = err
	}
	client.Close() // waits for the last acknowledgements
	switch {
	case t.failed != nil:
		return t.written, t.failed
	case stopped != nil:
		return t.written, fmt.Errorf("stopped before all samples were written: %w", stopped)
	}
	return t.written, nil
}
