package observe

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Rates and alerts work only on series that exist before the first event.
func TestEverySeriesExistsFromTheStart(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	p := NewRegistry(reg).Pipeline("p")
	p.DeclareOperation("crmcom.purchases")
	p.DeclareTopic("sluice.purchases.dlq")

	want := map[string]float64{
		"sluice_pipeline_started{pipeline=p}":                                         0,
		"sluice_records_read_total{from=source pipeline=p}":                           0,
		"sluice_records_read_total{from=retry pipeline=p}":                            0,
		"sluice_read_bytes_total{from=source pipeline=p}":                             0,
		"sluice_read_bytes_total{from=retry pipeline=p}":                              0,
		"sluice_records_released_total{pipeline=p}":                                   0,
		"sluice_commit_failures_total{pipeline=p}":                                    0,
		"sluice_produce_failures_total{pipeline=p topic=sluice.purchases.dlq}":        0,
		"sluice_possible_duplicates_total{operation=crmcom.purchases pipeline=p}":     0,
		"sluice_delivery_delay_seconds{operation=crmcom.purchases pipeline=p}":        0,
		"sluice_vendor_call_duration_seconds{operation=crmcom.purchases pipeline=p}":  0,
		"sluice_vendor_call_items{operation=crmcom.purchases pipeline=p}":             0,
		"sluice_vendor_call_fill_ratio{operation=crmcom.purchases pipeline=p}":        0,
		"sluice_breaker_state{operation=crmcom.purchases pipeline=p state=closed}":    1,
		"sluice_breaker_state{operation=crmcom.purchases pipeline=p state=half-open}": 0,
		"sluice_breaker_state{operation=crmcom.purchases pipeline=p state=open}":      0,
	}
	const settled = "sluice_records_settled_total{cause=%s disposition=%s operation=%s pipeline=p}"
	want[fmt.Sprintf(settled, "", "delivered", "crmcom.purchases")] = 0
	want[fmt.Sprintf(settled, "retryable", "retried", "crmcom.purchases")] = 0
	for _, cause := range []string{"rejected", "invalid", "exhausted", "expired", "unknown", "too_large"} {
		want[fmt.Sprintf(settled, cause, "dead", "crmcom.purchases")] = 0
	}
	for _, cause := range []string{"poison", "unmapped", "tombstone"} {
		want[fmt.Sprintf(settled, cause, "dead", "")] = 0
	}
	for _, cause := range []string{"unmapped", "tombstone"} {
		want[fmt.Sprintf(settled, cause, "skipped", "")] = 0
	}
	for _, class := range []string{
		"delivered", "rejected", "unknown", "too_large", "unauthorized", "misconfigured", "throttled", "unavailable",
	} {
		want["sluice_vendor_calls_total{class="+class+" operation=crmcom.purchases pipeline=p}"] = 0
	}
	for _, reason := range []string{"commit_metadata", "older_copy", "late_copy"} {
		want["sluice_records_skipped_settled_total{pipeline=p reason="+reason+"}"] = 0
	}
	for _, reason := range []string{"unauthorized", "misconfigured", "unavailable", "throttled", "flood"} {
		want["sluice_hold{operation=crmcom.purchases pipeline=p reason="+reason+"}"] = 0
	}
	for _, reason := range HoldReasons() {
		want["sluice_hold{operation= pipeline=p reason="+string(reason)+"}"] = 0
	}

	got := gatherSeries(t, reg)
	for series, v := range want {
		if g, ok := got[series]; !ok || g != v {
			t.Errorf("%s: got %v (exists: %v), want %v", series, g, ok, v)
		}
		delete(got, series)
	}
	for series := range got {
		t.Errorf("got the series %s, want none of that name", series)
	}
}

func TestDeclaredOperationIsInTheStatus(t *testing.T) {
	p := NewRegistry(prometheus.NewRegistry()).Pipeline("p")
	p.DeclareOperation("crmcom.purchases")
	p.DeclareTopic("sluice.purchases.dlq")
	s := p.Snapshot()
	want := OperationStatus{
		Operation: "crmcom.purchases", Breaker: "closed", Dead: map[string]uint64{}, Calls: map[string]uint64{},
	}
	if len(s.Operations) != 1 || !reflect.DeepEqual(s.Operations[0], want) {
		t.Fatalf("got operations %+v, want %+v", s.Operations, want)
	}
	if n := len(s.Dead) + len(s.SkippedSettled) + len(s.ProduceFailures) + len(s.Operations[0].Calls); n != 0 {
		t.Errorf("got %d entries for zero counts, want none", n)
	}
}

func TestBuildInfoShowsVersionRevisionAndGoVersion(t *testing.T) {
	for revision, shown := range map[string]string{"abc": "abc", "": "unknown"} {
		reg := prometheus.NewPedanticRegistry()
		NewRegistry(reg).SetBuildInfo("v1.2.3", revision)
		series := "sluice_build_info{goversion=" + runtime.Version() + " revision=" + shown + " version=v1.2.3}"
		if got := gatherSeries(t, reg); got[series] != 1 {
			t.Errorf("got %v, want %s to be 1", got, series)
		}
	}
}

// docs/metrics.md is generated from the definitions, so each must match a registered metric.
func TestDefinitionsMatchTheRegisteredMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	r := NewRegistry(reg)
	r.SetBuildInfo("dev", "")
	p := r.Pipeline("p")
	p.DeclareOperation("crmcom.purchases")
	reportEverything(p)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != len(definitions()) {
		t.Errorf("got %d metrics, want the %d defined ones", len(families), len(definitions()))
	}
	for _, f := range families {
		i := slices.IndexFunc(definitions(), func(d definition) bool { return namespace+"_"+d.name == f.GetName() })
		if i < 0 {
			t.Errorf("metric %s is not defined", f.GetName())
			continue
		}
		checkFamily(t, definitions()[i], f)
	}
}

func checkFamily(t *testing.T, want definition, got *dto.MetricFamily) {
	t.Helper()
	if kind := strings.ToLower(got.GetType().String()); kind != string(want.kind) || got.GetHelp() != want.help {
		t.Errorf("%s: got %s %q, want %s %q", want.name, kind, got.GetHelp(), want.kind, want.help)
	}
	for _, m := range got.GetMetric() {
		if len(m.GetLabel()) != len(want.labels) {
			t.Errorf("%s: got %d labels, want %d", want.name, len(m.GetLabel()), len(want.labels))
		}
		for _, l := range m.GetLabel() {
			if !want.allows(l.GetName(), l.GetValue()) {
				t.Errorf("%s: label %s=%q is not documented", want.name, l.GetName(), l.GetValue())
			}
		}
	}
}

// allows reports whether value is documented, if the label has listed values.
func (d definition) allows(name, value string) bool {
	for _, l := range d.labels {
		if l.name == name {
			listed := slices.ContainsFunc(l.values, func(v labelValue) bool { return v.value == value })
			return len(l.values) == 0 || listed
		}
	}
	return false
}

func TestEveryHoldReasonHasARemedy(t *testing.T) {
	for _, reason := range HoldReasons() {
		if text := holdDescriptions[reason]; text.meaning == "" || text.remedy == "" {
			t.Errorf("hold reason %s: got %+v, want a meaning and a remedy", reason, text)
		}
	}
	if len(holdDescriptions) != len(HoldReasons()) {
		t.Errorf("got %d remedies for %d hold reasons", len(holdDescriptions), len(HoldReasons()))
	}
}
