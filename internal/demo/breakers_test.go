package demo

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/demo/sandbox"
	"sluice/internal/observe"
)

const testOutage = "outage#1"

// newTestBreakerWatch returns a watch of an outage that lasts at least a minute, the connector's
// view of expoints.add, and a function that reports whether Expoints is down.
func newTestBreakerWatch(t *testing.T) (*breakerWatch, *observe.Pipeline, func() bool) {
	t.Helper()
	rules, err := sandbox.NewScript(sandbox.Rule{
		Name: testOutage, Operation: "expoints",
		Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusServiceUnavailable},
	})
	if err != nil {
		t.Fatal(err)
	}
	registry := observe.NewRegistry(prometheus.NewRegistry())
	env := &environment{observe: registry, startedAt: time.Now()}
	env.vendors.server = sandbox.New(sandbox.Options{Script: rules})
	isDown := func() bool {
		out := httptest.NewRecorder()
		env.vendors.server.Handler(sandbox.Expoints).ServeHTTP(
			out, httptest.NewRequest(http.MethodPost, sandbox.ExpointsTokenPath, nil),
		)
		return out.Code == http.StatusServiceUnavailable
	}
	feed := registry.Pipeline(feedback)
	feed.DeclareOperation("expoints.add")
	watch := newBreakerWatch(env, []outage{{testOutage, sandbox.Expoints, time.Minute}})
	watch.updateStates()
	return watch, feed, isDown
}

func TestOutageEndsOnceItWasLongEnoughAndABreakerOpened(t *testing.T) {
	watch, feed, isDown := newTestBreakerWatch(t)
	for _, step := range []struct {
		state    string
		elapsed  time.Duration
		wantDown bool
	}{
		{"closed", time.Hour, true},
		{"open", 59 * time.Second, true},
		{"open", time.Minute, false},
		{"closed", 2 * time.Minute, false},
	} {
		feed.SetBreakerState("expoints.add", step.state)
		watch.updateStates()
		watch.endOutages(step.elapsed)
		if got := isDown(); got != step.wantDown {
			t.Errorf("breaker %s after %s: got down %t, want %t", step.state, step.elapsed, got, step.wantDown)
		}
	}
}

func TestOutageIsNotEndedByTheBreakerOfAnotherVendor(t *testing.T) {
	watch, feed, isDown := newTestBreakerWatch(t)
	feed.DeclareOperation("crmcom.web")
	feed.SetBreakerState("crmcom.web", "open")
	watch.updateStates()
	watch.endOutages(time.Hour)
	if !isDown() {
		t.Error("the outage of Expoints has ended, want it to last until a breaker of Expoints opens")
	}
}

// The watch may miss the time for which a breaker is open, but not that it was.
func TestHalfOpenBreakerCountsAsOpened(t *testing.T) {
	watch, feed, _ := newTestBreakerWatch(t)
	for _, state := range []string{"half-open", "open", "half-open", "closed", "open"} {
		feed.SetBreakerState("expoints.add", state)
		watch.updateStates()
	}
	if got := watch.openedCount(); got != 2 {
		t.Errorf("got %d opened breakers, want 2", got)
	}
	if got := watch.lastStates()["expoints.add"]; got != "open" {
		t.Errorf("last state: got %q, want open", got)
	}
}
