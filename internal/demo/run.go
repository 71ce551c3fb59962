package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// demoRun is the state of one run. Only one goroutine uses it, apart from the traffic, the ledger
// and the breaker watch, which have goroutines of their own or are safe for concurrent use.
type demoRun struct {
	opts       Options
	env        *environment
	script     script
	ledger     *ledger
	traffic    *traffic
	auditor    *auditor
	operations map[string][]string
	view       view
	breakers   *breakerWatch
}

func newDemoRun(opts Options, script script, env *environment) (*demoRun, error) {
	auditor, err := newAuditor(env.cfg, env.platform.Brokers(), env.vendors.server)
	if err != nil {
		return nil, err
	}
	byPipeline, byEvent := env.operationRoutes()
	run := &demoRun{
		opts: opts, env: env, script: script, ledger: &ledger{}, auditor: auditor, operations: byPipeline,
		view: view{screen: opts.Screen}, breakers: newBreakerWatch(env, script.outages),
	}
	run.traffic = &traffic{
		client: env.client, samples: env.samples, operations: byEvent, accounts: env.accounts,
		ledger: run.ledger, mix: newPipelineMix(slices.Sorted(maps.Keys(byPipeline))), rate: opts.Rate,
		events: run.script.events,
	}
	return run, nil
}

const (
	viewInterval   = 200 * time.Millisecond
	redrawInterval = time.Second
	// Audits take longer as the ledger grows. auditTimeFactor limits the share of the time that is
	// spent on them. maxRedrawDelay limits the resulting delay, because a view that does not change
	// is of no use, even on a busy machine.
	auditTimeFactor = 20
	maxRedrawDelay  = 5 * time.Second
)

// redrawDelay returns how long to wait after drawing the view took the given time.
func redrawDelay(took time.Duration) time.Duration { return min(auditTimeFactor*took, maxRedrawDelay) }

// watchRun draws the view until ctx ends. It returns an error if the connector ends earlier.
func (r *demoRun) watchRun(ctx context.Context, connector activity) error {
	ticker := time.NewTicker(viewInterval)
	defer ticker.Stop()
	next := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-connector.ended:
			return errors.Join(err, errors.New("the connector stopped unexpectedly"))
		case <-ticker.C:
		}
		if now := time.Now(); !now.Before(next) {
			if err := r.drawView(ctx, r.currentPhase()); err != nil && ctx.Err() == nil {
				return err
			}
			next = laterOf(next.Add(redrawInterval), time.Now().Add(redrawDelay(time.Since(now))))
		}
	}
}

// awaitLateOutcomes waits until every record has its outcome, or until lateOutcomeWait has passed
// or ctx ends.
func (r *demoRun) awaitLateOutcomes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lateOutcomeWait)
	defer cancel()
	for {
		result, err := r.auditRecords(ctx)
		if ctx.Err() != nil {
			return nil
		}
		figures := result.total.computeFigures()
		if err != nil || figures.Retrying+figures.Unsettled == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(viewInterval):
		}
	}
}

func laterOf(first, second time.Time) time.Time {
	if first.After(second) {
		return first
	}
	return second
}

// currentPhase describes what the run is doing.
func (r *demoRun) currentPhase() string {
	if r.opts.Duration > 0 && time.Since(r.env.startedAt) > r.opts.produceDuration() {
		return drainingPhase
	}
	return stateRunning
}

func (r *demoRun) drawView(ctx context.Context, phase string) error {
	if r.view.screen.Writer == nil {
		return nil
	}
	result, err := r.auditRecords(ctx)
	if err != nil {
		return err
	}
	return r.view.drawState(r.viewSnapshot(result, phase))
}

// auditRecords lists the produced records before it looks for them, so that none is missed because
// it is too recent.
func (r *demoRun) auditRecords(ctx context.Context) (totals, error) {
	records := r.ledger.snapshotRecords()
	found, err := r.auditor.collectFindings(ctx)
	if err != nil {
		return totals{}, err
	}
	return computeTotals(records, found, r.operations), nil
}

func (r *demoRun) viewSnapshot(result totals, phase string) viewState {
	elapsed := time.Since(r.env.startedAt)
	state := viewState{
		elapsed: elapsed, length: r.opts.Duration, phase: phase, figures: figuresByName(result.pipelines),
		total: result.total.computeFigures(),
		lag:   map[string]int64{}, states: map[string]string{},
		events: r.script.recentEvents(elapsed, eventsShownFor, eventLines),
	}
	for _, p := range r.env.cfg.Pipelines {
		state.pipelines = append(state.pipelines, p.Name)
		state.lag[p.Name] = r.auditor.found.lag[p.Topic]
		state.states[p.Name] = pipelineState(r.env.observe.Pipeline(p.Name).Snapshot())
	}
	return state
}

// eventsShownFor is how long an event remains in the view after it ended.
const eventsShownFor = 4 * time.Second

// finalReport audits the run after the connector has stopped.
func (r *demoRun) finalReport(ctx context.Context, complete bool) (Report, error) {
	r.auditor.readUnexplained()
	result, err := r.auditRecords(ctx)
	if err != nil {
		return Report{}, err
	}
	if r.view.screen.Writer != nil {
		if err := r.view.drawState(r.viewSnapshot(result, stateStopped)); err != nil {
			return Report{}, err
		}
	}
	faults := countFaults(r.env.vendors.server, r.env.accounts)
	faults[faultBreaker] = r.breakers.openedCount()
	report := newReport(result, faults, r.script, complete)
	breakerStates := r.breakers.lastStates()
	for _, operation := range slices.Sorted(maps.Keys(breakerStates)) {
		if state := breakerStates[operation]; complete && state != closedBreaker {
			report.Failures = append(
				report.Failures, fmt.Sprintf("breaker of %s is %s at the end, want closed", operation, state),
			)
		}
	}
	return report, nil
}
