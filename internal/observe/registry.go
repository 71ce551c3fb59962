// Package observe keeps the counts and the state of all pipelines: metrics for Prometheus, a
// snapshot for /status, and the form of the log. Other packages report to it; it calls none of
// them. Each count is kept once, in its metric, and snapshots read the metrics.
package observe

import (
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Registry holds the metrics of all pipelines of a process. It is safe for concurrent use.
type Registry struct {
	m metrics

	mu        sync.Mutex
	pipelines map[string]*Pipeline
}

// NewRegistry registers the metrics, all named sluice_*, with reg. It panics if they are registered
// there already.
func NewRegistry(reg *prometheus.Registry) *Registry {
	m := newMetrics()
	reg.MustRegister(m.collectors()...)
	return &Registry{m: m, pipelines: map[string]*Pipeline{}}
}

// Pipeline returns the pipeline of that name and creates it on first use. A nil Registry returns a
// nil Pipeline, which records nothing.
func (r *Registry) Pipeline(name string) *Pipeline {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pipelines[name]
	if p == nil {
		p = newPipeline(name, &r.m)
		r.pipelines[name] = p
	}
	return p
}

// Pipelines returns all pipelines created so far, ordered by name.
func (r *Registry) Pipelines() []*Pipeline {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*Pipeline, 0, len(r.pipelines))
	for _, name := range slices.Sorted(maps.Keys(r.pipelines)) {
		out = append(out, r.pipelines[name])
	}
	return out
}

// SetBuildInfo sets the metric sluice_build_info. An empty revision is shown as "unknown".
func (r *Registry) SetBuildInfo(version, revision string) {
	if revision == "" {
		revision = "unknown"
	}
	r.m.revision.Reset()
	r.m.revision.WithLabelValues(version, revision, runtime.Version()).Set(1)
}
