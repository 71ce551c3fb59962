package fourthvendor_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"sluice/internal/config"
	"sluice/internal/demo/embedded"
	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/observe"
	"sluice/internal/pipeline"
	"sluice/internal/test/fourthvendor"
	"sluice/internal/test/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a broker, a registry, the sandbox with the fourth vendor, and a connector whose
// configuration names no pipelines: they come from the vendor's operations.
type harness struct {
	platform  *embedded.Platform
	sandbox   *sandbox.Server
	cfg       *config.Config
	client    *kgo.Client
	samples   *sample.Generator
	connector *pipeline.Connector
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	network := &testkit.Network{}
	h := &harness{platform: testkit.StartPlatform(t, embedded.Options{Network: network})}
	vendors := fourthvendor.RegisterVendor(pipeline.BuiltinVendors())
	samples := append(sample.BuiltinVendors(), fourthvendor.Samples())
	options, err := sample.SandboxOptionsFor(samples)
	if err != nil {
		t.Fatal(err)
	}
	h.sandbox = sandbox.New(options)
	url := testkit.ServeHTTP(t, network, "stampcard.example:80", h.sandbox.Handler(fourthvendor.Name))
	text := fmt.Sprintf(`
kafka: {brokers: [%q]}
schema_registry: {urls: [%q]}
topics: {auto_create: true}
vendors: {%s: {%s}}
`, h.platform.Brokers()[0], h.platform.RegistryURL(), fourthvendor.Name, fourthvendor.Page().AccountSettings(url))
	noEnv := func(string) (string, bool) { return "", false }
	if h.cfg, err = config.Parse("test.yaml", []byte(text),
		config.Options{Env: noEnv, Vendors: vendors.ConfigTypes()}); err != nil {
		t.Fatal(err)
	}
	h.registerSchemas(t, samples)
	h.client = testkit.NewClient(t, h.platform)
	transport := network.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	h.connector, err = pipeline.NewConnector(h.cfg, pipeline.Options{
		Dial: h.platform.DialContext, Transport: transport, Vendors: vendors,
		Observe: observe.NewRegistry(prometheus.NewRegistry()), Log: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *harness) registerSchemas(t *testing.T, vendors []sample.Vendor) {
	t.Helper()
	sources := sample.Sources(h.cfg)
	ids := map[string]int{}
	for i, subject := range sample.Subjects(sources, fourthvendor.EventTypes()...) {
		ids[subject.Event] = i + 1
		h.platform.Registry().SeedSchema(subject.Name, 1, i+1, sr.Schema{Schema: subject.Schema})
	}
	var err error
	if h.samples, err = sample.NewGenerator(sample.Options{Seed: 1, Sources: sources, IDs: ids,
		Vendors: vendors}); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) produceSamples(t *testing.T, kind sample.Kind, count int) {
	t.Helper()
	for range count {
		s, err := h.samples.GenerateKind("stamps", kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.client.ProduceSync(t.Context(),
			&kgo.Record{Topic: s.Topic, Key: s.Key, Value: s.Value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// Every record of a vendor that exists only in tests has the outcome that its kind requires: it is
// delivered, or dead-lettered after a validation error, a rejection or all its retries.
func TestConnectorDeliversToFourthVendor(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		if err := h.platform.Cluster().CreateTopic("stamps", 1, nil); err != nil {
			t.Fatal(err)
		}
		const valid, invalid, rejected, retryable, poison = 40, 2, 3, 2, 1
		h.produceSamples(t, sample.Valid, valid)
		h.produceSamples(t, sample.Invalid, invalid)
		h.produceSamples(t, sample.Rejected, rejected)
		h.produceSamples(t, sample.Retryable, retryable)
		h.produceSamples(t, sample.Poison, poison)

		fetchCtx, stop := context.WithCancel(t.Context())
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- h.connector.Run(fetchCtx, t.Context()) }()
		err := testkit.WaitCommitted(t.Context(), h.platform.Cluster(), "sluice.stamps", "stamps", 0,
			valid+invalid+rejected+retryable+poison)
		if err != nil {
			t.Fatal(err)
		}
		testkit.AdvanceClock(time.Hour) // longer than all retry delays together
		stop()
		if err := <-ended; err != nil {
			t.Errorf("got %v from Run, want no error", err)
		}
		ledger := h.sandbox.Ledger()
		stamps, cancellations := ledger.Count("stampcard.stamps"), ledger.Count("stampcard.cancellations")
		if stamps+cancellations != valid || stamps == 0 || cancellations == 0 {
			t.Errorf("got %d stamps and %d cancellations accepted, want %d of both kinds", stamps,
				cancellations, valid)
		}
		if got := ledger.Duplicates("stampcard.stamps") + ledger.Duplicates("stampcard.cancellations"); got != 0 {
			t.Errorf("got %d duplicates, want none", got)
		}
		const dead = invalid + rejected + retryable + poison
		if got := h.platform.Cluster().PartitionInfo("sluice.stamps.dlq", 0).HighWatermark; got != dead {
			t.Errorf("got %d dead letters, want %d", got, dead)
		}
	})
}
