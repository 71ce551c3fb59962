package observe

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"sluice/internal/record"
	"sluice/internal/sink"
)

// gatherSeries returns the registry's series as "name{label=value ...}", histograms by their number
// of observations.
func gatherSeries(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			series[f.GetName()+"{"+strings.Join(labels, " ")+"}"] = metricValue(f.GetType(), m)
		}
	}
	return series
}

func metricValue(kind dto.MetricType, m *dto.Metric) float64 {
	switch kind {
	case dto.MetricType_COUNTER:
		return m.GetCounter().GetValue()
	case dto.MetricType_GAUGE:
		return m.GetGauge().GetValue()
	default:
		return float64(m.GetHistogram().GetSampleCount())
	}
}

// reportEverything calls each method at least once, with a different number each time.
func reportEverything(p *Pipeline) {
	p.SetStarted(true)
	p.RecordsRead(false, 10, 1000)
	p.RecordsRead(true, 2, 200)
	p.RecordsSettled("crmcom.purchases", record.DispositionDelivered, "", 5)
	p.RecordsSettled("crmcom.purchases", record.DispositionDead, record.CauseRejected, 3)
	p.RecordsSettled("crmcom.purchases", record.DispositionRetried, record.CauseRetryable, 4)
	p.RecordsSettled("", record.DispositionDead, record.CauseUnmapped, 1)
	p.RecordsSettled("", record.DispositionSkipped, "", 6)
	p.DeliveryDelay("crmcom.purchases", 3*time.Second)
	p.VendorCall("crmcom.purchases", sink.Delivered, 8, 0.8, time.Second)
	p.VendorCall("crmcom.purchases", sink.Unavailable, 8, 0.8, time.Second)
	p.PossibleDuplicates("crmcom.purchases", 7)
	p.RecordsSkippedSettled(SkipCommitMetadata, 9)
	p.CommitFailed()
	p.ProduceFailed("sluice.purchases.dlq")
	p.RecordsReleased(11)
	p.SetBreakerState("crmcom.purchases", "open")
	p.SetHold("crmcom.purchases", HoldUnavailable)
	p.SetHold("", HoldRegistry)
	p.ReportPartition("purchases", 10, 100, 4*time.Second, 12)
	p.ReportPartition("purchases", 2, 50, 0, 0)
}

func TestEachMethodChangesItsMetricAndNoOther(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reportEverything(NewRegistry(reg).Pipeline("p"))
	want := map[string]float64{
		"sluice_pipeline_started{pipeline=p}":                                                                     1,
		"sluice_records_read_total{from=source pipeline=p}":                                                       10,
		"sluice_records_read_total{from=retry pipeline=p}":                                                        2,
		"sluice_read_bytes_total{from=source pipeline=p}":                                                         1000,
		"sluice_read_bytes_total{from=retry pipeline=p}":                                                          200,
		"sluice_records_settled_total{cause= disposition=delivered operation=crmcom.purchases pipeline=p}":        5,
		"sluice_records_settled_total{cause=rejected disposition=dead operation=crmcom.purchases pipeline=p}":     3,
		"sluice_records_settled_total{cause=retryable disposition=retried operation=crmcom.purchases pipeline=p}": 4,
		"sluice_records_settled_total{cause=unmapped disposition=dead operation= pipeline=p}":                     1,
		"sluice_records_settled_total{cause= disposition=skipped operation= pipeline=p}":                          6,
		"sluice_delivery_delay_seconds{operation=crmcom.purchases pipeline=p}":                                    1,
		"sluice_vendor_calls_total{class=delivered operation=crmcom.purchases pipeline=p}":                        1,
		"sluice_vendor_calls_total{class=unavailable operation=crmcom.purchases pipeline=p}":                      1,
		"sluice_vendor_call_duration_seconds{operation=crmcom.purchases pipeline=p}":                              2,
		"sluice_vendor_call_items{operation=crmcom.purchases pipeline=p}":                                         2,
		"sluice_vendor_call_fill_ratio{operation=crmcom.purchases pipeline=p}":                                    2,
		"sluice_possible_duplicates_total{operation=crmcom.purchases pipeline=p}":                                 7,
		"sluice_records_skipped_settled_total{pipeline=p reason=commit_metadata}":                                 9,
		"sluice_commit_failures_total{pipeline=p}":                                                                1,
		"sluice_produce_failures_total{pipeline=p topic=sluice.purchases.dlq}":                                    1,
		"sluice_records_released_total{pipeline=p}":                                                               11,
		"sluice_breaker_state{operation=crmcom.purchases pipeline=p state=open}":                                  1,
		"sluice_breaker_state{operation=crmcom.purchases pipeline=p state=closed}":                                0,
		"sluice_breaker_state{operation=crmcom.purchases pipeline=p state=half-open}":                             0,
		"sluice_hold{operation=crmcom.purchases pipeline=p reason=unavailable}":                                   1,
		"sluice_hold{operation= pipeline=p reason=registry}":                                                      1,
		"sluice_partition_lag_records{partition=10 pipeline=p topic=purchases}":                                   100,
		"sluice_partition_lag_records{partition=2 pipeline=p topic=purchases}":                                    50,
		"sluice_partition_oldest_unsettled_seconds{partition=10 pipeline=p topic=purchases}":                      4,
		"sluice_partition_oldest_unsettled_seconds{partition=2 pipeline=p topic=purchases}":                       0,
		"sluice_partition_in_flight_records{partition=10 pipeline=p topic=purchases}":                             12,
		"sluice_partition_in_flight_records{partition=2 pipeline=p topic=purchases}":                              0,
	}
	got := gatherSeries(t, reg)
	for series, v := range want {
		if g, ok := got[series]; !ok || g != v {
			t.Errorf("%s: got %v (exists: %v), want %v", series, g, ok, v)
		}
		delete(got, series)
	}
	for series, v := range got {
		if v != 0 {
			t.Errorf("%s: got %v, want 0", series, v)
		}
	}
}

