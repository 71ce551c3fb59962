// Package pipeline connects the stages of delivery. A record passes them in this order:
//
//	consume -> decode, route -> deliver (batch, sink) -> settle -> consume (commit)
//
// A Pipeline is one source topic with its own consumer group and budget, so that a slow vendor
// delays only its own pipelines. A Connector is all pipelines of a configuration and the resources
// that they share.
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

// OperationSettings is one operation of a pipeline with the settings for delivering to it.
type OperationSettings struct {
	Operation sink.Operation
	Deliver   deliver.Config
}

// Config has the settings of one pipeline.
type Config struct {
	Name       string
	Consume    consume.Config
	Route      route.Config
	Operations []OperationSettings
	Settle     settle.Config
	Guard      guard.Config
	Decoder    route.Decoder
}

// Pipeline reads one source topic and delivers its records.
type Pipeline struct {
	name        string
	group       *consume.Group
	router      *route.Router
	dispatchers []*deliver.Dispatcher
	// guards are the flood guard for records that are rejected before any call and the one for
	// records that vendors refuse.
	guards []*guard.Guard
	obs    *observe.Pipeline
	log    *zap.Logger
}

// NewPipeline returns a pipeline. It starts no goroutine and makes no connection before Run.
func NewPipeline(cfg Config, obs *observe.Pipeline, log *zap.Logger) (*Pipeline, error) {
	log = log.With(zap.String("pipeline", cfg.Name))
	group, err := consume.NewGroup(cfg.Consume, obs, log)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: %w", cfg.Name, err)
	}
	settler := settle.NewSettler(cfg.Settle, group.Producer(), obs, log)
	p := &Pipeline{name: cfg.Name, group: group, obs: obs, log: log}
	cfg.Route.Guard = p.newGuard(cfg.Guard)
	vendorGuard := p.newGuard(cfg.Guard)
	var targets []route.Target
	for _, o := range cfg.Operations {
		o.Deliver.Guard = vendorGuard
		dispatcher := deliver.NewDispatcher(o.Operation, o.Deliver, group, settler, obs, log)
		p.dispatchers = append(p.dispatchers, dispatcher)
		targets = append(targets, route.Target{
			OperationName: o.Deliver.OperationName, Operation: o.Operation, Dispatcher: dispatcher,
		})
	}
	if p.router, err = route.NewRouter(cfg.Route, cfg.Decoder, targets, settler, obs, log); err != nil {
		group.Close()
		return nil, fmt.Errorf("pipeline %s: %w", cfg.Name, err)
	}
	return p, nil
}

func (p *Pipeline) newGuard(cfg guard.Config) *guard.Guard {
	g := guard.NewGuard(cfg)
	g.Subscribe(logFloods(p.log))
	p.guards = append(p.guards, g)
	return g
}

// Run fetches and delivers records until fetchCtx ends, then drains and commits. The end of workCtx
// cuts the drain short. Run returns an error only if the pipeline cannot recover from it.
func (p *Pipeline) Run(fetchCtx, workCtx context.Context) error {
	p.obs.SetStarted(true)
	defer p.obs.SetStarted(false)
	var stages sync.WaitGroup
	for _, d := range p.dispatchers {
		stages.Go(func() { _ = d.Run(workCtx) }) // its only error is that workCtx ended
	}
	stages.Go(func() { p.router.Run(workCtx) })
	err := p.group.Run(fetchCtx, workCtx, p.router)
	// Every assignment has been fenced and committed by now, so no record that is still in flight
	// downstream can settle. Closing the producer ends writes that wait for an unreachable broker.
	p.router.Close()
	for _, d := range p.dispatchers {
		d.Close()
	}
	p.group.Close()
	stages.Wait()
	if err != nil {
		return fmt.Errorf("pipeline %s: %w", p.name, err)
	}
	return nil
}
