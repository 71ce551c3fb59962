package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/demo/sample"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// scriptedMix is the order in which the pipelines of the script receive records.
var scriptedMix = []string{
	purchases, customers, feedback, purchases, activities, purchases, customers, referrals, purchases, customers,
	feedback, purchases, activities, customers, purchases, referrals, feedback, customers, activities, purchases,
}

// newPipelineMix returns the order in which pipelines receive records, repeated indefinitely. One
// that is not in scriptedMix is at the end.
func newPipelineMix(pipelines []string) []string {
	mix := slices.Clone(scriptedMix)
	for _, name := range pipelines {
		if !slices.Contains(mix, name) {
			mix = append(mix, name)
		}
	}
	return mix
}

// produceInterval is the time between two bursts of records.
const produceInterval = 50 * time.Millisecond

// traffic produces the records of a run and adds each to the ledger once the broker has confirmed
// it.
type traffic struct {
	client        *kgo.Client
	samples       *sample.Generator
	operations    map[string]string // by event
	accounts      *missingAccounts
	ledger        *ledger
	mix           []string // see newPipelineMix
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
			pipeline: t.mix[t.producedCount%len(t.mix)], kind: sample.Valid,
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
		entry.vendorID = versionID(generated.ItemID, generated.ItemVersion)
	}
	if bad.expected == expectDead {
		entry.category = categoryOf(name)
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

// causesWithoutOperation are the causes of records that no operation handles.
var causesWithoutOperation = []record.Cause{record.CausePoison, record.CauseUnmapped, record.CauseTombstone}

// versionID combines id and version, so that versions of the same item are distinct.
func versionID(id, version string) string {
	if version == "" {
		return id
	}
	return id + "@" + version
}
