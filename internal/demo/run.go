package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// demoRun is the state of one run. Apart from the traffic, only one goroutine uses it.
type demoRun struct {
	opts           Options
	env            *environment
	script         script
	ledger         *ledger
	traffic        *traffic
	auditor        *auditor
	operations     map[string][]string
	view           view
	breakers       map[string]string // last known breaker state, by operation
	breakersOpened int               // number of times that a breaker was seen to open
}

func newDemoRun(opts Options, script script, env *environment) (*demoRun, error) {
	ids, err := newVendorIDs()
	if err != nil {
		return nil, err
	}
	auditor, err := newAuditor(env.cfg, env.platform.Brokers(), env.vendors.server)
	if err != nil {
		return nil, err
	}
	byPipeline, byEvent := env.operationRoutes()
	run := &demoRun{
		opts: opts, env: env, script: script, ledger: &ledger{}, auditor: auditor, operations: byPipeline,
		view: view{screen: opts.Screen}, breakers: map[string]string{},
	}
	run.traffic = &traffic{
		client: env.client, samples: env.samples, operations: byEvent, vendorIDs: ids, accounts: env.accounts,
		ledger: run.ledger, rate: opts.Rate, events: run.script.events,
	}
	return run, nil
}

const (
	watchInterval  = 200 * time.Millisecond // breakers stay open for at least a second
	redrawInterval = time.Second
	// Auditing takes longer as the ledger grows. auditTimeFactor limits it to a fraction of the
	// time. maxRedrawDelay limits the resulting delay, since on a busy machine everything takes
	// long, and a view that stands still is of no use.
	auditTimeFactor = 20
	maxRedrawDelay  = 5 * time.Second
)

// redrawDelay returns how long to wait after a drawing that took the given time.
func redrawDelay(took time.Duration) time.Duration { return min(auditTimeFactor*took, maxRedrawDelay) }

// watchRun draws the view until ctx ends. It returns an error if the connector ends before.
func (r *demoRun) watchRun(ctx context.Context, connector activity) error {
	ticker := time.NewTicker(watchInterval)
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
		r.countOpenedBreakers()
		if now := time.Now(); !now.Before(next) {
			if err := r.drawView(ctx, r.currentPhase()); err != nil && ctx.Err() == nil {
				return err
			}
			next = laterOf(next.Add(redrawInterval), time.Now().Add(redrawDelay(time.Since(now))))
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
		return "draining, nothing more is produced"
	}
	return stateRunning
}

// countOpenedBreakers counts the breakers that have opened since the last call.
func (r *demoRun) countOpenedBreakers() {
	for _, p := range r.env.observe.Pipelines() {
		for _, operation := range p.Snapshot().Operations {
			if operation.Breaker == "open" && r.breakers[operation.Operation] == closedBreaker {
				r.breakersOpened++
			}
			r.breakers[operation.Operation] = operation.Breaker
		}
	}
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
	faults[faultBreaker] = r.breakersOpened
	report := newReport(result, faults, r.script, complete)
	for _, operation := range slices.Sorted(maps.Keys(r.breakers)) {
		if state := r.breakers[operation]; complete && state != closedBreaker {
			report.Failures = append(
				report.Failures, fmt.Sprintf("breaker of %s is %s at the end, want closed", operation, state),
			)
		}
	}
	return report, nil
}
