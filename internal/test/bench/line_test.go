package bench_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"

	"sluice/internal/config"
	"sluice/internal/demo/embedded"
	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/event/encode"
	"sluice/internal/observe"
	"sluice/internal/pipeline"
	"sluice/internal/test/testkit"
	"sluice/schemas"
)

const benchParts = 8

func purchase(b *testing.B, i int) *event.Purchase {
	b.Helper()
	dec := func(s string) event.Decimal {
		d, err := event.ParseDecimal(s)
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	number, unit, product := strconv.Itoa(100000+i), "U1", "P1"
	quantity := dec("2")
	return &event.Purchase{
		AccountsReceivableIdentifier: &event.AccountIdentifier{Number: &number},
		PerformedByUnitIdentifier:    event.UnitIdentifier{AlternativeCode: &unit},
		PerformedOn:                  time.UnixMilli(1_700_000_000_000 + int64(i)),
		ReferenceNumber:              "R" + number,
		ProductsSet: []event.PurchaseProduct{
			{ProductIdentifier: event.ProductIdentifier{Code: &product}, Quantity: &quantity, NetAmount: dec("50"), VatAmount: dec("9.5"), TotalAmount: dec("59.5")},
			{ProductIdentifier: event.ProductIdentifier{Code: &product}, NetAmount: dec("12.25"), VatAmount: dec("2.33"), TotalAmount: dec("14.58")},
		},
	}
}

// BenchmarkLine takes b.N purchases of two products through a whole pipeline: an embedded broker with 8 partitions, and a vendor that answers at once.
// All of it runs in this process, so the figure of CPU holds the broker and the vendor too; make bench measures the connector alone.
func BenchmarkLine(b *testing.B) {
	p := filled(b)
	server := sandbox.New(sandbox.Options{Instant: true})
	web := httptest.NewServer(server.Handler(sandbox.CRMCOM))
	defer web.Close()
	cfg := benchConfig(b, p, web.URL)
	c, err := pipeline.NewConnector(cfg, pipeline.Options{Observe: observe.NewRegistry(prometheus.NewRegistry()), Log: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	take, stop := context.WithCancel(b.Context())
	ended := make(chan error)
	runtime.GC()
	b.ResetTimer()
	before := cpu()
	go func() { ended <- c.Run(take, b.Context()) }()
	awaitAll(b, p)
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// awaitAll waits until the group has committed all b.N records.
func awaitAll(b *testing.B, p *embedded.Platform) {
	b.Helper()
	for part := range benchParts {
		if err := testkit.WaitCommitted(b.Context(), p.Cluster(), "sluice.purchases", "purchases", int32(part), int64((b.N+benchParts-1-part)/benchParts)); err != nil {
			b.Fatal(err)
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// filled is a platform with b.N purchases in its topic.
func filled(b *testing.B) *embedded.Platform {
	b.Helper()
	p := testkit.StartPlatform(b, embedded.Options{})
	if err := p.Cluster().CreateTopic("purchases", benchParts, nil); err != nil {
		b.Fatal(err)
	}
	fill(b, p, b.N)
	return p
}

// purchaseSchema is the text of the events' schema.
func purchaseSchema() string {
	for _, s := range schemas.All() {
		if s.Name == "sluice.crmcom.Purchase" {
			return s.JSON
		}
	}
	return ""
}

func fill(b *testing.B, p *embedded.Platform, n int) {
	b.Helper()
	registry, err := sr.NewClient(sr.URLs(p.RegistryURL()))
	if err != nil {
		b.Fatal(err)
	}
	subject, err := registry.CreateSchema(b.Context(), "purchases-value", sr.Schema{Schema: purchaseSchema()})
	if err != nil {
		b.Fatal(err)
	}
	enc, err := encode.NewEncoder()
	if err != nil {
		b.Fatal(err)
	}
	client := testkit.NewClient(b, p, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range n {
		value, err := enc.Encode(subject.ID, purchase(b, i))
		if err != nil {
			b.Fatal(err)
		}
		client.Produce(b.Context(), &kgo.Record{Topic: "purchases", Partition: int32(i % benchParts), Key: binary.BigEndian.AppendUint32(nil, uint32(i)), Value: value}, nil)
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func benchText(p *embedded.Platform, vendor string) string {
	return fmt.Sprintf(`
kafka: {brokers: [%q]}
schema_registry: {urls: [%q]}
topics: {auto_create: true}
vendors:
  crmcom: {base_url: %q, auth: {web_api_key: %q}}
pipelines:
  purchases: {}
admin: {listen: ""}
log: {level: warn}
`, p.Brokers()[0], p.RegistryURL(), vendor+"/crmapi/rest/v2", sandbox.DefaultWebAPIKey)
}

func benchConfig(b *testing.B, p *embedded.Platform, vendor string) *config.Config {
	b.Helper()
	cfg, err := config.Parse("bench.yaml", []byte(benchText(p, vendor)), config.Options{Env: os.LookupEnv, Vendors: pipeline.VendorTypes()})
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}
