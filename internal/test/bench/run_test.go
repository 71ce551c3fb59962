package bench_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/internal/demo/sandbox"
)

// BenchmarkRun delivers b.N purchases of two products through `connector run`, from an embedded
// broker with 8 partitions to a fake vendor that responds at once, both in this process.
//
// cpu-ns/record is the user and system time of the connector's process, its start included.
// records/s is wall-clock time, with all three on the same cores.
func BenchmarkRun(b *testing.B) {
	binary := buildConnector(b)
	platform := startFilledPlatform(b)
	handler := &callCounter{Handler: sandbox.New(sandbox.Options{Instant: true}).Handler(sandbox.CRMCOM)}
	vendor := httptest.NewServer(handler)
	defer vendor.Close()
	configFile := filepath.Join(b.TempDir(), "bench.yaml")
	if err := os.WriteFile(configFile, []byte(configYAML(platform, vendor.URL)), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), binary, "run", "-c", configFile)
	cmd.Stderr = os.Stderr
	b.ResetTimer()
	startedAt := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	awaitAllCommitted(b, platform)
	elapsed := time.Since(startedAt)
	b.StopTimer()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "records/s")
	reportProcessTime(b, cmd.ProcessState)
	b.ReportMetric(float64(b.N)/float64(handler.calls.Load()), "records/call")
}

// reportProcessTime reports the CPU time of a process that has exited.
func reportProcessTime(b *testing.B, state *os.ProcessState) {
	b.Helper()
	cpuTime := state.UserTime() + state.SystemTime()
	b.ReportMetric(float64(cpuTime.Nanoseconds())/float64(b.N), "cpu-ns/record")
}

func buildConnector(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "connector")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", binary, "sluice/cmd/connector")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("building the connector: %v\n%s", err, out)
	}
	return binary
}

// callCounter counts the calls that carry items.
type callCounter struct {
	http.Handler
	calls atomic.Int64
}

func (c *callCounter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if filepath.Base(r.URL.Path) == "create" {
		c.calls.Add(1)
	}
	c.Handler.ServeHTTP(w, r)
}
