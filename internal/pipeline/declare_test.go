package pipeline_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sluice/internal/config"
	"sluice/internal/observe"
	"sluice/internal/pipeline"
)

// An alert on a series that does not exist never fires, so the series exist before any broker has
// responded.
func TestConfiguredSeriesExistBeforeTheConnectorRuns(t *testing.T) {
	cfg, err := config.Parse("test.yaml", []byte(`
kafka: {brokers: ["broker.example:9092"]}
vendors: {crmcom: {base_url: "http://crm.example/v2", auth: {web_api_key: key}}}
pipelines: {purchases: {retry: {delays: [10s]}}}
`), config.Options{Env: func(string) (string, bool) { return "", false }, Vendors: pipeline.VendorTypes()})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry()
	options := pipeline.Options{Observe: observe.NewRegistry(reg), Log: zap.NewNop()}
	if _, err := pipeline.NewConnector(cfg, options); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	label := map[string]string{ // of one series that each metric must have
		"sluice_vendor_calls_total":        "crmcom.purchases",
		"sluice_records_settled_total":     "crmcom.purchases",
		"sluice_possible_duplicates_total": "crmcom.purchases",
		"sluice_breaker_state":             "crmcom.purchases",
		"sluice_hold":                      "crmcom.purchases",
		"sluice_produce_failures_total":    "sluice.purchases.retry.10s",
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label[f.GetName()] {
					delete(label, f.GetName())
				}
			}
		}
	}
	for metric, value := range label {
		t.Errorf("%s has no series for %s", metric, value)
	}
}
