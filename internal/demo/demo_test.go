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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// jsonFigures are those of one pipeline or operation as the JSON has them.
type jsonFigures map[string]float64

// A whole run: nothing is lost, every operation delivers, everything that the script has in store happens, and the JSON says so.
func TestARunKeepsEveryPromise(t *testing.T) {
	t.Parallel() // it waits for the clock most of the time
	r, err := demo.RunDemo(t.Context(), t.Context(), demo.Options{
		Duration: demo.MinDuration, Rate: 200, Seed: 7, Log: zaptest.NewLogger(t), Screen: demo.Screen{Writer: t.Output()},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Error(f)
	}
	var out bytes.Buffer
	if err := r.WriteJSON(&out); err != nil {
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
	if want := []string{"activities", "customer-changes", "feedback", "purchases", "referrals"}; !slices.Equal(slices.Sorted(maps.Keys(got.Pipelines)), want) {
		t.Errorf("pipelines %v, want %v", slices.Sorted(maps.Keys(got.Pipelines)), want)
	}
	if len(got.Operations) != 11 {
		t.Errorf("%d operations, want 11", len(got.Operations))
	}
	for name, f := range got.Pipelines {
		checkFigures(t, name, f)
	}
	for name, f := range got.Operations {
		checkFigures(t, name, f)
	}
	checkFaults(t, got.Faults)
}

func checkFigures(t *testing.T, name string, f jsonFigures) {
	t.Helper()
	for _, key := range []string{
		"produced", "delivered", "retrying", "dead", "skipped", "unsettled", "lost", "duplicates", "calls", "records_per_call", "delay_p50_ms", "delay_p99_ms",
	} {
		if _, there := f[key]; !there {
			t.Errorf("%s has no %s", name, key)
		}
	}
	if sum := f["delivered"] + f["retrying"] + f["dead"] + f["skipped"]; sum != f["produced"] || f["lost"] != 0 || f["unsettled"] != 0 {
		t.Errorf("%s does not add up: %v", name, f)
	}
	if f["delivered"] == 0 || f["calls"] == 0 || f["records_per_call"] <= 0 {
		t.Errorf("%s delivered nothing: %v", name, f)
	}
	if f["delay_p50_ms"] <= 0 || f["delay_p99_ms"] < f["delay_p50_ms"] {
		t.Errorf("%s: delays of %v ms and %v ms", name, f["delay_p50_ms"], f["delay_p99_ms"])
	}
}

func checkFaults(t *testing.T, faults map[string]int) {
	t.Helper()
	for _, name := range []string{
		"rejected_item", "retryable_item", "exhausted_item", "refused_named", "refused_unnamed", "forgotten_items", "throttled", "expired_token", "outage",
		"breaker_opened", "skipped_tombstone", "poison", "invalid", "unmapped", "tombstone",
	} {
		if faults[name] == 0 {
			t.Errorf("fault %s did not happen", name)
		}
	}
}

// stoppingWriter is a screen that stops the run when it has been drawn on three times.
type stoppingWriter struct {
	stop  context.CancelFunc
	lines int
}

func (s *stoppingWriter) Write(p []byte) (int, error) {
	if s.lines++; s.lines == 3 {
		s.stop()
	}
	return len(p), nil
}

func TestARunThatIsStoppedDrainsAndLosesNothing(t *testing.T) {
	t.Parallel()
	fetchCtx, stop := context.WithCancel(t.Context())
	defer stop()
	r, err := demo.RunDemo(fetchCtx, t.Context(), demo.Options{Rate: 200, Seed: 3, Log: zaptest.NewLogger(t), Screen: demo.Screen{Writer: &stoppingWriter{stop: stop}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Error(f)
	}
	if r.Total.Delivered == 0 || r.Total.Lost != 0 {
		t.Errorf("%+v, want some delivered and none lost", r.Total)
	}
}

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	for _, o := range []demo.Options{
		{Duration: time.Second, Rate: 200}, {Duration: -time.Second, Rate: 200}, {Rate: 0}, {Rate: demo.MinRate - 1}, {Rate: demo.MaxRate + 1},
	} {
		if _, err := demo.RunDemo(t.Context(), t.Context(), o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
