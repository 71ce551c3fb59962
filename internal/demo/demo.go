// Package demo runs all of Sluice in one process: an embedded broker and schema registry, the
// vendors as a sandbox that misbehaves according to a script, traffic (a producer), the connector
// itself, and an auditor that looks for every record at the vendors and in the topics.
//
//	traffic -> broker -> connector -> vendors
//	   |          |                      |
//	   +------> ledger <---- auditor ----+
//
// The ledger does not rely on the connector: it compares what was produced with what the broker and
// the vendors have.
package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Options configure a run.
type Options struct {
	// Duration is the length of the run, at least MinDuration; 0 means until fetchCtx ends.
	Duration time.Duration
	// Rate is the number of valid records produced per second, over all pipelines, from MinRate to
	// MaxRate.
	Rate int
	// Seed determines the records and when the bad ones are produced.
	Seed   uint64
	Screen Screen
	Log    *zap.Logger
}

// Limits of the options.
const (
	MinDuration = 10 * time.Second
	MinRate     = 50
	MaxRate     = 1000
)

// Check returns an error for the first option that is out of range.
func (o Options) Check() error {
	if o.Duration != 0 && o.Duration < MinDuration {
		return fmt.Errorf("duration %s: allowed is %s or more, or 0 to run until stopped", o.Duration, MinDuration)
	}
	if o.Rate < MinRate || o.Rate > MaxRate {
		return fmt.Errorf("rate %d: allowed are %d to %d records per second", o.Rate, MinRate, MaxRate)
	}
	return nil
}

// A run without a duration repeats the script scriptRounds times, each time for scriptRound. After
// that the vendors work without faults.
const (
	scriptRound  = time.Minute
	scriptRounds = 60
)

// produceDuration is how long records are produced. The rest of the run lets those in flight
// finish, in the worst case after every retry delay.
func (o Options) produceDuration() time.Duration {
	return max(o.Duration*6/10, o.Duration-8*time.Second)
}

func (o Options) newScript() script {
	if o.Duration == 0 {
		return newScript(o.Seed, scriptRound, scriptRounds)
	}
	return newScript(o.Seed, o.produceDuration(), 1)
}

// RunDemo runs the demo until its duration has passed or fetchCtx ends, then drains and returns the
// report. The end of workCtx cuts the drain short. An error means that there is no report; broken
// promises are part of the report.
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

// runConnector runs the traffic and the connector while the view is drawn. It stops the traffic
// first, and audits when both have ended.
func runConnector(fetchCtx, workCtx context.Context, opts Options, script script, env *environment) (Report, error) {
	run, err := newDemoRun(opts, script, env)
	if err != nil {
		return Report{}, err
	}
	defer run.auditor.close()
	connector := run.startConnector(workCtx)
	traffic := run.startTraffic(fetchCtx)
	watchCtx, stop := opts.withTimeLimit(fetchCtx, opts.Duration)
	defer stop()
	breakers := run.startBreakerWatch()
	runErr := run.watchRun(watchCtx, connector)
	traffic.stop()
	runErr = errors.Join(runErr, <-traffic.ended)
	runErr = errors.Join(runErr, run.awaitLateOutcomes(fetchCtx))
	runErr = errors.Join(runErr, run.drawView(context.WithoutCancel(workCtx), drainingPhase))
	connector.stop()
	runErr = errors.Join(runErr, <-connector.ended)
	breakers.stop()
	runErr = errors.Join(runErr, <-breakers.ended)
	if runErr != nil {
		return Report{}, runErr
	}
	return run.finalReport(context.WithoutCancel(workCtx), fetchCtx.Err() == nil)
}

// activity is a goroutine of a run. stop makes it end. ended delivers its error, if it can fail,
// and is then closed.
type activity struct {
	stop  context.CancelFunc
	ended chan error
}

// startConnector runs the connector until it is stopped.
func (r *demoRun) startConnector(workCtx context.Context) activity {
	fetchCtx, stop := context.WithCancel(workCtx)
	started := activity{stop, make(chan error, 1)}
	go func() {
		defer close(started.ended)
		started.ended <- r.env.connector.Run(fetchCtx, workCtx)
	}()
	return started
}

// startTraffic produces for produceDuration, or until it is stopped.
func (r *demoRun) startTraffic(ctx context.Context) activity {
	ctx, stop := r.opts.withTimeLimit(ctx, r.opts.produceDuration())
	started := activity{stop, make(chan error, 1)}
	go func() {
		defer close(started.ended)
		started.ended <- r.traffic.produceUntilDone(ctx, r.env.startedAt)
	}()
	return started
}

// startBreakerWatch watches the breakers until it is stopped. It has to outlast the connector,
// which may still be waiting for the end of an outage while it drains.
func (r *demoRun) startBreakerWatch() activity {
	ctx, stop := context.WithCancel(context.Background())
	started := activity{stop, make(chan error)}
	go func() {
		defer close(started.ended)
		r.breakers.watchUntilDone(ctx)
	}()
	return started
}

// withTimeLimit limits ctx to the duration, unless the run has no end.
func (o Options) withTimeLimit(ctx context.Context, duration time.Duration) (context.Context, context.CancelFunc) {
	if o.Duration == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, duration)
}
