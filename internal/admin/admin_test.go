package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/record"
)

// newTestServer returns a server of these pipelines, and the registry through which tests report
// their progress.
func newTestServer(names ...string) (*observe.Registry, *Server) {
	prom := prometheus.NewRegistry()
	reg := observe.NewRegistry(prom)
	for _, name := range names {
		reg.Pipeline(name)
	}
	return reg, NewServer(Config{}, prom, reg.Pipelines, zap.NewNop())
}

func getPage(t *testing.T, server *Server, path string) (code int, body string) {
	t.Helper()
	response := httptest.NewRecorder()
	server.Handler().ServeHTTP(response, httptest.NewRequest(http.MethodGet, path, nil))
	return response.Code, response.Body.String()
}

func wantPage(t *testing.T, server *Server, path string, wantCode int, wantText string) {
	t.Helper()
	if code, body := getPage(t, server, path); code != wantCode || !strings.Contains(body, wantText) {
		t.Errorf("%s: got %d %q, want %d and a body with %q", path, code, body, wantCode, wantText)
	}
}

func TestReadyOnceEveryPipelineHasStarted(t *testing.T) {
	_, none := newTestServer()
	wantPage(t, none, "/readyz", 503, "no pipeline")
	reg, s := newTestServer("feedback", "purchases")
	wantPage(t, s, "/readyz", 503, "pipeline feedback has not started\npipeline purchases has not started\n")
	reg.Pipeline("feedback").SetStarted(true)
	wantPage(t, s, "/readyz", 503, "pipeline purchases has not started\n")
	reg.Pipeline("purchases").SetStarted(true)
	wantPage(t, s, "/readyz", 200, "ok")
	reg.Pipeline("feedback").SetStarted(false)
	wantPage(t, s, "/readyz", 503, "pipeline feedback has not started\n")
}

// keepHeadUnsettled reports every 5 s, for the duration, that the oldest unsettled record of
// partition 3 is still the one written at head.
func keepHeadUnsettled(pipeline *observe.Pipeline, head time.Time, duration time.Duration) {
	for start := time.Now(); time.Since(start) < duration; {
		pipeline.ReportPartition("purchases", 3, 9, time.Since(head), 1)
		pipeline.ReportPartition("purchases", 4, 0, 0, 0)
		<-time.After(5 * time.Second)
	}
}

func TestUnhealthyOnlyIfARecordIsStuckWithoutAHold(t *testing.T) {
	for _, c := range []struct {
		name    string
		report  func(*observe.Pipeline)
		healthy bool
	}{
		{"nothing is held", func(*observe.Pipeline) {}, false},
		{"a hold that was released", func(pipeline *observe.Pipeline) { pipeline.SetHold("", "registry"); pipeline.SetHold("", "") }, false},
		{"a closed breaker", func(pipeline *observe.Pipeline) { pipeline.SetBreakerState("crmcom.purchases", "closed") }, false},
		{"the pipeline is held", func(pipeline *observe.Pipeline) { pipeline.SetHold("", "registry") }, true},
		{"an operation is held", func(pipeline *observe.Pipeline) { pipeline.SetHold("crmcom.purchases", "unauthorized") }, true},
		{"a breaker is open", func(pipeline *observe.Pipeline) { pipeline.SetBreakerState("crmcom.purchases", "open") }, true},
		{"a breaker is half open", func(pipeline *observe.Pipeline) { pipeline.SetBreakerState("crmcom.purchases", "half-open") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, s := newTestServer("feedback", "purchases")
				p := reg.Pipeline("purchases")
				head := time.Now().Add(-time.Hour)
				keepHeadUnsettled(p, head, 15*time.Minute)
				c.report(p)
				wantPage(t, s, "/healthz", 200, "ok")
				keepHeadUnsettled(p, head, 10*time.Second)
				if c.healthy {
					wantPage(t, s, "/healthz", 200, "ok")
					return
				}
				wantPage(t, s, "/healthz", 503, "pipeline purchases: purchases partition 3 made no progress for 15m")
				_, body := getPage(t, s, "/healthz")
				if strings.Contains(body, "partition 4") || strings.Contains(body, "feedback") {
					t.Errorf("got body %s, want only partition 3 of purchases", body)
				}
			})
		})
	}
}

func TestStuckAfterIsSetPerPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, s := newTestServer("purchases")
		s.cfg.StuckAfter = func(pipeline string) time.Duration {
			return map[string]time.Duration{"purchases": time.Hour}[pipeline]
		}
		head := time.Now()
		keepHeadUnsettled(reg.Pipeline("purchases"), head, 59*time.Minute)
		wantPage(t, s, "/healthz", 200, "ok")
		keepHeadUnsettled(reg.Pipeline("purchases"), head, 2*time.Minute)
		wantPage(t, s, "/healthz", 503, "which is over 1h0m0s")
	})
}

func TestHoldOfAnotherPipelineDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, s := newTestServer("feedback", "purchases")
		reg.Pipeline("feedback").SetHold("", "registry")
		keepHeadUnsettled(reg.Pipeline("purchases"), time.Now(), 16*time.Minute)
		wantPage(t, s, "/healthz", 503, "pipeline purchases")
	})
}

func TestStatusDecodesIntoTheDocumentedStruct(t *testing.T) {
	reg, s := newTestServer("feedback", "purchases")
	reg.Pipeline("purchases").RecordsSettled("crmcom.purchases", record.DispositionDelivered, "", 7)
	_, body := getPage(t, s, "/status")
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	var status Status
	if err := decoder.Decode(&status); err != nil {
		t.Fatal(err)
	}
	if status.Ready || !status.Healthy || len(status.Pipelines) != 2 {
		t.Fatalf("got %s, want two healthy pipelines that have not started", body)
	}
	if status.Pipelines[0].Pipeline != "feedback" || status.Pipelines[1].Delivered != 7 {
		t.Errorf("got %s, want feedback first and 7 records of purchases delivered", body)
	}
}

func TestOnlyDocumentedPathsAreServedAndOnlyForReading(t *testing.T) {
	_, s := newTestServer()
	for _, path := range []string{"/", "/debug/pprof/", "/config", "/metrics/x"} {
		wantPage(t, s, path, 404, "")
	}
	response := httptest.NewRecorder()
	s.Handler().ServeHTTP(response, httptest.NewRequest(http.MethodPost, "/status", nil))
	if response.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /status: got %d, want 405", response.Code)
	}
}

func TestServeOnServesUntilItsContextEnds(t *testing.T) {
	reg, s := newTestServer("purchases")
	reg.Pipeline("purchases").CommitFailed()
	s.Handle("POST /command", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeOn(ctx, listener) }()

	base := "http://" + listener.Addr().String()
	response, err := http.Get(base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if !bytes.Contains(body, []byte(`sluice_commit_failures_total{pipeline="purchases"} 1`)) {
		t.Errorf("/metrics: got %s, want 1 commit failure of purchases", body)
	}
	response, err = http.Post(base+"/command", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Errorf("POST /command: got %d, want 202", response.StatusCode)
	}

	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got error %v, want nil", err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("ServeOn returned while still listening")
	}
}

func TestServeOnReturnsAListenerError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	server := NewServer(Config{}, prometheus.NewRegistry(), nil, zap.NewNop())
	if err := server.ServeOn(t.Context(), listener); err == nil {
		t.Error("got no error from ServeOn with a closed listener, want one")
	}
}
