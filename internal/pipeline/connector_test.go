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

// stage is a broker, a registry and CRM.COM's sandbox in memory, with a connector of one pipeline between them. Time is the bubble's.
type stage struct {
	t         *testing.T
	p         *embedded.Platform
	network   *testkit.Network
	vendors   *sandbox.Server
	client    *kgo.Client
	encoder   *encode.Encoder
	obs       *observe.Registry
	logs      *observer.ObservedLogs
	connector *pipeline.Connector
}

func newStage(t *testing.T, yaml string) *stage {
	t.Helper()
	n := &testkit.Network{}
	s := &stage{t: t, network: n, p: testkit.StartPlatform(t, embedded.Options{Network: n}), vendors: sandbox.New(sandbox.Options{})}
	web := testkit.ServeHTTP(t, n, "crm.example:80", s.vendors.Handler(sandbox.CRMCOM))
	s.client = testkit.NewClient(t, s.p, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, schema := range schemas.All() {
		if schema.Name == "sluice.crmcom.Purchase" {
			s.p.Registry().SeedSchema("purchases-value", 1, 1, sr.Schema{Schema: schema.JSON})
		}
	}
	var err error
	if s.encoder, err = encode.NewEncoder(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
kafka: {brokers: [%q]}
schema_registry: {urls: [%q]}
vendors: {crmcom: {base_url: %q, auth: {web_api_key: %q}}}
%s`, s.p.Brokers()[0], s.p.RegistryURL(), web+"/crmapi/rest/v2", sandbox.DefaultWebAPIKey, yaml)
	none := func(string) (string, bool) { return "", false }
	cfg, err := config.Parse("test.yaml", []byte(text), config.Options{Env: none, Vendors: pipeline.VendorTypes()})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	transport := n.Transport()
	t.Cleanup(transport.CloseIdleConnections)
	s.obs, s.logs = observe.NewRegistry(prometheus.NewRegistry()), logs
	if s.connector, err = pipeline.NewConnector(cfg, pipeline.Options{Dial: s.p.Dial, Transport: transport, Observe: s.obs, Log: zap.New(core)}); err != nil {
		t.Fatal(err)
	}
	return s
}

const autoCreate = "topics: {auto_create: true}\npipelines: {purchases: {retry: {delays: [10s]}}}\n"

// run starts the connector; stop ends reading and gives Run's error.
func (s *stage) run() (stop func() error) {
	take, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- s.connector.Run(take, context.Background()) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func (s *stage) create(topic string, configs map[string]string) {
	s.t.Helper()
	if err := s.p.Cluster().CreateTopic(topic, 1, configs); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) produce(topic string, values ...[]byte) {
	s.t.Helper()
	for _, v := range values {
		s.client.Produce(s.t.Context(), &kgo.Record{Topic: topic, Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				s.t.Errorf("producing to %s: %v", topic, err)
			}
		})
	}
	if err := s.client.Flush(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// purchase is a valid one of one product.
func (s *stage) purchase(number string) []byte {
	s.t.Helper()
	unit, product, amount := "U1", "P1", event.Millionths(1_000_000)
	value, err := s.encoder.Encode(1, &event.Purchase{
		AccountsReceivableIdentifier: &event.AccountIdentifier{Number: &number}, PerformedByUnitIdentifier: event.UnitIdentifier{AlternativeCode: &unit},
		PerformedOn: time.Now(), ReferenceNumber: number,
		ProductsSet: []event.PurchaseProduct{{ProductIdentifier: event.ProductIdentifier{Code: &product}, NetAmount: amount, VatAmount: amount, TotalAmount: amount}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return value
}

func TestAConnectorMakesItsTopicsAndRunsUntilItIsStopped(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		s.create("purchases", nil)
		s.produce("purchases", s.purchase("1"), s.purchase("2"), []byte("poison"))
		stop := s.run()
		if err := testkit.WaitCommitted(t.Context(), s.p.Cluster(), "sluice.purchases", "purchases", 0, 3); err != nil {
			t.Fatal(err)
		}
		if !s.obs.Pipeline("purchases").Snapshot().Started {
			t.Error("a pipeline that runs does not say so")
		}
		if err := stop(); err != nil {
			t.Errorf("a clean stop gives %v", err)
		}
		if n := s.vendors.Ledger().Count("crmcom.purchases"); n != 2 {
			t.Errorf("%d purchases were delivered, want 2", n)
		}
		if n := s.p.Cluster().PartitionInfo("sluice.purchases.dlq", 0).HighWatermark; n != 1 {
			t.Errorf("%d dead letters, want 1", n)
		}
		if s.p.Cluster().TopicInfo("sluice.purchases.retry.10s") == nil {
			t.Error("the retry topic was not made")
		}
		if s.obs.Pipeline("purchases").Snapshot().Started {
			t.Error("a pipeline that has ended says that it runs")
		}
	})
}

// A topic that could lose or refuse a record is told before anything is read, with what to do.
func TestAConnectorRefusesUnfitTopics(t *testing.T) {
	tests := map[string]struct {
		make func(s *stage)
		want []topics.Problem
	}{
		"nothing is there": {func(*stage) {}, []topics.Problem{
			{Topic: "purchases", Description: "the source of pipeline purchases does not exist", Remedy: "create it, or correct pipelines.purchases.topic"},
		}},
		"no topics of its own": {func(s *stage) { s.create("purchases", nil) }, []topics.Problem{
			{Topic: "sluice.purchases.retry.10s", Description: "it does not exist", Remedy: "run connector topics apply -c FILE"},
			{Topic: "sluice.purchases.dlq", Description: "it does not exist", Remedy: "run connector topics apply -c FILE"},
		}},
		"a retry topic that forgets": {func(s *stage) {
			s.create("purchases", nil)
			fit := map[string]string{"retention.ms": "-1", "max.message.bytes": "2000000"}
			s.create("sluice.purchases.dlq", fit)
			s.create("sluice.purchases.retry.10s", map[string]string{"retention.ms": "1000", "max.message.bytes": "2000000"})
		}, []topics.Problem{{
			Topic: "sluice.purchases.retry.10s", Description: "retention.ms is 1000, must be -1: the broker would delete records that are still needed",
			Remedy: "run connector topics apply -c FILE",
		}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				s := newStage(t, "pipelines: {purchases: {retry: {delays: [10s]}}}\n")
				test.make(s)
				err := s.connector.Run(t.Context(), t.Context())
				var unfit *topics.UnfitError
				if !errors.As(err, &unfit) || fmt.Sprint(unfit.Problems) != fmt.Sprint(test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
			})
		})
	}
}

// What waits in a tier that was taken out of the configuration is delivered; what nobody reads is named.
func TestLeftoversAreDrainedOrReported(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		for _, topic := range []string{"purchases", "sluice.purchases.retry.5s", "sluice.purchases.retry.1h", "sluice.purchases.parked", "sluice.gone.retry.1m", "other.purchases.retry.1m"} {
			s.create(topic, nil)
		}
		s.produce("sluice.purchases.retry.1h", s.purchase("1"))
		s.produce("sluice.purchases.retry.5s", s.purchase("2"))
		stop := s.run()
		for _, topic := range []string{"sluice.purchases.retry.1h", "sluice.purchases.retry.5s"} {
			if err := testkit.WaitCommitted(t.Context(), s.p.Cluster(), "sluice.purchases", topic, 0, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := s.vendors.Ledger().Count("crmcom.purchases"); n != 2 {
			t.Errorf("%d purchases were delivered, want 2", n)
		}
		for topic, want := range map[string]string{
			"sluice.purchases.retry.5s": "draining a retry tier that is no longer configured", "sluice.purchases.retry.1h": "draining a retry tier that is no longer configured",
			"sluice.gone.retry.1m":     "nobody reads this topic: the configuration does not name what wrote it",
			"sluice.purchases.parked":  "nobody reads this topic: the configuration does not name what wrote it",
			"other.purchases.retry.1m": "", "purchases": "", "sluice.purchases.retry.10s": "", "sluice.purchases.dlq": "",
		} {
			got := ""
			for _, line := range s.logs.FilterField(zap.String("topic", topic)).All() {
				got += line.Message
			}
			if got != want {
				t.Errorf("of %s is said %q, want %q", topic, got, want)
			}
		}
	})
}

// A broker holds max.message.bytes against a batch: dead letters that are written together must still be batches that their topic takes.
func TestDeadLettersThatTogetherAreMoreThanTheirTopicTakesAreWritten(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, "topics: {auto_create: true}\npipelines: {purchases: {retry: {delays: [10s]}, dead_letter: {guard: {max_ratio: 1}}}}\n")
		s.create("purchases", nil)
		var poison [][]byte
		for range 20 {
			poison = append(poison, bytes.Repeat([]byte("x"), 300<<10))
		}
		s.produce("purchases", poison...)
		stop := s.run()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := testkit.WaitCommitted(ctx, s.p.Cluster(), "sluice.purchases", "purchases", 0, 20); err != nil {
			t.Errorf("waiting for the commit: %v", err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := s.p.Cluster().PartitionInfo("sluice.purchases.dlq", 0).HighWatermark; n != 20 {
			t.Errorf("%d dead letters, want 20", n)
		}
	})
}

// A stop that comes while the brokers are still awaited is a stop, not a failure.
func TestAStopBeforeTheBrokersAnswerIsClean(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		if err := s.p.Close(); err != nil {
			t.Fatal(err)
		}
		deaf, err := s.network.Listen("tcp", s.p.Brokers()[0]) // it lets clients wait to be accepted
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
		stop := s.run()
		synctest.Wait()
		if err := stop(); err != nil {
			t.Errorf("stopping gives %v", err)
		}
	})
}
