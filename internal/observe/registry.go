// Package observe keeps the counts and the state of all pipelines. It provides the Prometheus
// metrics, the snapshot for /status and the logger. Other packages report to it, and it calls none
// of them. Each count is kept once, in its metric; snapshots read the metrics.
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
	metrics metrics

	mu        sync.Mutex
	pipelines map[string]*Pipeline
}

// NewRegistry registers the metrics, all named sluice_*, with reg. It panics if they are already
// registered there.
func NewRegistry(reg *prometheus.Registry) *Registry {
	m := newMetrics()
	reg.MustRegister(m.collectors()...)
	return &Registry{metrics: m, pipelines: map[string]*Pipeline{}}
}

// Pipeline returns the pipeline with the given name, which it creates on first use. A nil Registry
// returns a nil Pipeline, which records nothing.
func (r *Registry) Pipeline(name string) *Pipeline {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pipelines[name]
	if p == nil {
		p = newPipeline(name, &r.metrics)
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
	r.metrics.revision.Reset()
	r.metrics.revision.WithLabelValues(version, revision, runtime.Version()).Set(1)
}
