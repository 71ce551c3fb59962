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
)

func setUp(names ...string) (*observe.Registry, *Server) {
	prom := prometheus.NewRegistry()
	reg := observe.NewRegistry(prom)
	for _, name := range names {
		reg.Pipeline(name)
	}
	return reg, NewServer(Config{}, prom, reg.Pipelines, zap.NewNop())
}

func get(t *testing.T, s *Server, path string) (code int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func check(t *testing.T, s *Server, path string, code int, says string) {
	t.Helper()
	if c, body := get(t, s, path); c != code || !strings.Contains(body, says) {
		t.Errorf("%s: %d %q, want %d and %q", path, c, body, code, says)
	}
}

func TestReadyOnceEveryPipelineHasStarted(t *testing.T) {
	_, none := setUp()
	check(t, none, "/readyz", 503, "no pipeline")
	reg, s := setUp("feedback", "purchases")
	check(t, s, "/readyz", 503, "pipeline feedback has not started\npipeline purchases has not started\n")
	reg.Pipeline("feedback").SetStarted(true)
	check(t, s, "/readyz", 503, "pipeline purchases has not started\n")
	reg.Pipeline("purchases").SetStarted(true)
	check(t, s, "/readyz", 200, "ok")
	reg.Pipeline("feedback").SetStarted(false)
	check(t, s, "/readyz", 503, "pipeline feedback has not started\n")
}

// headStays tells for d, every 5 s, that partition 3 has the record written at head at its head.
func headStays(p *observe.Pipeline, head time.Time, d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
		p.ReportPartition("purchases", 3, 9, time.Since(head), 1)
		p.ReportPartition("purchases", 4, 0, 0, 0)
		<-time.After(5 * time.Second)
	}
}

func TestUnhealthyOnlyWhereARecordIsStuckWithoutAStatedReason(t *testing.T) {
	for _, c := range []struct {
		name    string
		tell    func(*observe.Pipeline)
		healthy bool
	}{
		{"nothing is stated", func(*observe.Pipeline) {}, false},
		{"a hold that was released", func(p *observe.Pipeline) { p.SetHold("", "registry"); p.SetHold("", "") }, false},
		{"a closed breaker", func(p *observe.Pipeline) { p.SetBreakerState("crmcom.purchases", "closed") }, false},
		{"the reading is held", func(p *observe.Pipeline) { p.SetHold("", "registry") }, true},
		{"an operation is held", func(p *observe.Pipeline) { p.SetHold("crmcom.purchases", "unauthorized") }, true},
		{"a breaker is open", func(p *observe.Pipeline) { p.SetBreakerState("crmcom.purchases", "open") }, true},
		{"a breaker is half open", func(p *observe.Pipeline) { p.SetBreakerState("crmcom.purchases", "half-open") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, s := setUp("feedback", "purchases")
				p := reg.Pipeline("purchases")
				head := time.Now().Add(-time.Hour)
				headStays(p, head, 15*time.Minute)
				c.tell(p)
				check(t, s, "/healthz", 200, "ok")
				headStays(p, head, 10*time.Second)
				if c.healthy {
					check(t, s, "/healthz", 200, "ok")
					return
				}
				check(t, s, "/healthz", 503, "pipeline purchases: purchases partition 3 made no progress for 15m")
				if _, body := get(t, s, "/healthz"); strings.Contains(body, "partition 4") || strings.Contains(body, "feedback") {
					t.Errorf("names too much: %s", body)
				}
			})
		})
	}
}

func TestAPipelineMayHaveAPatienceOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, s := setUp("purchases")
		s.cfg.StuckAfter = func(pipeline string) time.Duration { return map[string]time.Duration{"purchases": time.Hour}[pipeline] }
		head := time.Now()
		headStays(reg.Pipeline("purchases"), head, 59*time.Minute)
		check(t, s, "/healthz", 200, "ok")
		headStays(reg.Pipeline("purchases"), head, 2*time.Minute)
		check(t, s, "/healthz", 503, "which is over 1h0m0s")
	})
}

func TestAnotherPipelinesHoldIsNoReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, s := setUp("feedback", "purchases")
		reg.Pipeline("feedback").SetHold("", "registry")
		headStays(reg.Pipeline("purchases"), time.Now(), 16*time.Minute)
		check(t, s, "/healthz", 503, "pipeline purchases")
	})
}

func TestStatusIsTheDocumentedStruct(t *testing.T) {
	reg, s := setUp("feedback", "purchases")
	reg.Pipeline("purchases").RecordsSettled("crmcom.purchases", "delivered", "", 7)
	_, body := get(t, s, "/status")
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	var st Status
	if err := dec.Decode(&st); err != nil {
		t.Fatal(err)
	}
	if st.Ready || !st.Healthy || len(st.Pipelines) != 2 || st.Pipelines[0].Pipeline != "feedback" || st.Pipelines[1].Delivered != 7 {
		t.Errorf("got %s", body)
	}
}

func TestOnlyWhatIsNamedIsServedAndOnlyRead(t *testing.T) {
	_, s := setUp()
	for _, path := range []string{"/", "/debug/pprof/", "/config", "/metrics/x"} {
		check(t, s, path, 404, "")
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/status", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /status: %d, want 405", w.Code)
	}
}

func TestServeAnswersUntilItsContextEnds(t *testing.T) {
	reg, s := setUp("purchases")
	reg.Pipeline("purchases").CommitFailed()
	s.Handle("POST /command", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeOn(ctx, l) }()

	base := "http://" + l.Addr().String()
	resp, err := http.Get(base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !bytes.Contains(body, []byte(`sluice_commit_failures_total{pipeline="purchases"} 1`)) {
		t.Errorf("/metrics: %s", body)
	}
	resp, err = http.Post(base+"/command", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("added command: %d", resp.StatusCode)
	}

	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("still listening after its end")
	}
}

func TestAClosedListenerIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := NewServer(Config{}, prometheus.NewRegistry(), nil, zap.NewNop()).ServeOn(t.Context(), l); err == nil {
		t.Error("no error")
	}
}
