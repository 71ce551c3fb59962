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
	round  = time.Minute
	rounds = 60
)

// producing is for how long records are produced: the last seconds are for those that are on their way, through each retry delay at worst.
func (o Options) producing() time.Duration { return max(o.Duration*6/10, o.Duration-8*time.Second) }

func (o Options) script() script {
	if o.Duration == 0 {
		return newScript(o.Seed, round, rounds)
	}
	return newScript(o.Seed, o.producing(), 1)
}

// RunDemo runs the demo to its end, or until take ends; then it drains and reports what there is. The end of work cuts the drain short. The error says why
// there is no report; promises that were not kept stand in the report.
func RunDemo(take, work context.Context, o Options) (Report, error) {
	if err := o.Check(); err != nil {
		return Report{}, err
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s := o.script()
	w, err := newWorld(take, o, s)
	if err != nil {
		return Report{}, fmt.Errorf("starting the demo: %w", err)
	}
	r, err := play(take, work, o, s, w)
	return r, errors.Join(err, w.close())
}

// play runs traffic and connector, looks on, and adds up when both have ended, the traffic first.
func play(take, work context.Context, o Options, script script, w *world) (Report, error) {
	s, err := newStage(o, script, w)
	if err != nil {
		return Report{}, err
	}
	defer s.auditor.close()
	connector := s.startConnector(work)
	traffic := s.startTraffic(take)
	running, stop := o.until(take, o.Duration)
	defer stop()
	failure := s.watch(running, connector)
	traffic.stop()
	failure = errors.Join(failure, <-traffic.ended)
	failure = errors.Join(failure, s.show(context.WithoutCancel(work), "draining"))
	connector.stop()
	failure = errors.Join(failure, <-connector.ended)
	if failure != nil {
		return Report{}, failure
	}
	return s.report(context.WithoutCancel(work), take.Err() == nil)
}

// activity is something that runs beside: stop asks it to end, ended gives its error once, and nil after that.
type activity struct {
	stop  context.CancelFunc
	ended chan error
}

// startConnector runs the connector until it is stopped.
func (s *stage) startConnector(work context.Context) activity {
	take, stop := context.WithCancel(work)
	a := activity{stop, make(chan error, 1)}
	go func() {
		defer close(a.ended)
		a.ended <- s.world.connector.Run(take, work)
	}()
	return a
}

// startTraffic produces for its time, or until it is stopped.
func (s *stage) startTraffic(ctx context.Context) activity {
	ctx, stop := s.opts.until(ctx, s.opts.producing())
	a := activity{stop, make(chan error, 1)}
	go func() {
		defer close(a.ended)
		a.ended <- s.traffic.run(ctx, s.world.started)
	}()
	return a
}

// until is ctx with an end, where the run has one.
func (o Options) until(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if o.Duration == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
