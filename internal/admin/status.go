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

// Status is the body of a /status response.
type Status struct {
	Ready     bool                     `json:"ready" doc:"/readyz responds 200"`
	Healthy   bool                     `json:"healthy" doc:"/healthz responds 200"`
	Stuck     []string                 `json:"stuck,omitempty" doc:"the partitions that make no progress without a hold, a sentence each; absent if there are none"`
	Pipelines []observe.PipelineStatus `json:"pipelines" doc:"the pipelines, by name"`
}

func (s *Server) currentStatus() Status {
	pipelines := s.pipelines()
	status := Status{Ready: len(pipelines) > 0, Pipelines: make([]observe.PipelineStatus, len(pipelines))}
	for i, pipeline := range pipelines {
		snapshot := pipeline.Snapshot()
		status.Pipelines[i] = snapshot
		status.Ready = status.Ready && snapshot.Started
		status.Stuck = append(status.Stuck, stuckPartitions(snapshot, s.cfg.StuckAfter(snapshot.Pipeline))...)
	}
	status.Healthy = len(status.Stuck) == 0
	return status
}

// stuckPartitions describes each partition that made no progress for longer than stuckAfter. A
// pipeline with a stated reason for not progressing has none: restarting the process would not
// resolve the reason, and would discard the state that the pipeline has built up.
func stuckPartitions(pipeline observe.PipelineStatus, stuckAfter time.Duration) []string {
	if hasStatedReason(pipeline) {
		return nil
	}
	const format = "pipeline %s: %s partition %d made no progress for %v, which is over %v, and nothing is held"
	var stuck []string
	for _, p := range pipeline.Partitions {
		if age := time.Duration(p.StuckSeconds * float64(time.Second)); age > stuckAfter {
			stuck = append(stuck, fmt.Sprintf(format,
				pipeline.Pipeline, p.Topic, p.Partition, age.Round(time.Second), stuckAfter))
		}
	}
	return stuck
}

// hasStatedReason reports whether the pipeline or one of its operations has a hold or a breaker
// that is not closed.
func hasStatedReason(pipeline observe.PipelineStatus) bool {
	if pipeline.Hold != nil {
		return true
	}
	for _, operation := range pipeline.Operations {
		if operation.Hold != nil || operation.Breaker == "open" || operation.Breaker == "half-open" {
			return true
		}
	}
	return false
}

// handleHealth responds with 503 while a partition is stuck, and names it. An unavailable vendor,
// broker or registry does not make the process unhealthy, because a restart would not help.
func (s *Server) handleHealth(w http.ResponseWriter, _ *http.Request) {
	status := s.currentStatus()
	writeResult(w, status.Healthy, status.Stuck)
}

// handleReadiness responds with 503 until every pipeline has started, and names those that have
// not.
func (s *Server) handleReadiness(w http.ResponseWriter, _ *http.Request) {
	status := s.currentStatus()
	var problems []string
	for _, pipeline := range status.Pipelines {
		if !pipeline.Started {
			problems = append(problems, "pipeline "+pipeline.Pipeline+" has not started")
		}
	}
	if len(status.Pipelines) == 0 {
		problems = append(problems, "there is no pipeline yet")
	}
	writeResult(w, status.Ready, problems)
}

func (s *Server) handleStatus(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(s.currentStatus())
	if err != nil {
		http.Error(w, "encoding the status: "+err.Error(), http.StatusInternalServerError)
		return
	}
	writeBody(w, http.StatusOK, "application/json", string(body)+"\n")
}

// writeResult responds with 200 and "ok", or with 503 and one problem per line.
func writeResult(w http.ResponseWriter, ok bool, problems []string) {
	if ok {
		writeBody(w, http.StatusOK, "text/plain; charset=utf-8", "ok\n")
		return
	}
	writeBody(w, http.StatusServiceUnavailable, "text/plain; charset=utf-8", strings.Join(problems, "\n")+"\n")
}

func writeBody(w http.ResponseWriter, code int, contentType, body string) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // fails only if the client has closed the connection
}
