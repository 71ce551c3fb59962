package main

import (
	"syscall"
	"testing"
	"time"

	"sluice/internal/config"
)

func TestRetryingInPlaceIsNotStuckBeforeItsDelaysHavePassed(t *testing.T) {
	retry := config.Retry{Delays: []time.Duration{10 * time.Minute, time.Hour}}
	after := stuckThresholds(&config.Config{Pipelines: []config.Pipeline{
		{Name: "purchases", Ordering: config.OrderingNone, Retry: retry}, {Name: "customer-changes", Ordering: config.OrderingKey, Retry: retry},
	}})
	for name, want := range map[string]time.Duration{"purchases": 15 * time.Minute, "customer-changes": 85 * time.Minute} {
		if got := after(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// Unreachable brokers are no reason to exit, because a restart would not help.
func TestRunWaitsForBrokersUntilASignal(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "nobody.yaml", `
kafka: {brokers: ["127.0.0.1:1"]}
schema_registry: {urls: ["http://127.0.0.1:1"]}
vendors: {crmcom: {base_url: "http://127.0.0.1:1", auth: {web_api_key: s3cr3t}}}
pipelines: {purchases: {}}
admin: {listen: ""}
`)
	run := startCommand(t, "run", "-c", path)
	run.awaitLine("Kafka requests failed, retrying")
	if code := run.endWith(syscall.SIGTERM); code != exitSuccess {
		t.Errorf("exit %d, want %d: there was nothing to drain", code, exitSuccess)
	}
}
