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

// pipelineMix is the order in which the pipelines get their records, again and again.
var pipelineMix = []string{
	purchases, customers, feedback, purchases, activities, purchases, customers, referrals, purchases, customers,
	feedback, purchases, activities, customers, purchases, referrals, feedback, customers, activities, purchases,
}

// produceInterval is how often records are produced.
const produceInterval = 50 * time.Millisecond

// traffic produces the records of a run, and enters each in the ledger when the broker has confirmed it.
type traffic struct {
	client        *kgo.Client
	samples       *sample.Generator
	operations    map[string]string // operation by event
	vendorIDs     *vendorIDs
	accounts      *missingAccounts
	ledger        *ledger
	rate          int
	events        []scriptEvent // bad records to come
	producedCount int

	mu     sync.Mutex
	failed error // the first record that was not confirmed
}

// produceUntilDone produces until ctx ends, then waits for what the broker has yet to confirm. The error is one that spoils the figures.
func (t *traffic) produceUntilDone(ctx context.Context, start time.Time) error {
	beat := time.NewTicker(produceInterval)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return t.flushRecords(context.WithoutCancel(ctx))
		case <-beat.C:
		}
		if err := t.produceDue(ctx, time.Since(start)); err != nil {
			return errors.Join(err, t.flushRecords(context.WithoutCancel(ctx)))
		}
	}
}

func (t *traffic) flushRecords(ctx context.Context) error {
	if err := t.client.Flush(ctx); err != nil {
		return fmt.Errorf("waiting for the broker's answers: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// produceDue makes what is due by now: the script's bad records, and as many good ones as the rate asks for.
func (t *traffic) produceDue(ctx context.Context, elapsed time.Duration) error {
	for ; len(t.events) > 0 && t.events[0].startsAt <= elapsed; t.events = t.events[1:] {
		if bad := t.events[0].record; bad != nil {
			if err := t.produceRecord(ctx, t.events[0].name, *bad); err != nil {
				return err
			}
		}
	}
	for ; t.producedCount < int(elapsed.Seconds()*float64(t.rate)); t.producedCount++ {
		if err := t.produceRecord(ctx, "", badRecord{
			pipeline: pipelineMix[t.producedCount%len(pipelineMix)], kind: sample.Valid,
		}); err != nil {
			return err
		}
	}
	return nil
}

func (t *traffic) produceRecord(ctx context.Context, name string, bad badRecord) error {
	generated, err := t.samples.GenerateKind(bad.pipeline, bad.kind)
	if err != nil {
		return fmt.Errorf("making a record for pipeline %s: %w", bad.pipeline, err)
	}
	if bad.kind == sample.Retryable {
		t.accounts.addAccount(string(generated.Key), bad.expected)
	}
	entry := producedRecord{pipeline: bad.pipeline, expected: bad.expected}
	switch bad.kind.Cause() {
	case record.CausePoison, record.CauseUnmapped, record.CauseTombstone: // no operation will be found for it
	default:
		entry.operation = t.operations[generated.Event]
		if entry.vendorID, err = t.vendorIDs.vendorID(generated); err != nil {
			return err
		}
	}
	if bad.expected == expectDead {
		entry.class = classOf(name)
	}
	// A record that is on its way is awaited by finish, not given up with ctx.
	t.client.Produce(
		context.WithoutCancel(ctx), &kgo.Record{Topic: generated.Topic, Key: generated.Key, Value: generated.Value},
		func(kafkaRecord *kgo.Record, err error) { t.recordConfirmed(entry, kafkaRecord, err) },
	)
	return nil
}

func (t *traffic) recordConfirmed(record producedRecord, kafkaRecord *kgo.Record, err error) {
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.failed = errors.Join(t.failed, fmt.Errorf("producing to topic %s: %w", kafkaRecord.Topic, err))
		return
	}
	record.origin = sink.Origin{
		Topic: kafkaRecord.Topic, Partition: kafkaRecord.Partition, Offset: kafkaRecord.Offset,
		Timestamp: kafkaRecord.Timestamp,
	}
	t.ledger.recordProduced(record)
}

// vendorIDs finds the name by which a vendor's ledger knows an event. Where there is none, it is the record's origin.
type vendorIDs struct{ schemas map[string]avro.Schema }

func newVendorIDs() (*vendorIDs, error) {
	ids := &vendorIDs{schemas: map[string]avro.Schema{}}
	for _, s := range schemas.All() {
		schema, err := avro.ParseWithCache(s.JSON, "", &avro.SchemaCache{})
		if err != nil {
			return nil, fmt.Errorf("parsing schema %s: %w", s.File, err)
		}
		ids.schemas[s.Name] = schema
	}
	return ids, nil
}

const wireHeader = 5 // Confluent's wire format: 0x00 and a 4-byte schema id

func (n *vendorIDs) vendorID(generated sample.Record) (string, error) {
	switch generated.Event {
	case "sluice.expoints.FeedbackRequest", "sluice.expoints.FeedbackFinished", "sluice.expoints.FeedbackLock":
		var e struct {
			EventID *string `avro:"event_id"`
		}
		err := n.decodeEvent(generated, &e)
		if err != nil || e.EventID == nil {
			return "", errors.Join(err, fmt.Errorf("naming an event %s: it must have an event_id", generated.Event))
		}
		return *e.EventID, nil
	case "sluice.propel.CustomerChange":
		var e struct {
			Source   string  `avro:"source"`
			SourceID string  `avro:"sourceId"`
			DebtorID *string `avro:"debtorId"`
		}
		err := n.decodeEvent(generated, &e)
		if err != nil || e.DebtorID == nil {
			return "", errors.Join(err, fmt.Errorf("naming an event %s: it must have a debtorId", generated.Event))
		}
		return versionID(e.Source+"/"+e.SourceID, *e.DebtorID), nil
	default:
		return "", nil
	}
}

func (n *vendorIDs) decodeEvent(generated sample.Record, into any) error {
	if err := avro.Unmarshal(n.schemas[generated.Event], generated.Value[wireHeader:], into); err != nil {
		return fmt.Errorf("reading an event %s: %w", generated.Event, err)
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