func TestNilPipelineRecordsNothing(t *testing.T) {
	var p *Pipeline
	reportEverything(p)
	p.DeclareOperation("crmcom.purchases")
	p.DeclareTopic("sluice.purchases.dlq")
	p.ForgetPartition("purchases", 10)
	if s := p.Snapshot(); !reflect.DeepEqual(s, PipelineStatus{}) {
		t.Errorf("got %+v, want the zero status", s)
	}
}

func TestPipelinesAreFoundByName(t *testing.T) {
	r := NewRegistry(prometheus.NewRegistry())
	b, a := r.Pipeline("b"), r.Pipeline("a")
	if r.Pipeline("b") != b || a == b {
		t.Error("got two pipelines for one name, want the same")
	}
	if got := r.Pipelines(); len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("got %v, want a and b", got)
	}
}

func TestConcurrentCountsAddUp(t *testing.T) {
	p := NewRegistry(prometheus.NewRegistry()).Pipeline("p")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				p.RecordsSettled("crmcom.purchases", record.DispositionDelivered, "", 1)
				p.SetHold("crmcom.purchases", HoldThrottled)
				p.SetHold("crmcom.purchases", "")
				p.Snapshot()
			}
		})
	}
	wg.Wait()
	if s := p.Snapshot(); s.Delivered != 4000 || s.Operations[0].Hold != nil {
		t.Errorf("got %d delivered and hold %v, want 4000 and none", s.Delivered, s.Operations[0].Hold)
	}
}

func TestEndedHoldIsZeroAndForgottenPartitionIsGone(t *testing.T) {
	reg := prometheus.NewRegistry()
	p := NewRegistry(reg).Pipeline("p")
	p.SetHold("crmcom.purchases", HoldThrottled)
	p.SetHold("crmcom.purchases", HoldUnavailable)
	p.ReportPartition("purchases", 1, 1, time.Second, 1)
	got := gatherSeries(t, reg)
	if got["sluice_hold{operation=crmcom.purchases pipeline=p reason=throttled}"] != 0 {
		t.Error("got 1 for the earlier reason after it was replaced, want 0")
	}
	p.SetHold("crmcom.purchases", "")
	p.ForgetPartition("purchases", 1)
	for series, v := range gatherSeries(t, reg) {
		if strings.HasPrefix(series, "sluice_hold{") && v != 0 {
			t.Errorf("%s: got %v after the end of the hold, want 0", series, v)
		}
		if strings.HasPrefix(series, "sluice_partition_") {
			t.Errorf("%s still exists", series)
		}
	}
}

func BenchmarkRecordsSettled(b *testing.B) {
	p := NewRegistry(prometheus.NewRegistry()).Pipeline("p")
	b.ReportAllocs()
	for b.Loop() {
		p.RecordsSettled("crmcom.purchases", record.DispositionDelivered, "", 1)
	}
}

// A single item that exceeds the byte limit gets a call of its own.
func TestFillRatioIsAtMostOne(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	NewRegistry(reg).Pipeline("p").VendorCall("crmcom.purchases", sink.Delivered, 1, 2.5, time.Second)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sluice_vendor_call_fill_ratio" && f.GetMetric()[0].GetHistogram().GetSampleSum() != 1 {
			t.Errorf("got fill ratio %v, want 1", f.GetMetric()[0].GetHistogram().GetSampleSum())
		}
	}
}
