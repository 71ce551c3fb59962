package main

import (
	"syscall"
	"testing"
	"time"

	"sluice/internal/config"
)

func TestARecordThatWaitsInItsPlaceIsNotStuckBeforeItsDelaysAreOver(t *testing.T) {
	retry := config.Retry{Delays: []time.Duration{10 * time.Minute, time.Hour}}
	after := stuckAfter(&config.Config{Pipelines: []config.Pipeline{
		{Name: "purchases", Ordering: config.OrderingNone, Retry: retry}, {Name: "customer-changes", Ordering: config.OrderingKey, Retry: retry},
	}})
	for name, want := range map[string]time.Duration{"purchases": 15 * time.Minute, "customer-changes": 85 * time.Minute} {
		if got := after(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// No broker is no reason to end: a supervisor that starts the process again and again helps nobody.
func TestRunWaitsForBrokersUntilASignal(t *testing.T) {
	t.Parallel()
	path := write(t, "nobody.yaml", `
kafka: {brokers: ["127.0.0.1:1"]}
schema_registry: {urls: ["http://127.0.0.1:1"]}
vendors: {crmcom: {base_url: "http://127.0.0.1:1", auth: {web_api_key: s3cr3t}}}
pipelines: {purchases: {}}
admin: {listen: ""}
`)
	run := start(t, "run", "-c", path)
	run.await("the brokers cannot be asked; nothing is read until they answer")
	if code := run.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit %d, want %d: there was nothing to drain", code, exitDone)
	}
}
