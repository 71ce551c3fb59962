package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/demo/sample"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/schemas"
)

// pipelineMix is the order in which the pipelines receive records, repeated indefinitely.
var pipelineMix = []string{
	purchases, customers, feedback, purchases, activities, purchases, customers, referrals, purchases, customers,
	feedback, purchases, activities, customers, purchases, referrals, feedback, customers, activities, purchases,
}

// produceInterval is the time between two bursts of records.
const produceInterval = 50 * time.Millisecond

// traffic produces the records of a run and adds each to the ledger once the broker has confirmed
// it.
type traffic struct {
	client        *kgo.Client
	samples       *sample.Generator
	operations    map[string]string // by event
	vendorIDs     *vendorIDs
	accounts      *missingAccounts
	ledger        *ledger
	rate          int
	events        []scriptEvent // scripted events that are yet to come
	producedCount int

	mu     sync.Mutex
	failed error // errors of records that were not confirmed
}

// produceUntilDone produces until ctx ends, then waits until the broker has confirmed everything.
// After an error the ledger is not complete.
func (t *traffic) produceUntilDone(ctx context.Context, start time.Time) error {
	ticker := time.NewTicker(produceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return t.flushRecords(context.WithoutCancel(ctx))
		case <-ticker.C:
		}
		if err := t.produceDue(ctx, time.Since(start)); err != nil {
			return errors.Join(err, t.flushRecords(context.WithoutCancel(ctx)))
		}
	}
}

func (t *traffic) flushRecords(ctx context.Context) error {
	if err := t.client.Flush(ctx); err != nil {
		return fmt.Errorf("flushing produced records: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// produceDue produces what is due by now: the script's bad records, and valid ones at the given
// rate.
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
		return fmt.Errorf("generating a record for pipeline %s: %w", bad.pipeline, err)
	}
	if bad.kind == sample.Retryable {
		t.accounts.addAccount(string(generated.Key), bad.expected)
	}
	entry := producedRecord{pipeline: bad.pipeline, expected: bad.expected}
	if !slices.Contains(causesWithoutOperation, bad.kind.Cause()) {
		entry.operation = t.operations[generated.Event]
		if entry.vendorID, err = t.vendorIDs.vendorID(generated); err != nil {
			return err
		}
	}
	if bad.expected == expectDead {
		entry.class = classOf(name)
	}
	// flushRecords waits for records in flight, so they must not be abandoned when ctx ends.
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

// vendorIDs finds the id under which an event is in a vendor's ledger, if that is not the record's
// origin.
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

// causesWithoutOperation are the causes of records that no operation handles.
var causesWithoutOperation = []record.Cause{record.CausePoison, record.CauseUnmapped, record.CauseTombstone}

const wireHeader = 5 // Confluent's wire format: 0x00 and a 4-byte schema id

func (v *vendorIDs) vendorID(generated sample.Record) (string, error) {
	switch generated.Event {
	case "sluice.expoints.FeedbackRequest", "sluice.expoints.FeedbackFinished", "sluice.expoints.FeedbackLock":
		var e struct {
			EventID *string `avro:"event_id"`
		}
		err := v.decodeEvent(generated, &e)
		if err != nil || e.EventID == nil {
			return "", errors.Join(
				err, fmt.Errorf("finding the vendor id of an event %s: it has no event_id", generated.Event),
			)
		}
		return *e.EventID, nil
	case "sluice.propel.CustomerChange":
		var e struct {
			Source   string  `avro:"source"`
			SourceID string  `avro:"sourceId"`
			DebtorID *string `avro:"debtorId"`
		}
		err := v.decodeEvent(generated, &e)
		if err != nil || e.DebtorID == nil {
			return "", errors.Join(
				err, fmt.Errorf("finding the vendor id of an event %s: it has no debtorId", generated.Event),
			)
		}
		return versionID(e.Source+"/"+e.SourceID, *e.DebtorID), nil
	default:
		return "", nil
	}
}

func (v *vendorIDs) decodeEvent(generated sample.Record, into any) error {
	if err := avro.Unmarshal(v.schemas[generated.Event], generated.Value[wireHeader:], into); err != nil {
		return fmt.Errorf("decoding an event %s: %w", generated.Event, err)
	}
	return nil
}

// versionID combines id and version, so that versions of the same item are distinct.
func versionID(id, version string) string {
	if version == "" {
		return id
	}
	return id + "@" + version
}
