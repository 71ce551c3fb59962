package sample

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"sluice/internal/decode"
	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/vendortest"
)

// harness has a registry with all schemas, a decoder, an account at each vendor and the sandbox
// that plays the vendors.
type harness struct {
	sources    []Source
	ids        map[string]int
	decoder    *decode.Decoder
	operations map[string]sink.Operation // by event
	sandbox    *sandbox.Server
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	registry := srfake.NewRegistry()
	web := httptest.NewServer(registry.Handler())
	t.Cleanup(web.Close)
	client, err := sr.NewClient(sr.URLs(web.URL))
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{operations: map[string]sink.Operation{}}
	for _, name := range event.EventNames() {
		h.sources = append(h.sources, Source{Pipeline: name, Topic: "topic-of-" + name, Events: []string{name}})
	}
	if h.ids, err = RegisterSchemas(t.Context(), client, append(Subjects(h.sources), StraySubject())...); err != nil {
		t.Fatal(err)
	}
	if h.decoder, err = decode.NewDecoder(decode.Config{URLs: []string{web.URL}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.decoder.Close)
	h.startVendors(t)
	return h
}

func (h *harness) startVendors(t *testing.T) {
	t.Helper()
	options, err := SandboxOptions()
	if err != nil {
		t.Fatal(err)
	}
	h.sandbox = sandbox.New(options)
	for _, page := range sandbox.BuiltinPages(options) {
		server := httptest.NewServer(h.sandbox.Handler(page.Vendor))
		t.Cleanup(server.Close)
		operations := vendortest.OpenAccount(t, pipeline.BuiltinVendors(), string(page.Vendor), http.DefaultClient,
			page.AccountSettings(server.URL), accountSettingsOf(page.Vendor))
		for _, o := range operations {
			h.operations[o.Spec().Event] = o
		}
	}
}

func accountSettingsOf(vendor sandbox.Vendor) string {
	for _, v := range BuiltinVendors() {
		if v.Name == vendor {
			return v.AccountSettings
		}
	}
	return ""
}

func (h *harness) newGenerator(t *testing.T, seed uint64) *Generator {
	t.Helper()
	g, err := NewGenerator(Options{Seed: seed, Sources: h.sources, IDs: h.ids})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// encodeItem decodes and encodes a sample as a pipeline does.
func (h *harness) encodeItem(ctx context.Context, s Record, offset int64) (sink.Item, error) {
	d, err := h.decoder.Decode(ctx, s.Topic, s.Value)
	if err != nil {
		return sink.Item{}, err
	}
	return h.operations[d.Name].Encode(ctx, d.Event, sink.Origin{Topic: s.Topic, Offset: offset})
}

// sendItem returns the class of an item's result, or that of the call if it was refused as a whole.
func (h *harness) sendItem(ctx context.Context, name string, item sink.Item) sink.ResultClass {
	resp := h.operations[name].Send(ctx, []sink.Item{item})
	if resp.Class == sink.Delivered {
		return resp.ItemResults[0].Class
	}
	return resp.Class
}

func generateSample(t *testing.T, g *Generator, pipeline string, kind Kind) Record {
	t.Helper()
	s, err := g.GenerateKind(pipeline, kind)
	if err != nil {
		t.Fatal(err)
	}
	if s.Kind != kind || s.Topic != "topic-of-"+pipeline || len(s.Key) == 0 {
		t.Fatalf("got kind %s, topic %s and key %q, want %s of %s with a key", s.Kind, s.Topic, s.Key, kind, pipeline)
	}
	return s
}

func TestValidSamplesAreAccepted(t *testing.T) {
	const seeds = 200
	h := newHarness(t)
	for seed := range uint64(seeds) {
		g := h.newGenerator(t, seed)
		for i, name := range event.EventNames() {
			s := generateSample(t, g, name, Valid)
			it, err := h.encodeItem(t.Context(), s, int64(seed))
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, name, err)
			}
			if c := h.sendItem(t.Context(), name, it); c != sink.Delivered {
				t.Fatalf("seed %d: %s (%d): got class %s for %s, want delivered", seed, name, i, c, it.Body)
			}
			h.checkItemID(t, s, int64(seed))
		}
	}
	for name, o := range h.operations {
		vendor := strings.Split(name, ".")[1]
		if n := h.sandbox.Ledger().Count(vendor + "." + o.Spec().Name); n != seeds {
			t.Errorf("%s: got %d accepted items, want %d", name, n, seeds)
		}
	}
}

// checkItemID checks that the sandbox's ledger identifies the last item as the sample says.
func (h *harness) checkItemID(t *testing.T, s Record, offset int64) {
	t.Helper()
	operation := strings.Split(s.Event, ".")[1] + "." + h.operations[s.Event].Spec().Name
	entries := h.sandbox.Ledger().AcceptedEntries(operation)
	entry := entries[len(entries)-1]
	want := s.ItemID
	if want == "" {
		want = sink.Origin{Topic: s.Topic, Offset: offset}.ID()
	}
	if entry.ID != want || entry.Version != s.ItemVersion {
		t.Fatalf("%s: the sandbox has the item as %q, version %q; the sample says %q, version %q: set ItemID of the "+
			"vendor in internal/demo/sample", s.Event, entry.ID, entry.Version, want, s.ItemVersion)
	}
}

