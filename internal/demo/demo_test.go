package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"sluice/internal/demo"
	"sluice/internal/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// jsonFigures are the figures of one pipeline or operation in the JSON report.
type jsonFigures map[string]float64

// No record is lost, every operation delivers, every scripted fault occurs, and the JSON report is
// complete.
func TestCompleteRunKeepsEveryPromise(t *testing.T) {
	t.Parallel() // most of the time it waits for the clock
	report, err := demo.RunDemo(t.Context(), t.Context(), demo.Options{
		Duration: demo.MinDuration, Rate: 200, Seed: 7, Log: zaptest.NewLogger(t),
		Screen: demo.Screen{Writer: t.Output()},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, failure := range report.Failures {
		t.Error(failure)
	}
	var out bytes.Buffer
	if err := report.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Pipelines  map[string]jsonFigures `json:"pipelines"`
		Operations map[string]jsonFigures `json:"operations"`
		Faults     map[string]int         `json:"faults"`
	}
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	wantPipelines, wantOperations := map[string]bool{}, map[string]bool{}
	for name, vendor := range pipeline.BuiltinVendors() {
		for _, spec := range vendor.Specs() {
			wantPipelines[spec.DefaultPipeline], wantOperations[name+"."+spec.Name] = true, true
		}
	}
	checkKeys(t, "pipelines", got.Pipelines, wantPipelines)
	checkKeys(t, "operations", got.Operations, wantOperations)
	for name, figures := range got.Pipelines {
		checkFigures(t, name, figures)
	}
	for name, figures := range got.Operations {
		checkFigures(t, name, figures)
	}
	checkFaults(t, got.Faults)
}

func checkKeys(t *testing.T, what string, got map[string]jsonFigures, want map[string]bool) {
	t.Helper()
	names, wantNames := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))
	if !slices.Equal(names, wantNames) || len(wantNames) == 0 {
		t.Errorf("%s: got %v, want those of the registered vendors: %v", what, names, wantNames)
	}
}

func checkFigures(t *testing.T, name string, figures jsonFigures) {
	t.Helper()
	for _, key := range []string{
		"produced", "delivered", "retrying", "dead", "skipped", "unsettled", "lost", "duplicates", "calls",
		"records_per_call", "delay_p50_ms", "delay_p99_ms",
	} {
		if _, there := figures[key]; !there {
			t.Errorf("%s: the figures have no %s", name, key)
		}
	}
	if sum := figures["delivered"] + figures["retrying"] + figures["dead"] +
		figures["skipped"]; sum != figures["produced"] || figures["lost"] != 0 || figures["unsettled"] != 0 {
		t.Errorf("%s: got %v, want a sum of the outcomes equal to produced, and none lost or unsettled", name, figures)
	}
	if figures["delivered"] == 0 || figures["calls"] == 0 || figures["records_per_call"] <= 0 {
		t.Errorf("%s: got %v, want some delivered in some calls", name, figures)
	}
	if figures["delay_p50_ms"] <= 0 || figures["delay_p99_ms"] < figures["delay_p50_ms"] {
		t.Errorf(
			"%s: got delays p50 %v ms and p99 %v ms, want p50 positive and at most p99", name, figures["delay_p50_ms"],
			figures["delay_p99_ms"],
		)
	}
}

func checkFaults(t *testing.T, faults map[string]int) {
	t.Helper()
	for _, name := range []string{
		"rejected_item", "retryable_item", "exhausted_item", "refused_named", "refused_unnamed", "forgotten_items",
		"throttled", "expired_token", "outage",
		"breaker_opened", "skipped_tombstone", "poison", "invalid", "unmapped", "tombstone",
	} {
		if faults[name] == 0 {
			t.Errorf("fault %s: got 0 occurrences, want some", name)
		}
	}
}

// stoppingWriter stops the run when the view is written for the third time.
type stoppingWriter struct {
	stop  context.CancelFunc
	lines int
}

func (s *stoppingWriter) Write(data []byte) (int, error) {
	if s.lines++; s.lines == 3 {
		s.stop()
	}
	return len(data), nil
}

func TestStoppedRunDrainsAndLosesNothing(t *testing.T) {
	t.Parallel()
	fetchCtx, stop := context.WithCancel(t.Context())
	defer stop()
	report, err := demo.RunDemo(fetchCtx, t.Context(), demo.Options{
		Rate: 200, Seed: 3, Log: zaptest.NewLogger(t), Screen: demo.Screen{Writer: &stoppingWriter{stop: stop}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, failure := range report.Failures {
		t.Error(failure)
	}
	if report.Total.Delivered == 0 || report.Total.Lost != 0 {
		t.Errorf("got %+v, want some delivered and none lost", report.Total)
	}
}

func TestOptionsOutOfRangeAreRejected(t *testing.T) {
	for _, opts := range []demo.Options{
		{Duration: time.Second, Rate: 200}, {Duration: -time.Second, Rate: 200}, {Rate: 0}, {Rate: demo.MinRate - 1},
		{Rate: demo.MaxRate + 1},
	} {
		if _, err := demo.RunDemo(t.Context(), t.Context(), opts); err == nil {
			t.Errorf("%+v: got no error", opts)
		}
	}
}
