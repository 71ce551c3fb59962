// Package observe counts what the line does, and says how it stands: metrics for a collector, a snapshot for an operator, and the log's form.
// The steps call it; it calls nobody. Each count is kept once, in its metric; a snapshot reads the metrics.
package observe

import (
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Registry has the metrics of all pipelines of a process. Safe for concurrent use.
type Registry struct {
	m metrics

	mu        sync.Mutex
	pipelines map[string]*Pipeline
}

// NewRegistry registers the metrics, all named sluice_*. A registry takes them once; a second time is a programming error and panics.
func NewRegistry(reg *prometheus.Registry) *Registry {
	m := newMetrics()
	reg.MustRegister(m.all()...)
	return &Registry{m: m, pipelines: map[string]*Pipeline{}}
}

// Pipeline is the one pipeline of that name; the name is a label.
func (r *Registry) Pipeline(name string) *Pipeline {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pipelines[name]
	if p == nil {
		p = newPipeline(name, &r.m)
		r.pipelines[name] = p
	}
	return p
}

// Pipelines are all pipelines asked for so far, in the order of their names.
func (r *Registry) Pipelines() []*Pipeline {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*Pipeline, 0, len(r.pipelines))
	for _, name := range slices.Sorted(maps.Keys(r.pipelines)) {
		out = append(out, r.pipelines[name])
	}
	return out
}
