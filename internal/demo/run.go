package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// stage is what is looked at during a run. For one goroutine, but for the traffic.
type stage struct {
	opts     Options
	world    *world
	script   script
	ledger   *ledger
	traffic  *traffic
	auditor  *auditor
	routes   map[string][]string
	view     view
	breakers map[string]string // the state last seen, by operation
	opened   int               // breakers seen to open
}

func newStage(o Options, script script, w *world) (*stage, error) {
	names, err := newNames()
	if err != nil {
		return nil, err
	}
	a, err := newAuditor(w.cfg, w.platform.Brokers(), w.vendors.server)
	if err != nil {
		return nil, err
	}
	byPipeline, byEvent := w.routes()
	s := &stage{
		opts: o, world: w, script: script, ledger: &ledger{}, auditor: a, routes: byPipeline,
		view: view{screen: o.Screen}, breakers: map[string]string{},
	}
	s.traffic = &traffic{
		client: w.client, samples: w.samples, routes: byEvent, names: names, accounts: w.accounts, ledger: s.ledger, rate: o.Rate, acts: s.script.acts,
	}
	return s, nil
}

const (
	glance = 200 * time.Millisecond // between looks at the breakers, which are open for a second at least
	redraw = time.Second
	// auditShare bounds the time that adding up takes to a part of all time, for the ledger grows; longest bounds the wait that comes of it, for a machine
	// that is busy makes any time long, and a view that stands still says nothing.
	auditShare = 20
	longest    = 5 * time.Second
)

// pause is how long to wait after a drawing that took so long.
func pause(took time.Duration) time.Duration { return min(auditShare*took, longest) }

// watch looks on until ctx ends. The error is the connector's, when it ends before.
func (s *stage) watch(ctx context.Context, connector activity) error {
	beat := time.NewTicker(glance)
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
		s.noteBreakers()
		if now := time.Now(); !now.Before(next) {
			if err := s.show(ctx, s.phase()); err != nil && ctx.Err() == nil {
				return err
			}
			next = later(next.Add(redraw), time.Now().Add(pause(time.Since(now))))
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// phase says what the run is about at present.
func (s *stage) phase() string {
	if s.opts.Duration > 0 && time.Since(s.world.started) > s.opts.producing() {
		return "nothing more is produced; what is on its way drains"
	}
	return running
}

// noteBreakers counts breakers that have opened since the last look.
func (s *stage) noteBreakers() {
	for _, p := range s.world.observe.Pipelines() {
		for _, o := range p.Snapshot().Operations {
			if o.Breaker == "open" && s.breakers[o.Operation] == closedBreaker {
				s.opened++
			}
			s.breakers[o.Operation] = o.Breaker
		}
	}
}

func (s *stage) show(ctx context.Context, phase string) error {
	if s.view.screen.Writer == nil {
		return nil
	}
	sums, err := s.addUp(ctx)
	if err != nil {
		return err
	}
	return s.view.draw(s.scene(sums, phase))
}

// addUp takes the records before it looks for them, so that none is missed for being too new.
func (s *stage) addUp(ctx context.Context) (sums, error) {
	records := s.ledger.all()
	found, err := s.auditor.look(ctx)
	if err != nil {
		return sums{}, err
	}
	return addUp(records, found, s.routes), nil
}

func (s *stage) scene(sums sums, phase string) scene {
	elapsed := time.Since(s.world.started)
	c := scene{
		elapsed: elapsed, length: s.opts.Duration, phase: phase, figures: closed(sums.pipelines), total: sums.total.close(),
		lag: map[string]int64{}, states: map[string]string{}, acts: s.script.recent(elapsed, actsKept, actLines),
	}
	for _, p := range s.world.cfg.Pipelines {
		c.pipelines = append(c.pipelines, p.Name)
		c.lag[p.Name] = s.auditor.found.lag[p.Topic]
		c.states[p.Name] = state(s.world.observe.Pipeline(p.Name).Snapshot())
	}
	return c
}

// actsKept is how long an act is shown after it.
const actsKept = 4 * time.Second

// report adds up after the connector has stopped.
func (s *stage) report(ctx context.Context, complete bool) (Report, error) {
	s.auditor.readDoubled()
	sums, err := s.addUp(ctx)
	if err != nil {
		return Report{}, err
	}
	if s.view.screen.Writer != nil {
		if err := s.view.draw(s.scene(sums, stopped)); err != nil {
			return Report{}, err
		}
	}
	happened := fired(s.world.vendors.server, s.world.accounts)
	happened[faultBreaker] = s.opened
	r := report(sums, happened, s.script, complete)
	for _, operation := range slices.Sorted(maps.Keys(s.breakers)) {
		if state := s.breakers[operation]; complete && state != closedBreaker {
			r.Failures = append(r.Failures, fmt.Sprintf("the breaker of %s is %s at the end", operation, state))
		}
	}
	return r, nil
}
