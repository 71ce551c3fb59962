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

// harness is a registry with all schemas, a decoder, the vendors' sinks and the sandbox that they
// call.
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
	r := &harness{operations: map[string]sink.Operation{}}
	for _, name := range event.EventNames() {
		r.sources = append(r.sources, Source{Pipeline: name, Topic: "topic-of-" + name, Events: []string{name}})
	}
	if r.ids, err = RegisterSchemas(t.Context(), client, append(Subjects(r.sources), StraySubject())...); err != nil {
		t.Fatal(err)
	}
	if r.decoder, err = decode.NewDecoder(decode.Config{URLs: []string{web.URL}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.decoder.Close)
	r.startVendors(t)
	return r
}

func (r *harness) startVendors(t *testing.T) {
	t.Helper()
	options, err := SandboxOptions()
	if err != nil {
		t.Fatal(err)
	}
	r.sandbox = sandbox.New(options)
	for _, page := range sandbox.BuiltinPages(options) {
		server := httptest.NewServer(r.sandbox.Handler(page.Vendor))
		t.Cleanup(server.Close)
		operations := vendortest.OpenAccount(t, pipeline.BuiltinVendors(), string(page.Vendor), http.DefaultClient,
			page.AccountSettings(server.URL), accountSettingsOf(page.Vendor))
		for _, o := range operations {
			r.operations[o.Spec().Event] = o
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

func (r *harness) newGenerator(t *testing.T, seed uint64) *Generator {
	t.Helper()
	g, err := NewGenerator(Options{Seed: seed, Sources: r.sources, IDs: r.ids})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// encodeItem is what the line makes of a sample.
func (r *harness) encodeItem(ctx context.Context, s Record, offset int64) (sink.Item, error) {
	d, err := r.decoder.Decode(ctx, s.Topic, s.Value)
	if err != nil {
		return sink.Item{}, err
	}
	return r.operations[d.Name].Encode(ctx, d.Event, sink.Origin{Topic: s.Topic, Offset: offset})
}

// sendItem gives what the vendor says of one item: of the item, or of the call where it was refused
// as a whole.
func (r *harness) sendItem(ctx context.Context, name string, it sink.Item) sink.ResultClass {
	answer := r.operations[name].Send(ctx, []sink.Item{it})
	if answer.Class == sink.Delivered {
		return answer.ItemResults[0].Class
	}
	return answer.Class
}

func generateSample(t *testing.T, g *Generator, pipeline string, kind Kind) Record {
	t.Helper()
	s, err := g.GenerateKind(pipeline, kind)
	if err != nil {
		t.Fatal(err)
	}
	if s.Kind != kind || s.Topic != "topic-of-"+pipeline || len(s.Key) == 0 {
		t.Fatalf("made %s of %s with key %q", s.Kind, s.Topic, s.Key)
	}
	return s
}

func TestValidSamplesAreAccepted(t *testing.T) {
	const seeds = 200
	r := newHarness(t)
	for seed := range uint64(seeds) {
		g := r.newGenerator(t, seed)
		for i, name := range event.EventNames() {
			s := generateSample(t, g, name, Valid)
			it, err := r.encodeItem(t.Context(), s, int64(seed))
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, name, err)
			}
			if c := r.sendItem(t.Context(), name, it); c != sink.Delivered {
				t.Fatalf("seed %d: %s (%d): the vendor's answer is %s to %s", seed, name, i, c, it.Body)
			}
		}
	}
	for name, o := range r.operations {
		vendor := strings.Split(name, ".")[1]
		if n := r.sandbox.Ledger().Count(vendor + "." + o.Spec().Name); n != seeds {
			t.Errorf("%s: the ledger has %d, want %d", name, n, seeds)
		}
	}
}

func TestBadSamplesEndWithTheCauseOfTheirKind(t *testing.T) {
	r := newHarness(t)
	made := map[Kind]int{}
	for seed := range uint64(20) {
		g := r.newGenerator(t, seed)
		for _, source := range r.sources {
			for _, kind := range Kinds() {
				if !source.HasKind(kind) {
					continue
				}
				made[kind]++
				s := generateSample(t, g, source.Pipeline, kind)
				if got := r.causeOf(t, source.Pipeline, s); got != kind.Cause() {
					t.Errorf("seed %d: %s: %s ends as %q, want %q", seed, source.Pipeline, kind, got, kind.Cause())
				}
			}
		}
	}
	for _, kind := range Kinds() {
		if made[kind] == 0 {
			t.Errorf("no sample of kind %s", kind)
		}
	}
}

// causeOf is the cause with which the line gives a sample up.
func (r *harness) causeOf(t *testing.T, name string, s Record) record.Cause {
	t.Helper()
	if s.Value == nil {
		return record.CauseTombstone
	}
	it, err := r.encodeItem(t.Context(), s, 1)
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
	switch c := r.sendItem(t.Context(), name, it); c {
	case sink.Rejected:
		return record.CauseRejected
	case sink.Retryable:
		return record.CauseExhausted
	default:
		t.Fatalf("the vendor's answer is %s", c)
		return ""
	}
}

func TestSameSeedGivesSameSamples(t *testing.T) {
	r := newHarness(t)
	run := func(seed uint64) []Record {
		g, list := r.newGenerator(t, seed), []Record(nil)
		for _, s := range r.sources {
			list = append(list, generateSample(t, g, s.Pipeline, Valid), generateSample(t, g, s.Pipeline, Poison))
		}
		return list
	}
	if !reflect.DeepEqual(run(7), run(7)) {
		t.Error("two runs of one seed differ")
	}
	if reflect.DeepEqual(run(7), run(8)) {
		t.Error("two seeds make the same")
	}
}

func TestCustomerVersionsAscendUnderOneKey(t *testing.T) {
	r := newHarness(t)
	g := r.newGenerator(t, 1)
	last, again := map[string]string{}, 0
	for range 1000 {
		s := generateSample(t, g, "sluice.propel.CustomerChange", Valid)
		d, err := r.decoder.Decode(t.Context(), s.Topic, s.Value)
		if err != nil {
			t.Fatal(err)
		}
		e := d.Event.(*event.CustomerChange)
		if string(s.Key) != e.SourceId {
			t.Fatalf("key %s of customer %s", s.Key, e.SourceId)
		}
		before := last[e.SourceId]
		if before != "" {
			again++
		}
		if len(before) > len(*e.DebtorId) || len(before) == len(*e.DebtorId) && before >= *e.DebtorId {
			t.Fatalf("version %s follows %s", *e.DebtorId, before)
		}
		last[e.SourceId] = *e.DebtorId
	}
	if again < 500 {
		t.Errorf("%d of 1000 changes are of a customer that had one, want most", again)
	}
}

func TestImpossibleSamplesAreErrors(t *testing.T) {
	r := newHarness(t)
	g := r.newGenerator(t, 1)
	lock := "sluice.expoints.FeedbackLock"
	for _, c := range []struct {
		pipeline string
		kind     Kind
	}{{"none", Valid}, {lock, Retryable}, {lock, Rejected}, {lock, "odd"}} {
		if s, err := g.GenerateKind(c.pipeline, c.kind); err == nil {
			t.Errorf("%s of %s: made %+v", c.kind, c.pipeline, s)
		}
	}
	withoutID := maps.Clone(r.ids)
	delete(withoutID, lock)
	for _, o := range []Options{
		{Sources: r.sources, IDs: withoutID},
		{Sources: []Source{{Pipeline: "p", Topic: "t", Events: []string{"odd"}}}, IDs: map[string]int{"odd": 1}},
	} {
		if _, err := NewGenerator(o); err == nil {
			t.Error("no error")
		}
	}
	withoutStray := maps.Clone(r.ids)
	delete(withoutStray, Stray)
	g, err := NewGenerator(Options{Sources: r.sources, IDs: withoutStray})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.GenerateKind(lock, Unmapped); err == nil {
		t.Error("a stray without an id is no error")
	}
}
