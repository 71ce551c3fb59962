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

const (
	sourceTopic      = "purchases"
	sourcePartitions = 8
)

// BenchmarkPipeline delivers b.N purchases of two products through a pipeline, from an embedded
// broker with 8 partitions to a fake vendor that responds at once. Everything runs in this process,
// so cpu-ns/op includes the broker and the vendor; BenchmarkRun measures the connector alone.
func BenchmarkPipeline(b *testing.B) {
	platform := startFilledPlatform(b)
	vendor := httptest.NewServer(sandbox.New(sandbox.Options{Instant: true}).Handler(sandbox.CRMCOM))
	defer vendor.Close()
	connector, err := pipeline.NewConnector(parseConfig(b, platform, vendor.URL), pipeline.Options{
		Observe: observe.NewRegistry(prometheus.NewRegistry()), Log: zap.NewNop(),
	})
	if err != nil {
		b.Fatal(err)
	}
	fetchCtx, stopFetching := context.WithCancel(b.Context())
	ended := make(chan error)
	runtime.GC()
	b.ResetTimer()
	cpuBefore := processTime(b)
	go func() { ended <- connector.Run(fetchCtx, b.Context()) }()
	awaitAllCommitted(b, platform)
	b.StopTimer()
	b.ReportMetric(float64((processTime(b)-cpuBefore).Nanoseconds())/float64(b.N), "cpu-ns/op")
	stopFetching()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// awaitAllCommitted waits until the consumer group has committed all b.N records.
func awaitAllCommitted(b *testing.B, platform *embedded.Platform) {
	b.Helper()
	for partition := range sourcePartitions {
		end := int64((b.N + sourcePartitions - 1 - partition) / sourcePartitions)
		err := testkit.WaitCommitted(b.Context(), platform.Cluster(), "sluice.purchases",
			sourceTopic, int32(partition), end)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// processTime returns the user and system time that this process has used.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// startFilledPlatform starts a platform that has b.N purchases in the source topic.
func startFilledPlatform(b *testing.B) *embedded.Platform {
	b.Helper()
	platform := testkit.StartPlatform(b, embedded.Options{})
	if err := platform.Cluster().CreateTopic(sourceTopic, sourcePartitions, nil); err != nil {
		b.Fatal(err)
	}
	producePurchases(b, platform, b.N)
	return platform
}

func purchaseSchema() string {
	for _, schema := range schemas.All() {
		if schema.Name == "sluice.crmcom.Purchase" {
			return schema.JSON
		}
	}
	return ""
}

func producePurchases(b *testing.B, platform *embedded.Platform, count int) {
	b.Helper()
	registry, err := sr.NewClient(sr.URLs(platform.RegistryURL()))
	if err != nil {
		b.Fatal(err)
	}
	subject, err := registry.CreateSchema(b.Context(), "purchases-value", sr.Schema{Schema: purchaseSchema()})
	if err != nil {
		b.Fatal(err)
	}
	encoder, err := encode.NewEncoder()
	if err != nil {
		b.Fatal(err)
	}
	client := testkit.NewClient(b, platform, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range count {
		value, err := encoder.Encode(subject.ID, newPurchase(b, i))
		if err != nil {
			b.Fatal(err)
		}
		client.Produce(b.Context(), &kgo.Record{
			Topic: sourceTopic, Partition: int32(i % sourcePartitions),
			Key: binary.BigEndian.AppendUint32(nil, uint32(i)), Value: value,
		}, nil)
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// newPurchase returns a valid purchase of two products.
func newPurchase(b *testing.B, number int) *event.Purchase {
	b.Helper()
	decimal := func(text string) event.Decimal {
		d, err := event.ParseDecimal(text)
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	account, unit, product := strconv.Itoa(100000+number), "U1", "P1"
	quantity := decimal("2")
	return &event.Purchase{
		AccountsReceivableIdentifier: &event.AccountIdentifier{Number: &account},
		PerformedByUnitIdentifier:    event.UnitIdentifier{AlternativeCode: &unit},
		PerformedOn:                  time.UnixMilli(1_700_000_000_000 + int64(number)),
		ReferenceNumber:              "R" + account,
		ProductsSet: []event.PurchaseProduct{
			{
				ProductIdentifier: event.ProductIdentifier{Code: &product}, Quantity: &quantity,
				NetAmount: decimal("50"), VatAmount: decimal("9.5"), TotalAmount: decimal("59.5"),
			},
			{
				ProductIdentifier: event.ProductIdentifier{Code: &product},
				NetAmount:         decimal("12.25"), VatAmount: decimal("2.33"), TotalAmount: decimal("14.58"),
			},
		},
	}
}

func configYAML(platform *embedded.Platform, vendorURL string) string {
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
`, platform.Brokers()[0], platform.RegistryURL(), vendorURL+"/crmapi/rest/v2", sandbox.DefaultWebAPIKey)
}

func parseConfig(b *testing.B, platform *embedded.Platform, vendorURL string) *config.Config {
	b.Helper()
	options := config.Options{Env: os.LookupEnv, Vendors: pipeline.VendorTypes()}
	cfg, err := config.Parse("bench.yaml", []byte(configYAML(platform, vendorURL)), options)
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}
