package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/demo/sample"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/schemas"
)

// mix is the order in which the pipelines get their records, again and again.
var mix = []string{
	purchases, customers, feedback, purchases, activities, purchases, customers, referrals, purchases, customers,
	feedback, purchases, activities, customers, purchases, referrals, feedback, customers, activities, purchases,
}

// tick is how often records are produced.
const tick = 50 * time.Millisecond

// traffic produces the records of a run, and enters each in the ledger when the broker has confirmed it.
type traffic struct {
	client   *kgo.Client
	samples  *sample.Generator
	routes   map[string]string // operation by event
	names    *names
	accounts *accounts
	ledger   *ledger
	rate     int
	acts     []act // bad records to come
	made     int

	mu     sync.Mutex
	failed error // the first record that was not confirmed
}

// run produces until ctx ends, then waits for what the broker has yet to confirm. The error is one that spoils the figures.
func (t *traffic) run(ctx context.Context, start time.Time) error {
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return t.finish(context.WithoutCancel(ctx))
		case <-beat.C:
		}
		if err := t.produce(ctx, time.Since(start)); err != nil {
			return errors.Join(err, t.finish(context.WithoutCancel(ctx)))
		}
	}
}

func (t *traffic) finish(ctx context.Context) error {
	if err := t.client.Flush(ctx); err != nil {
		return fmt.Errorf("waiting for the broker's answers: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// produce makes what is due by now: the script's bad records, and as many good ones as the rate asks for.
func (t *traffic) produce(ctx context.Context, elapsed time.Duration) error {
	for ; len(t.acts) > 0 && t.acts[0].at <= elapsed; t.acts = t.acts[1:] {
		if b := t.acts[0].bad; b != nil {
			if err := t.make(ctx, t.acts[0].name, *b); err != nil {
				return err
			}
		}
	}
	for ; t.made < int(elapsed.Seconds()*float64(t.rate)); t.made++ {
		if err := t.make(ctx, "", bad{pipeline: mix[t.made%len(mix)], kind: sample.Valid}); err != nil {
			return err
		}
	}
	return nil
}

func (t *traffic) make(ctx context.Context, name string, b bad) error {
	s, err := t.samples.GenerateKind(b.pipeline, b.kind)
	if err != nil {
		return fmt.Errorf("making a record for pipeline %s: %w", b.pipeline, err)
	}
	if b.kind == sample.Retryable {
		t.accounts.miss(string(s.Key), b.fate)
	}
	p := produced{pipeline: b.pipeline, fate: b.fate}
	switch b.kind.Cause() {
	case record.CausePoison, record.CauseUnmapped, record.CauseTombstone: // no operation will be found for it
	default:
		p.operation = t.routes[s.Event]
		if p.vendorID, err = t.names.of(s); err != nil {
			return err
		}
	}
	if b.fate == toDie {
		p.class = classOf(name)
	}
	// A record that is on its way is awaited by finish, not given up with ctx.
	t.client.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: s.Topic, Key: s.Key, Value: s.Value}, func(r *kgo.Record, err error) { t.confirm(p, r, err) })
	return nil
}

func (t *traffic) confirm(p produced, r *kgo.Record, err error) {
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.failed = errors.Join(t.failed, fmt.Errorf("producing to topic %s: %w", r.Topic, err))
		return
	}
	p.origin = sink.Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp}
	t.ledger.enter(p)
}

// names finds the name by which a vendor's ledger knows an event. Where there is none, it is the record's origin.
type names struct{ schemas map[string]avro.Schema }

func newNames() (*names, error) {
	n := &names{schemas: map[string]avro.Schema{}}
	for _, s := range schemas.All() {
		schema, err := avro.ParseWithCache(s.JSON, "", &avro.SchemaCache{})
		if err != nil {
			return nil, fmt.Errorf("parsing schema %s: %w", s.File, err)
		}
		n.schemas[s.Name] = schema
	}
	return n, nil
}

const wireHeader = 5 // Confluent's wire format: 0x00 and a 4-byte schema id

func (n *names) of(s sample.Record) (string, error) {
	switch s.Event {
	case "sluice.expoints.FeedbackRequest", "sluice.expoints.FeedbackFinished", "sluice.expoints.FeedbackLock":
		var e struct {
			EventID *string `avro:"event_id"`
		}
		err := n.read(s, &e)
		if err != nil || e.EventID == nil {
			return "", errors.Join(err, fmt.Errorf("naming an event %s: it must have an event_id", s.Event))
		}
		return *e.EventID, nil
	case "sluice.propel.CustomerChange":
		var e struct {
			Source   string  `avro:"source"`
			SourceID string  `avro:"sourceId"`
			DebtorID *string `avro:"debtorId"`
		}
		err := n.read(s, &e)
		if err != nil || e.DebtorID == nil {
			return "", errors.Join(err, fmt.Errorf("naming an event %s: it must have a debtorId", s.Event))
		}
		return versionID(e.Source+"/"+e.SourceID, *e.DebtorID), nil
	default:
		return "", nil
	}
}

func (n *names) read(s sample.Record, into any) error {
	if err := avro.Unmarshal(n.schemas[s.Event], s.Value[wireHeader:], into); err != nil {
		return fmt.Errorf("reading an event %s: %w", s.Event, err)
	}
	return nil
}

// versionID tells the versions of one item apart.
func versionID(id, version string) string {
	if version == "" {
		return id
	}
	return id + "@" + version
}
