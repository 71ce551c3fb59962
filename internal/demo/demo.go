// Package demo runs all of Sluice in one process: an embedded broker and registry, the three vendors as a sandbox that misbehaves on a script, a
// producer, the connector as it is, and an auditor who looks for every record at the vendors and in the topics.
//
//	traffic -> broker -> connector -> vendors
//	   |          |                      |
//	   +------> ledger <---- auditor ----+
//
// The ledger asks the connector nothing: what was produced is held against what the broker and the vendors have.
package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Options say how to run.
type Options struct {
	// Duration is how long the run takes, MinDuration or more; 0: until ctx ends.
	Duration time.Duration
	// Rate is the number of good records produced a second, over all pipelines, MinRate to MaxRate.
	Rate int
	// Seed decides the records and when the bad ones come.
	Seed   uint64
	Screen Screen
	Log    *zap.Logger
}

// The bounds of Options.
const (
	MinDuration = 10 * time.Second
	MinRate     = 50
	MaxRate     = 1000
)

// Check says what is wrong with the options.
func (o Options) Check() error {
	if o.Duration != 0 && o.Duration < MinDuration {
		return fmt.Errorf("duration %s: allowed is %s or more, or 0 for until it is stopped", o.Duration, MinDuration)
	}
	if o.Rate < MinRate || o.Rate > MaxRate {
		return fmt.Errorf("rate %d: allowed are %d to %d records a second", o.Rate, MinRate, MaxRate)
	}
	return nil
}

// round is how long the script takes in a run without an end, and rounds how often it comes; then the vendors are well.
const (
	scriptRound  = time.Minute
	scriptRounds = 60
)

// produceDuration is for how long records are produced: the last seconds are for those that are on their way, through each retry delay at worst.
func (o Options) produceDuration() time.Duration {
	return max(o.Duration*6/10, o.Duration-8*time.Second)
}

func (o Options) newScript() script {
	if o.Duration == 0 {
		return newScript(o.Seed, scriptRound, scriptRounds)
	}
	return newScript(o.Seed, o.produceDuration(), 1)
}

// RunDemo runs the demo to its end, or until take ends; then it drains and reports what there is. The end of work cuts the drain short. The error says why
// there is no report; promises that were not kept stand in the report.
func RunDemo(fetchCtx, workCtx context.Context, opts Options) (Report, error) {
	if err := opts.Check(); err != nil {
		return Report{}, err
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	script := opts.newScript()
	env, err := startEnvironment(fetchCtx, opts, script)
	if err != nil {
		return Report{}, fmt.Errorf("starting the demo: %w", err)
	}
	report, err := runConnector(fetchCtx, workCtx, opts, script, env)
	return report, errors.Join(err, env.close())
}

// runConnector runs traffic and connector, looks on, and adds up when both have ended, the traffic first.
func runConnector(fetchCtx, workCtx context.Context, opts Options, script script, env *environment) (Report, error) {
	run, err := newDemoRun(opts, script, env)
	if err != nil {
		return Report{}, err
	}
	defer run.auditor.close()
	connector := run.startConnector(workCtx)
	traffic := run.startTraffic(fetchCtx)
	running, stop := opts.withTimeLimit(fetchCtx, opts.Duration)
	defer stop()
	failure := run.watchRun(running, connector)
	traffic.stop()
	failure = errors.Join(failure, <-traffic.ended)
	failure = errors.Join(failure, run.drawView(context.WithoutCancel(workCtx), "draining"))
	connector.stop()
	failure = errors.Join(failure, <-connector.ended)
	if failure != nil {
		return Report{}, failure
	}
	return run.finalReport(context.WithoutCancel(workCtx), fetchCtx.Err() == nil)
}

// activity is something that runs beside: stop asks it to end, ended gives its error once, and nil after that.
type activity struct {
	stop  context.CancelFunc
	ended chan error
}

// startConnector runs the connector until it is stopped.
func (s *demoRun) startConnector(workCtx context.Context) activity {
	fetchCtx, stop := context.WithCancel(workCtx)
	started := activity{stop, make(chan error, 1)}
	go func() {
		defer close(started.ended)
		started.ended <- s.env.connector.Run(fetchCtx, workCtx)
	}()
	return started
}

// startTraffic produces for its time, or until it is stopped.
func (s *demoRun) startTraffic(ctx context.Context) activity {
	ctx, stop := s.opts.withTimeLimit(ctx, s.opts.produceDuration())
	started := activity{stop, make(chan error, 1)}
	go func() {
		defer close(started.ended)
		started.ended <- s.traffic.produceUntilDone(ctx, s.env.startedAt)
	}()
	return started
}

// withTimeLimit is ctx with an end, where the run has one.
func (o Options) withTimeLimit(ctx context.Context, duration time.Duration) (context.Context, context.CancelFunc) {
	if o.Duration == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, duration)
}
