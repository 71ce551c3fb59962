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

// produced is a record as the broker confirmed it, and what is to become of it.
type produced struct {
	pipeline string
	kind     record.Disposition
	cause    record.Cause // with kind Dead
	payload  string
	vendorID string // by which the vendor's ledger knows it; empty: its origin
}

// books are the records produced, by origin. Safe for concurrent use.
type books struct {
	operations []string          // full names
	byEvent    map[string]string // operation
	schemas    map[string]avro.Schema

	mu      sync.Mutex
	records map[string]produced
	wanted  map[record.Disposition]int
}

func newBooks(t *testing.T, cfg *config.Config) *books {
	t.Helper()
	b := &books{byEvent: map[string]string{}, schemas: map[string]avro.Schema{}, records: map[string]produced{}, wanted: map[record.Disposition]int{}}
	for _, p := range cfg.Pipelines {
		for _, r := range p.Routes {
			b.operations = append(b.operations, r.OperationName())
			b.byEvent[r.Event] = r.OperationName()
		}
	}
	for _, s := range schemas.All() {
		schema, err := avro.ParseWithCache(s.JSON, "", &avro.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		b.schemas[s.Name] = schema
	}
	return b
}

func payload(key, value []byte) string {
	return fmt.Sprintf("%x %t", sha256.Sum256(fmt.Appendf(nil, "%q %q", key, value)), value == nil)
}

func (b *books) enter(origin string, p produced) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records[origin] = p
	b.wanted[p.kind]++
}

// of gives how many records are to become of a kind.
func (b *books) of(k record.Disposition) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wanted[k]
}

// vendorID is the name by which the vendor's ledger knows an event, with its operation; empty where that is its origin.
func (b *books) vendorID(t *testing.T, s sample.Record) string {
	t.Helper()
	var e struct {
		EventID  *string `avro:"event_id"`
		Source   string  `avro:"source"`
		SourceID string  `avro:"sourceId"`
		DebtorID *string `avro:"debtorId"`
	}
	operation := b.byEvent[s.Event]
	vendor, _, _ := strings.Cut(operation, ".")
	if vendor != string(sandbox.Expoints) && vendor != string(sandbox.Propel) {
		return ""
	}
	const header = 5 // Confluent's wire format: 0x00 and a 4-byte schema id
	if err := avro.Unmarshal(b.schemas[s.Event], s.Value[header:], &e); err != nil {
		t.Fatalf("reading a sample of %s: %v", s.Event, err)
	}
	if vendor == string(sandbox.Expoints) {
		return entryID(sandbox.LedgerEntry{Operation: operation, ID: *e.EventID})
	}
	return entryID(sandbox.LedgerEntry{Operation: operation, ID: e.Source + "/" + e.SourceID, Version: *e.DebtorID})
}

func entryID(e sandbox.LedgerEntry) string { return e.Operation + " " + e.ID + " " + e.Version }

// produce writes so many valid records to each pipeline, and among them two of each bad kind that the pipeline can have, where they are asked for.
func (s *stage) produce(n int, bad bool) {
	s.t.Helper()
	for _, source := range sample.Sources(s.cfg) {
		var kinds []sample.Kind
		for _, k := range sample.Kinds() {
			if bad && source.HasKind(k) {
				kinds = append(kinds, k, k)
			}
		}
		for i := range n {
			s.make(source, sample.Valid, false)
			if every := n / max(1, len(kinds)); i%every == 0 && i/every < len(kinds) {
				s.make(source, kinds[i/every], false)
			}
		}
	}
	if err := s.client.Flush(s.deadline()); err != nil {
		s.t.Fatal(err)
	}
}

// produceLate writes so many purchases that come before their account.
func (s *stage) produceLate(n int) {
	s.t.Helper()
	for _, source := range sample.Sources(s.cfg) {
		for i := 0; i < n && source.Pipeline == "purchases"; i++ {
			s.make(source, sample.Retryable, true)
		}
	}
	if err := s.client.Flush(s.deadline()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) make(source sample.Source, kind sample.Kind, late bool) {
	s.t.Helper()
	made, err := s.samples.GenerateKind(source.Pipeline, kind)
	if err != nil {
		s.t.Fatal(err)
	}
	p := produced{pipeline: source.Pipeline, kind: record.DispositionDead, cause: kind.Cause(), payload: payload(made.Key, made.Value)}
	switch {
	case kind == sample.Valid:
		p.kind, p.vendorID = record.DispositionDelivered, s.books.vendorID(s.t, made)
	case late:
		p.kind = record.DispositionDelivered
		s.late.add(string(made.Key))
	case kind == sample.Tombstone && source.Pipeline == skipping:
		p.kind = record.DispositionSkipped
	}
	s.client.Produce(context.WithoutCancel(s.t.Context()), &kgo.Record{Topic: made.Topic, Key: made.Key, Value: made.Value}, func(r *kgo.Record, err error) {
		if err != nil {
			s.t.Errorf("producing to %s: %v", r.Topic, err)
			return
		}
		s.books.enter(sink.Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}.ID(), p)
	})
}

// audit holds what was produced against what the vendors, the dead-letter topics and the commits say.
func (s *stage) audit(dead []*kgo.Record, duplicates int) testkit.Report {
	s.t.Helper()
	ledger := testkit.Ledger{MaxDuplicates: duplicates}
	origins := map[string]string{}
	for origin, p := range s.books.records {
		ledger.Produced(origin, p.payload)
		if p.vendorID != "" {
			origins[p.vendorID] = origin
		}
		if p.kind == record.DispositionSkipped { // the commits are checked to be past it
			ledger.Skipped(origin)
		}
	}
	for _, operation := range s.books.operations {
		for e := range s.vendors.Ledger().AllEntries(operation) {
			origin, ok := origins[entryID(e)]
			if !ok {
				origin = e.ID
			}
			ledger.Delivered(origin, "")
			if p := s.books.records[origin]; p.kind != record.DispositionDelivered {
				s.t.Errorf("%s was delivered, and was to be %v", origin, p.kind)
			}
		}
	}
	for _, r := range dead {
		ledger.Dead(record.ParseRetryHeaders(r).Origin.ID(), payload(r.Key, r.Value))
	}
	if err := ledger.Check(); err != nil {
		s.t.Error(err)
	}
	return ledger.Report()
}
