// Package pipeline puts the steps of the line together, in the order in which a record passes them:
//
//	consume -> decode, route -> deliver (batch, sink) -> settle -> consume (commit)
//
// A Pipeline is one source topic with one consumer group and a budget of its own, so that a slow vendor holds up its own pipelines alone.
// A Connector is all pipelines of a configuration with what they share.
package pipeline

import (
	"context"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"sluice/internal/consume"
	"sluice/internal/deliver"
	"sluice/internal/guard"
	"sluice/internal/observe"
	"sluice/internal/route"
	"sluice/internal/settle"
	"sluice/internal/sink"
)

// OperationSettings is one operation of a pipeline.
type OperationSettings struct {
	Operation sink.Operation
	Deliver   deliver.Config
}

// Config are all that makes a pipeline.
type Config struct {
	Name       string
	Consume    consume.Config
	Route      route.Config
	Operations []OperationSettings
	Settle     settle.Config
	Guard      guard.Config
	Decoder    route.Decoder
}

// Pipeline runs one line.
type Pipeline struct {
	name   string
	group  *consume.Group
	router *route.Router
	lanes  []*deliver.Dispatcher
	guards []*guard.Guard // of what is refused before any call, and of what the vendors refuse
	obs    *observe.Pipeline
	log    *zap.Logger
}

// NewPipeline puts a pipeline together. Nothing runs and nothing is dialled before Run.
func NewPipeline(s Config, obs *observe.Pipeline, log *zap.Logger) (*Pipeline, error) {
	log = log.With(zap.String("pipeline", s.Name))
	group, err := consume.NewGroup(s.Consume, obs, log)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: %w", s.Name, err)
	}
	settler := settle.NewSettler(s.Settle, group.Producer(), obs, log)
	p := &Pipeline{name: s.Name, group: group, obs: obs, log: log}
	s.Route.Guard = p.newGuard(s.Guard)
	vendors := p.newGuard(s.Guard)
	var targets []route.Target
	for _, o := range s.Operations {
		o.Deliver.Guard = vendors
		lanes := deliver.NewDispatcher(o.Operation, o.Deliver, group, settler, obs, log)
		p.lanes = append(p.lanes, lanes)
		targets = append(targets, route.Target{OperationName: o.Deliver.OperationName, Operation: o.Operation, Dispatcher: lanes})
	}
	if p.router, err = route.NewRouter(s.Route, s.Decoder, targets, settler, obs, log); err != nil {
		group.Close()
		return nil, fmt.Errorf("pipeline %s: %w", s.Name, err)
	}
	return p, nil
}

func (p *Pipeline) newGuard(cfg guard.Config) *guard.Guard {
	g := guard.NewGuard(cfg)
	g.Subscribe(tellFloods(p.log))
	p.guards = append(p.guards, g)
	return g
}

// Run reads until take ends, then drains and commits; the end of work cuts that short. The error is one that keeps the pipeline from going on.
func (p *Pipeline) Run(take, work context.Context) error {
	p.obs.SetStarted(true)
	defer p.obs.SetStarted(false)
	var steps sync.WaitGroup
	for _, l := range p.lanes {
		steps.Go(func() { _ = l.Run(work) }) // its only error is that work ended
	}
	steps.Go(func() { p.router.Run(work) })
	err := p.group.Run(take, work, p.router)
	// Every assignment is fenced and committed now, so nothing that is still held downstream can count. Closing the producer lets go of writes that
	// wait for an unreachable broker.
	p.router.Close()
	for _, l := range p.lanes {
		l.Close()
	}
	p.group.Close()
	steps.Wait()
	if err != nil {
		return fmt.Errorf("pipeline %s: %w", p.name, err)
	}
	return nil
}
