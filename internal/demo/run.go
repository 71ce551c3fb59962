package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// demoRun is what is looked at during a run. For one goroutine, but for the traffic.
type demoRun struct {
	opts           Options
	env            *environment
	script         script
	ledger         *ledger
	traffic        *traffic
	auditor        *auditor
	operations     map[string][]string
	view           view
	breakers       map[string]string // the state last seen, by operation
	breakersOpened int               // breakers seen to open
}

func newDemoRun(opts Options, script script, env *environment) (*demoRun, error) {
	names, err := newVendorIDs()
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
		client: env.client, samples: env.samples, operations: byEvent, vendorIDs: names, accounts: env.accounts,
		ledger: run.ledger, rate: opts.Rate, events: run.script.events,
	}
	return run, nil
}

const (
	watchInterval  = 200 * time.Millisecond // between looks at the breakers, which are open for a second at least
	redrawInterval = time.Second
	// auditTimeFactor bounds the time that adding up takes to a part of all time, for the ledger grows; longest bounds the wait that comes of it, for a machine
	// that is busy makes any time long, and a view that stands still says nothing.
	auditTimeFactor = 20
	maxRedrawDelay  = 5 * time.Second
)

// redrawDelay is how long to wait after a drawing that took so long.
func redrawDelay(took time.Duration) time.Duration { return min(auditTimeFactor*took, maxRedrawDelay) }

// watchRun looks on until ctx ends. The error is the connector's, when it ends before.
func (s *demoRun) watchRun(ctx context.Context, connector activity) error {
	beat := time.NewTicker(watchInterval)
	defer beat.Stop()
	next := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-connector.ended:
			return errors.Join(err, errors.New("the connector ended by itself"))
		case <-beat.C:
		}
		s.countOpenedBreakers()
		if now := time.Now(); !now.Before(next) {
			if err := s.drawView(ctx, s.currentPhase()); err != nil && ctx.Err() == nil {
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

// currentPhase says what the run is about at present.
func (s *demoRun) currentPhase() string {
	if s.opts.Duration > 0 && time.Since(s.env.startedAt) > s.opts.produceDuration() {
		return "nothing more is produced; what is on its way drains"
	}
	return stateRunning
}

// countOpenedBreakers counts breakers that have opened since the last look.
func (s *demoRun) countOpenedBreakers() {
	for _, p := range s.env.observe.Pipelines() {
		for _, operation := range p.Snapshot().Operations {
			if operation.Breaker == "open" && s.breakers[operation.Operation] == closedBreaker {
				s.breakersOpened++
			}
			s.breakers[operation.Operation] = operation.Breaker
		}
	}
}

func (s *demoRun) drawView(ctx context.Context, phase string) error {
	if s.view.screen.Writer == nil {
		return nil
	}
	result, err := s.auditRecords(ctx)
	if err != nil {
		return err
	}
	return s.view.drawState(s.viewSnapshot(result, phase))
}

// auditRecords takes the records before it looks for them, so that none is missed for being too new.
func (s *demoRun) auditRecords(ctx context.Context) (totals, error) {
	records := s.ledger.snapshotRecords()
	found, err := s.auditor.collectFindings(ctx)
	if err != nil {
		return totals{}, err
	}
	return computeTotals(records, found, s.operations), nil
}

func (s *demoRun) viewSnapshot(result totals, phase string) viewState {
	elapsed := time.Since(s.env.startedAt)
	state := viewState{
		elapsed: elapsed, length: s.opts.Duration, phase: phase, figures: figuresByName(result.pipelines),
		total: result.total.computeFigures(),
		lag:   map[string]int64{}, states: map[string]string{},
		events: s.script.recentEvents(elapsed, eventsShownFor, eventLines),
	}
	for _, p := range s.env.cfg.Pipelines {
		state.pipelines = append(state.pipelines, p.Name)
		state.lag[p.Name] = s.auditor.found.lag[p.Topic]
		state.states[p.Name] = pipelineState(s.env.observe.Pipeline(p.Name).Snapshot())
	}
	return state
}

// eventsShownFor is how long an act is shown after it.
const eventsShownFor = 4 * time.Second

// finalReport adds up after the connector has stopped.
func (s *demoRun) finalReport(ctx context.Context, complete bool) (Report, error) {
	s.auditor.readUnexplained()
	result, err := s.auditRecords(ctx)
	if err != nil {
		return Report{}, err
	}
	if s.view.screen.Writer != nil {
		if err := s.view.drawState(s.viewSnapshot(result, stateStopped)); err != nil {
			return Report{}, err
		}
	}
	happened := countFaults(s.env.vendors.server, s.env.accounts)
	happened[faultBreaker] = s.breakersOpened
	report := newReport(result, happened, s.script, complete)
	for _, operation := range slices.Sorted(maps.Keys(s.breakers)) {
		if state := s.breakers[operation]; complete && state != closedBreaker {
			report.Failures = append(
				report.Failures, fmt.Sprintf("the breaker of %s is %s at the end", operation, state),
			)
		}
	}
	return report, nil
}