func TestBadSamplesEndWithTheCauseOfTheirKind(t *testing.T) {
	h := newHarness(t)
	made := map[Kind]int{}
	for seed := range uint64(20) {
		g := h.newGenerator(t, seed)
		for _, source := range h.sources {
			for _, kind := range Kinds() {
				if !source.HasKind(kind) {
					continue
				}
				made[kind]++
				s := generateSample(t, g, source.Pipeline, kind)
				if got := h.causeOf(t, source.Pipeline, s); got != kind.Cause() {
					t.Errorf("seed %d: %s: %s: got cause %q, want %q", seed, source.Pipeline, kind, got, kind.Cause())
				}
			}
		}
	}
	for _, kind := range Kinds() {
		if made[kind] == 0 {
			t.Errorf("got no sample of kind %s, want some", kind)
		}
	}
}

// causeOf returns the cause with which a pipeline dead-letters a sample.
func (h *harness) causeOf(t *testing.T, name string, s Record) record.Cause {
	t.Helper()
	if s.Value == nil {
		return record.CauseTombstone
	}
	it, err := h.encodeItem(t.Context(), s, 1)
	var poison *decode.PoisonError
	var unmapped *decode.UnmappedError
	var unknown *decode.UnknownSchemaError
	var invalid *sink.ValidationError
	switch {
	case errors.As(err, &poison), errors.As(err, &unknown):
		return record.CausePoison
	case errors.As(err, &unmapped):
		return record.CauseUnmapped
	case errors.As(err, &invalid):
		return record.CauseInvalid
	case err != nil:
		t.Fatal(err)
	}
	switch c := h.sendItem(t.Context(), name, it); c {
	case sink.Rejected:
		return record.CauseRejected
	case sink.Retryable:
		return record.CauseExhausted
	default:
		t.Fatalf("got class %s, want rejected or retryable", c)
		return ""
	}
}

func TestSameSeedGivesSameSamples(t *testing.T) {
	h := newHarness(t)
	run := func(seed uint64) []Record {
		g, list := h.newGenerator(t, seed), []Record(nil)
		for _, s := range h.sources {
			list = append(list, generateSample(t, g, s.Pipeline, Valid), generateSample(t, g, s.Pipeline, Poison))
		}
		return list
	}
	if !reflect.DeepEqual(run(7), run(7)) {
		t.Error("got different samples from one seed, want the same")
	}
	if reflect.DeepEqual(run(7), run(8)) {
		t.Error("got the same samples from two seeds, want different ones")
	}
}

func TestCustomerVersionsAscendUnderOneKey(t *testing.T) {
	h := newHarness(t)
	g := h.newGenerator(t, 1)
	last, again := map[string]string{}, 0
	for range 1000 {
		s := generateSample(t, g, "sluice.propel.CustomerChange", Valid)
		d, err := h.decoder.Decode(t.Context(), s.Topic, s.Value)
		if err != nil {
			t.Fatal(err)
		}
		e := d.Event.(*event.CustomerChange)
		if string(s.Key) != e.SourceId {
			t.Fatalf("got key %s for customer %s, want the sourceId", s.Key, e.SourceId)
		}
		before := last[e.SourceId]
		if before != "" {
			again++
		}
		if len(before) > len(*e.DebtorId) || len(before) == len(*e.DebtorId) && before >= *e.DebtorId {
			t.Fatalf("got version %s after %s, want a higher one", *e.DebtorId, before)
		}
		last[e.SourceId] = *e.DebtorId
	}
	if again < 500 {
		t.Errorf("got %d of 1000 changes for a customer that had one before, want at least 500", again)
	}
}

func TestImpossibleSamplesAreErrors(t *testing.T) {
	h := newHarness(t)
	g := h.newGenerator(t, 1)
	lock := "sluice.expoints.FeedbackLock"
	for _, c := range []struct {
		pipeline string
		kind     Kind
	}{{"none", Valid}, {lock, Retryable}, {lock, Rejected}, {lock, "odd"}} {
		if s, err := g.GenerateKind(c.pipeline, c.kind); err == nil {
			t.Errorf("%s of %s: got %+v, want an error", c.kind, c.pipeline, s)
		}
	}
	withoutID := maps.Clone(h.ids)
	delete(withoutID, lock)
	for _, o := range []Options{
		{Sources: h.sources, IDs: withoutID},
		{Sources: []Source{{Pipeline: "p", Topic: "t", Events: []string{"odd"}}}, IDs: map[string]int{"odd": 1}},
	} {
		if _, err := NewGenerator(o); err == nil {
			t.Error("got no error, want one")
		}
	}
	withoutStray := maps.Clone(h.ids)
	delete(withoutStray, Stray)
	g, err := NewGenerator(Options{Sources: h.sources, IDs: withoutStray})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.GenerateKind(lock, Unmapped); err == nil {
		t.Error("got no error for a stray without a schema ID, want one")
	}
}
