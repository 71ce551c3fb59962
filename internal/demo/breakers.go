package demo

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"sluice/internal/demo/sandbox"
	"sluice/internal/observe"
)

// outage is a scripted fault that lasts until its effect has been observed: at least until
// earliestEnd, and from then on until one of the vendor's breakers is not closed. A fixed end would
// make the fault depend on the speed of the machine. The rule's own When.Until limits the outage.
type outage struct {
	rule        string // name of the rule
	vendor      sandbox.Vendor
	earliestEnd time.Duration // after the start of the script
}

// breakerWatch follows the breakers of all operations, counts how often they open and ends outages.
// It runs beside the view, because drawing takes long on a busy machine. It is safe for concurrent
// use.
type breakerWatch struct {
	observe   *observe.Registry
	vendors   *sandbox.Server
	startedAt time.Time // start of the script

	mu      sync.Mutex
	outages []outage          // those that have not ended
	states  map[string]string // last known state, by operation
	opened  int               // number of times that a breaker was seen to open
}

func newBreakerWatch(env *environment, outages []outage) *breakerWatch {
	return &breakerWatch{
		observe: env.observe, vendors: env.vendors.server, startedAt: env.startedAt,
		outages: outages, states: map[string]string{},
	}
}

// watchInterval is far below the time for which a breaker stays open.
const watchInterval = 100 * time.Millisecond

// watchUntilDone watches until ctx ends, and then reads the final states.
func (w *breakerWatch) watchUntilDone(ctx context.Context) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			w.updateStates()
			return
		case <-ticker.C:
			w.updateStates()
			w.endOutages(time.Since(w.startedAt))
		}
	}
}

// updateStates reads the state of each breaker. One that is half-open has been open in between.
func (w *breakerWatch) updateStates() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.observe.Pipelines() {
		for _, operation := range p.Snapshot().Operations {
			if w.states[operation.Operation] == closedBreaker && operation.Breaker != closedBreaker {
				w.opened++
			}
			w.states[operation.Operation] = operation.Breaker
		}
	}
}

// endOutages ends the outages that have lasted long enough and had an effect.
func (w *breakerWatch) endOutages(elapsed time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var remaining []outage
	for _, current := range w.outages {
		if elapsed < current.earliestEnd || !w.hasOpenBreaker(current.vendor) {
			remaining = append(remaining, current)
			continue
		}
		w.vendors.StopRule(current.rule)
	}
	w.outages = remaining
}

// hasOpenBreaker reports whether a breaker of the vendor is not closed. The caller must hold w.mu.
func (w *breakerWatch) hasOpenBreaker(vendor sandbox.Vendor) bool {
	for operation, state := range w.states {
		if strings.HasPrefix(operation, string(vendor)+".") && state != closedBreaker {
			return true
		}
	}
	return false
}

func (w *breakerWatch) openedCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// lastStates returns the last known state of each operation's breaker.
func (w *breakerWatch) lastStates() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.states)
}
