package main

import (
	"encoding/json"
	"testing"

	"sluice/internal/pipeline"
)

// The demo as a user starts it: it ends by itself, prints one JSON object and nothing else, and its
// ledger is complete.
func TestDemoLosesNothingAndDeliversThroughEveryOperation(t *testing.T) {
	t.Parallel()
	var report struct {
		Pipelines, Operations map[string]struct {
			Produced, Delivered, Retrying, Dead, Skipped, Unsettled, Lost int
		}
		Faults map[string]int
	}
	if err := json.Unmarshal([]byte(mustRun(t, "demo", "--duration", "10s", "--json")), &report); err != nil {
		t.Fatalf("decoding the demo's output: %v", err)
	}
	for name, p := range report.Pipelines {
		if p.Lost != 0 || p.Produced == 0 || p.Produced != p.Delivered+p.Retrying+p.Dead+p.Skipped+p.Unsettled {
			t.Errorf("pipeline %s: %+v", name, p)
		}
	}
	for name, o := range report.Operations {
		if o.Delivered == 0 {
			t.Errorf("operation %s delivered nothing", name)
		}
	}
	operations, pipelines := 0, map[string]bool{}
	for _, vendor := range pipeline.BuiltinVendors() {
		for _, spec := range vendor.Specs() {
			operations++
			pipelines[spec.DefaultPipeline] = true
		}
	}
	if len(report.Pipelines) != len(pipelines) || len(report.Operations) != operations || operations == 0 {
		t.Errorf("%d pipelines and %d operations, want %d and %d", len(report.Pipelines), len(report.Operations),
			len(pipelines), operations)
	}
	for name, times := range report.Faults {
		if times == 0 {
			t.Errorf("fault %s never occurred", name)
		}
	}
}
