package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sluice/internal/config"
	"sluice/internal/demo/embedded"
	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/event/encode"
	"sluice/internal/observe"
	"sluice/internal/pipeline"
	"sluice/internal/test/testkit"
	"sluice/internal/topics"
	"sluice/schemas"
)

// harness is an in-memory broker, registry and CRM.COM sandbox, and a connector with one pipeline
// between them. Time is that of the synctest bubble.
type harness struct {
	t         *testing.T
	platform  *embedded.Platform
	network   *testkit.Network
	sandbox   *sandbox.Server
	client    *kgo.Client
	encoder   *encode.Encoder
	obs       *observe.Registry
	logs      *observer.ObservedLogs
	connector *pipeline.Connector
}

func newHarness(t *testing.T, yaml string) *harness {
	t.Helper()
	n := &testkit.Network{}
	h := &harness{t: t, network: n, platform: testkit.StartPlatform(t, embedded.Options{Network: n}),
		sandbox: sandbox.New(sandbox.Options{})}
	web := testkit.ServeHTTP(t, n, "crm.example:80", h.sandbox.Handler(sandbox.CRMCOM))
	h.client = testkit.NewClient(t, h.platform, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, schema := range schemas.All() {
		if schema.Name == "sluice.crmcom.Purchase" {
			h.platform.Registry().SeedSchema("purchases-value", 1, 1, sr.Schema{Schema: schema.JSON})
		}
	}
	var err error
	if h.encoder, err = encode.NewEncoder(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
kafka: {brokers: [%q]}
schema_registry: {urls: [%q]}
vendors: {crmcom: {base_url: %q, auth: {web_api_key: %q}}}
%s`, h.platform.Brokers()[0], h.platform.RegistryURL(), web+"/crmapi/rest/v2", sandbox.DefaultWebAPIKey, yaml)
	noEnv := func(string) (string, bool) { return "", false }
	cfg, err := config.Parse("test.yaml", []byte(text), config.Options{Env: noEnv, Vendors: pipeline.VendorTypes()})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	transport := n.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	h.obs, h.logs = observe.NewRegistry(prometheus.NewRegistry()), logs
	if h.connector, err = pipeline.NewConnector(cfg,
		pipeline.Options{Dial: h.platform.DialContext, Transport: transport, Observe: h.obs,
			Log: zap.New(core)}); err != nil {
		t.Fatal(err)
	}
	return h
}

const (
	noReaderMessage = "leftover topic is not read"
	drainingMessage = "retry tier no longer configured, delivering its remaining records"
)

const autoCreateYAML = "topics: {auto_create: true}\npipelines: {purchases: {retry: {delays: [10s]}}}\n"

// start runs the connector. stop ends its fetch context, waits for Run and returns its error.
func (h *harness) start() (stop func() error) {
	fetchCtx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- h.connector.Run(fetchCtx, context.Background()) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func (h *harness) createTopic(topic string, configs map[string]string) {
	h.t.Helper()
	if err := h.platform.Cluster().CreateTopic(topic, 1, configs); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) produceValues(topic string, values ...[]byte) {
	h.t.Helper()
	for _, v := range values {
		h.client.Produce(h.t.Context(), &kgo.Record{Topic: topic, Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				h.t.Errorf("producing to %s: %v", topic, err)
			}
		})
	}
	if err := h.client.Flush(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// encodePurchase returns a valid purchase of one product.
func (h *harness) encodePurchase(number string) []byte {
	h.t.Helper()
	unit, product, amount := "U1", "P1", event.Millionths(1_000_000)
	value, err := h.encoder.Encode(1, &event.Purchase{
		AccountsReceivableIdentifier: &event.AccountIdentifier{Number: &number},
		PerformedByUnitIdentifier:    event.UnitIdentifier{AlternativeCode: &unit},
		PerformedOn:                  time.Now(), ReferenceNumber: number,
		ProductsSet: []event.PurchaseProduct{{ProductIdentifier: event.ProductIdentifier{Code: &product},
			NetAmount: amount, VatAmount: amount, TotalAmount: amount}},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return value
}

func TestConnectorCreatesTopicsAndRunsUntilStopped(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		h.createTopic("purchases", nil)
		h.produceValues("purchases", h.encodePurchase("1"), h.encodePurchase("2"), []byte("poison"))
		stop := h.start()
		if err := testkit.WaitCommitted(t.Context(), h.platform.Cluster(), "sluice.purchases", "purchases", 0,
			3); err != nil {
			t.Fatal(err)
		}
		if !h.obs.Pipeline("purchases").Snapshot().Started {
			t.Error("got Started false while the pipeline runs, want true")
		}
		if err := stop(); err != nil {
			t.Errorf("got %v from a clean stop, want no error", err)
		}
		if n := h.sandbox.Ledger().Count("crmcom.purchases"); n != 2 {
			t.Errorf("got %d purchases delivered, want 2", n)
		}
		if n := h.platform.Cluster().PartitionInfo("sluice.purchases.dlq", 0).HighWatermark; n != 1 {
			t.Errorf("got %d dead letters, want 1", n)
		}
		if h.platform.Cluster().TopicInfo("sluice.purchases.retry.10s") == nil {
			t.Error("got no retry topic, want it created")
		}
		if h.obs.Pipeline("purchases").Snapshot().Started {
			t.Error("got Started true after the pipeline ended, want false")
		}
	})
}

// A topic in which a record could be lost or refused is reported before anything is fetched, with
// its remedy.
func TestConnectorRefusesUnfitTopics(t *testing.T) {
	tests := map[string]struct {
		prepare func(h *harness)
		want    []topics.Problem
	}{
		"no topics": {func(*harness) {}, []topics.Problem{
			{Topic: "purchases", Description: "the source of pipeline purchases does not exist",
				Remedy: "create it, or correct pipelines.purchases.topic"},
		}},
		"only the source topic": {func(h *harness) { h.createTopic("purchases", nil) }, []topics.Problem{
			{Topic: "sluice.purchases.retry.10s", Description: "it does not exist",
				Remedy: "run connector topics apply -c FILE"},
			{Topic: "sluice.purchases.dlq", Description: "it does not exist",
				Remedy: "run connector topics apply -c FILE"},
		}},
		"a retry topic with finite retention": {func(h *harness) {
			h.createTopic("purchases", nil)
			fit := map[string]string{"retention.ms": "-1", "max.message.bytes": "2000000"}
			h.createTopic("sluice.purchases.dlq", fit)
			h.createTopic("sluice.purchases.retry.10s",
				map[string]string{"retention.ms": "1000", "max.message.bytes": "2000000"})
		}, []topics.Problem{{
			Topic:       "sluice.purchases.retry.10s",
			Description: "retention.ms is 1000, must be -1: the broker would delete records that are still needed",
			Remedy:      "run connector topics apply -c FILE",
		}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, "pipelines: {purchases: {retry: {delays: [10s]}}}\n")
				test.prepare(h)
				err := h.connector.Run(t.Context(), t.Context())
				var unfit *topics.UnfitError
				if !errors.As(err, &unfit) || fmt.Sprint(unfit.Problems) != fmt.Sprint(test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
			})
		})
	}
}

// Records in a retry tier that was removed from the configuration are delivered. A topic that
// nothing reads is reported.
func TestLeftoverTopicsAreDrainedOrReported(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		for _, topic := range []string{"purchases", "sluice.purchases.retry.5s", "sluice.purchases.retry.1h",
			"sluice.purchases.parked", "sluice.gone.retry.1m", "other.purchases.retry.1m"} {
			h.createTopic(topic, nil)
		}
		h.produceValues("sluice.purchases.retry.1h", h.encodePurchase("1"))
		h.produceValues("sluice.purchases.retry.5s", h.encodePurchase("2"))
		stop := h.start()
		for _, topic := range []string{"sluice.purchases.retry.1h", "sluice.purchases.retry.5s"} {
			const end = 2 // the record and the owner's marker
			if err := testkit.WaitCommitted(t.Context(), h.platform.Cluster(), "sluice.purchases", topic, 0,
				end); err != nil {
				t.Fatal(err)
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := h.sandbox.Ledger().Count("crmcom.purchases"); n != 2 {
			t.Errorf("got %d purchases delivered, want 2", n)
		}
		for topic, want := range map[string]string{
			"sluice.purchases.retry.5s": drainingMessage,
			"sluice.purchases.retry.1h": drainingMessage,
			"sluice.gone.retry.1m":      noReaderMessage,
			"sluice.purchases.parked":   noReaderMessage,
			"other.purchases.retry.1m":  "", "purchases": "", "sluice.purchases.retry.10s": "",
			"sluice.purchases.dlq": "",
		} {
			got := ""
			for _, line := range h.logs.FilterField(zap.String("topic", topic)).All() {
				got += line.Message
			}
			if got != want {
				t.Errorf("topic %s: got log messages %q, want %q", topic, got, want)
			}
		}
	})
}

// A broker applies max.message.bytes to a whole batch, so dead letters that are produced together
// must be split into batches that their topic accepts.
func TestLargeDeadLettersAreProducedInAcceptedBatches(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t,
			"topics: {auto_create: true}\npipelines: {purchases: {retry: {delays: [10s]}, dead_letter: {guard: {max_ratio: 1}}}}\n")
		h.createTopic("purchases", nil)
		var poison [][]byte
		for range 20 {
			poison = append(poison, bytes.Repeat([]byte("x"), 300<<10))
		}
		h.produceValues("purchases", poison...)
		stop := h.start()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := testkit.WaitCommitted(ctx, h.platform.Cluster(), "sluice.purchases", "purchases", 0,
			20); err != nil {
			t.Errorf("waiting for the commit: %v", err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := h.platform.Cluster().PartitionInfo("sluice.purchases.dlq", 0).HighWatermark; n != 20 {
			t.Errorf("got %d dead letters, want 20", n)
		}
	})
}

// Stopping a connector that still waits for the brokers is not a failure.
func TestStopBeforeBrokersRespondIsClean(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		if err := h.platform.Close(); err != nil {
			t.Fatal(err)
		}
		unresponsive, err := h.network.Listen("tcp", h.platform.Brokers()[0]) // never accepts a connection
		if err != nil {
			t.Fatal(err)
		}
		defer unresponsive.Close()
		stop := h.start()
		synctest.Wait()
		if err := stop(); err != nil {
			t.Errorf("got %v from the stop, want no error", err)
		}
	})
}
