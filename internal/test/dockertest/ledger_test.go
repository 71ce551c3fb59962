//go:build docker

package dockertest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/config"
	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
	"sluice/schemas"
)

// producedRecord is a record that the broker has acknowledged, with its expected outcome.
type producedRecord struct {
	pipeline    string
	disposition record.Disposition
	cause       record.Cause // of a dead letter
	payload     string
	vendorID    string // identifies it in the vendor's ledger; empty if its origin does
}

// producedLedger has the records produced, by origin. It is safe for concurrent use.
type producedLedger struct {
	operations       []string          // full names
	operationByEvent map[string]string // by full event name
	schemaByEvent    map[string]avro.Schema

	mu       sync.Mutex
	records  map[string]producedRecord
	expected map[record.Disposition]int
}

func newProducedLedger(t *testing.T, cfg *config.Config) *producedLedger {
	t.Helper()
	l := &producedLedger{
		operationByEvent: map[string]string{}, schemaByEvent: map[string]avro.Schema{},
		records: map[string]producedRecord{}, expected: map[record.Disposition]int{},
	}
	for _, p := range cfg.Pipelines {
		for _, r := range p.Routes {
			l.operations = append(l.operations, r.OperationName())
			l.operationByEvent[r.Event] = r.OperationName()
		}
	}
	for _, s := range schemas.All() {
		schema, err := avro.ParseWithCache(s.JSON, "", &avro.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		l.schemaByEvent[s.Name] = schema
	}
	return l
}

// payloadOf returns a string that is equal for records with the same key and value.
func payloadOf(key, value []byte) string {
	return fmt.Sprintf("%x %t", sha256.Sum256(fmt.Appendf(nil, "%q %q", key, value)), value == nil)
}

func (l *producedLedger) addRecord(origin string, produced producedRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records[origin] = produced
	l.expected[produced.disposition]++
}

// expectedCount returns how many records are expected to have the disposition.
func (l *producedLedger) expectedCount(disposition record.Disposition) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expected[disposition]
}

// vendorIDOf returns what identifies the event in the vendor's ledger, or "" if its origin does.
func (l *producedLedger) vendorIDOf(t *testing.T, s sample.Record) string {
	t.Helper()
	var fields struct {
		EventID  *string `avro:"event_id"`
		Source   string  `avro:"source"`
		SourceID string  `avro:"sourceId"`
		DebtorID *string `avro:"debtorId"`
	}
	operation := l.operationByEvent[s.Event]
	vendor, _, _ := strings.Cut(operation, ".")
	if vendor != string(sandbox.Expoints) && vendor != string(sandbox.Propel) {
		return ""
	}
	const header = 5 // Confluent's wire format: a zero byte and a 4-byte schema ID
	if err := avro.Unmarshal(l.schemaByEvent[s.Event], s.Value[header:], &fields); err != nil {
		t.Fatalf("decoding a sample of %s: %v", s.Event, err)
	}
	if vendor == string(sandbox.Expoints) {
		return entryID(sandbox.LedgerEntry{Operation: operation, ID: *fields.EventID})
	}
	return entryID(sandbox.LedgerEntry{
		Operation: operation, ID: fields.Source + "/" + fields.SourceID, Version: *fields.DebtorID,
	})
}

func entryID(entry sandbox.LedgerEntry) string {
	return entry.Operation + " " + entry.ID + " " + entry.Version
}

// produceRecords produces count valid records for each pipeline. If withBad is set, it spreads two
// records of each bad kind that the pipeline supports among them.
func (h *harness) produceRecords(count int, withBad bool) {
	h.t.Helper()
	for _, source := range sample.Sources(h.cfg) {
		var kinds []sample.Kind
		for _, kind := range sample.Kinds() {
			if withBad && source.HasKind(kind) {
				kinds = append(kinds, kind, kind)
			}
		}
		for i := range count {
			h.produceSample(source, sample.Valid, false)
			if every := count / max(1, len(kinds)); i%every == 0 && i/every < len(kinds) {
				h.produceSample(source, kinds[i/every], false)
			}
		}
	}
	if err := h.client.Flush(h.newDeadline()); err != nil {
		h.t.Fatal(err)
	}
}

// produceLatePurchases produces count purchases whose account does not exist yet when CRM.COM first
// sees them.
func (h *harness) produceLatePurchases(count int) {
	h.t.Helper()
	for _, source := range sample.Sources(h.cfg) {
		for i := 0; i < count && source.Pipeline == "purchases"; i++ {
			h.produceSample(source, sample.Retryable, true)
		}
	}
	if err := h.client.Flush(h.newDeadline()); err != nil {
		h.t.Fatal(err)
	}
}

// produceSample produces one sample. If late is set, its account exists only from the second time
// that CRM.COM is asked for it.
func (h *harness) produceSample(source sample.Source, kind sample.Kind, late bool) {
	h.t.Helper()
	generated, err := h.samples.GenerateKind(source.Pipeline, kind)
	if err != nil {
		h.t.Fatal(err)
	}
	produced := producedRecord{
		pipeline: source.Pipeline, disposition: record.DispositionDead, cause: kind.Cause(),
		payload: payloadOf(generated.Key, generated.Value),
	}
	switch {
	case kind == sample.Valid:
		produced.disposition = record.DispositionDelivered
		produced.vendorID = h.produced.vendorIDOf(h.t, generated)
	case late:
		produced.disposition = record.DispositionDelivered
		h.lateAccounts.addAccount(string(generated.Key))
	case kind == sample.Tombstone && source.Pipeline == skippingPipeline:
		produced.disposition = record.DispositionSkipped
	}
	message := &kgo.Record{Topic: generated.Topic, Key: generated.Key, Value: generated.Value}
	h.client.Produce(context.WithoutCancel(h.t.Context()), message, func(r *kgo.Record, err error) {
		if err != nil {
			h.t.Errorf("producing to %s: %v", r.Topic, err)
			return
		}
		h.produced.addRecord(sink.Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}.ID(), produced)
	})
}

// checkLedger compares what was produced with what the vendors accepted and what is in the
// dead-letter topics. Skipped records count as such without further proof here, because
// checkAllCommitted verifies that the commits are past them.
func (h *harness) checkLedger(deadLetters []*kgo.Record, maxDuplicates int) testkit.Report {
	h.t.Helper()
	ledger := testkit.Ledger{MaxDuplicates: maxDuplicates}
	originByVendorID := map[string]string{}
	for origin, produced := range h.produced.records {
		ledger.AddProduced(origin, produced.payload)
		if produced.vendorID != "" {
			originByVendorID[produced.vendorID] = origin
		}
		if produced.disposition == record.DispositionSkipped {
			ledger.AddSkipped(origin)
		}
	}
	for _, operation := range h.produced.operations {
		for entry := range h.vendors.Ledger().AllEntries(operation) {
			origin, ok := originByVendorID[entryID(entry)]
			if !ok {
				origin = entry.ID
			}
			ledger.AddDelivered(origin, "")
			if want := h.produced.records[origin].disposition; want != record.DispositionDelivered {
				h.t.Errorf("%s: got it delivered, want %v", origin, want)
			}
		}
	}
	for _, r := range deadLetters {
		ledger.AddDeadLetter(record.ParseRetryHeaders(r).Origin.ID(), payloadOf(r.Key, r.Value))
	}
	if err := ledger.Check(); err != nil {
		h.t.Error(err)
	}
	return ledger.BuildReport()
}
