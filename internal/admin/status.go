package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sluice/internal/observe"
)

// Status is the answer of /status.
type Status struct {
	// Ready and Healthy are as /readyz and /healthz have them.
	Ready   bool `json:"ready"`
	Healthy bool `json:"healthy"`
	// Stuck names what is not healthy, a sentence each.
	Stuck     []string                 `json:"stuck,omitempty"`
	Pipelines []observe.PipelineStatus `json:"pipelines"`
}

func (s *Server) now() Status {
	pipelines := s.pipelines()
	st := Status{Ready: len(pipelines) > 0, Pipelines: make([]observe.PipelineStatus, len(pipelines))}
	for i, p := range pipelines {
		snapshot := p.Snapshot()
		st.Pipelines[i] = snapshot
		st.Ready = st.Ready && snapshot.Started
		st.Stuck = append(st.Stuck, stuck(snapshot, s.cfg.StuckAfter(snapshot.Pipeline))...)
	}
	st.Healthy = len(st.Stuck) == 0
	return st
}

// stuck names the partitions that made no progress for longer than after. A pipeline that states a reason to wait is not stuck: to start the process anew
// would not end the wait, and would lose what is known.
func stuck(s observe.PipelineStatus, after time.Duration) []string {
	if waits(s) {
		return nil
	}
	var out []string
	for _, p := range s.Partitions {
		if d := time.Duration(p.StuckSeconds * float64(time.Second)); d > after {
			out = append(out, fmt.Sprintf("pipeline %s: %s partition %d made no progress for %v, which is over %v, and nothing is held",
				s.Pipeline, p.Topic, p.Partition, d.Round(time.Second), after))
		}
	}
	return out
}

func waits(s observe.PipelineStatus) bool {
	if s.Hold != nil {
		return true
	}
	for _, o := range s.Operations {
		if o.Hold != nil || o.Breaker == "open" || o.Breaker == "half-open" {
			return true
		}
	}
	return false
}

// healthz is 503 where a record is stuck, and says which. A vendor, broker or registry that is away is no reason to kill this process.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	st := s.now()
	say(w, st.Healthy, st.Stuck)
}

// readyz is 503 until every pipeline has started, and names those that have not.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	st := s.now()
	var waiting []string
	for _, p := range st.Pipelines {
		if !p.Started {
			waiting = append(waiting, "pipeline "+p.Pipeline+" has not started")
		}
	}
	if len(st.Pipelines) == 0 {
		waiting = append(waiting, "there is no pipeline yet")
	}
	say(w, st.Ready, waiting)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(s.now())
	if err != nil {
		http.Error(w, "encoding the status: "+err.Error(), http.StatusInternalServerError)
		return
	}
	write(w, http.StatusOK, "application/json", string(body)+"\n")
}

func say(w http.ResponseWriter, ok bool, faults []string) {
	if ok {
		write(w, http.StatusOK, "text/plain; charset=utf-8", "ok\n")
		return
	}
	write(w, http.StatusServiceUnavailable, "text/plain; charset=utf-8", strings.Join(faults, "\n")+"\n")
}

func write(w http.ResponseWriter, code int, kind, body string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // the client is gone; there is nobody to tell
}
