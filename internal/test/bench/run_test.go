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

// BenchmarkRun takes b.N purchases of two products through `connector run`, from an embedded broker with 8 partitions to a vendor that answers at once,
// both in this process. cpu-ns/record is user and system time of the connector's process alone, its start included; records/s is wall-clock time with all
// three on the same cores.
func BenchmarkRun(b *testing.B) {
	binary := build(b)
	p := filled(b)
	vendor := newCounted(sandbox.New(sandbox.Options{Instant: true}).Handler(sandbox.CRMCOM))
	web := httptest.NewServer(vendor)
	defer web.Close()
	file := filepath.Join(b.TempDir(), "bench.yaml")
	if err := os.WriteFile(file, []byte(benchText(p, web.URL)), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), binary, "run", "-c", file)
	cmd.Stderr = os.Stderr
	b.ResetTimer()
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	awaitAll(b, p)
	took := time.Since(start)
	b.StopTimer()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	b.ReportMetric(float64(b.N)/took.Seconds(), "records/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/record")
	b.ReportMetric(float64(b.N)/float64(vendor.calls.Load()), "records/call")
}

func build(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "connector")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", binary, "sluice/cmd/connector")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("building the connector: %v\n%s", err, out)
	}
	return binary
}

// counted counts the calls that carry items.
type counted struct {
	http.Handler
	calls atomic.Int64
}

func newCounted(h http.Handler) *counted { return &counted{Handler: h} }

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if filepath.Base(r.URL.Path) == "create" {
		c.calls.Add(1)
	}
	c.Handler.ServeHTTP(w, r)
}
