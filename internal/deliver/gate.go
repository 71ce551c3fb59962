package deliver

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"sluice/internal/batch"
	"sluice/internal/observe"
	"sluice/internal/sink"
)

// gate decides for all lanes of one operation whether a call may start. It has no goroutine: a lane that is refused is told for how long, and
// which channel closes when that changes.
//
//	          faults in a row, or their ratio               OpenFor is over
//	closed -----------------------------------> open ------------------------> half-open
//	  ^                                          ^                              |     |
//	  |                                          +------------------------------+     |
//	  +---------------------------------------------- one item passes ----------------+
//
// Beside the breaker stand the hold (unauthorized, misconfigured, no token to be had), which ends when a probe of one item passes, the flood, which
// ends when the pipeline's guard lets go, and the throttle, which ends by time. A call starts when none of them is against it and the pace allows it.
type gate struct {
	cfg Config
	obs *observe.Pipeline
	log *zap.Logger

	mu       sync.Mutex // guards all below; taken by lanes, never while another lock is held
	rand     *rand.Rand
	breaker  *breaker
	hold     hold
	flood    hold // while the guard is tripped; hold.probing counts for both
	throttle throttle
	stalled  stalledSpans
	changed  chan struct{} // closed and replaced when lanes should ask again
	most     int           // items of a call after a 413 or an unknown outcome, 0: the configured cap
	full     int           // calls in a row that were filled to it
	passes   uint64        // calls that the vendor has answered for, of those that began after the last failure
	// asking are the lanes that have something to send and were refused; failed is the lane whose call failed last, failedAt when.
	asking   map[int]struct{}
	failed   int
	failedAt time.Time

	said   observe.HoldReason // the reason told last
	saidAt time.Time
	faults int // since then
}

func newGate(cfg Config, obs *observe.Pipeline, log *zap.Logger) *gate {
	g := &gate{cfg: cfg, obs: obs, log: log, changed: make(chan struct{}), asking: map[int]struct{}{}, failed: -1}
	g.rand = rand.New(cfg.Rand)
	g.hold.probe, g.flood.probe = cfg.HoldProbe, cfg.HoldProbe
	g.throttle = throttle{limiter: cfg.Limiter, backoff: cfg.Backoff, most: cfg.RetryAfterCap}
	g.breaker = newBreaker(cfg, func(to gobreaker.State) {
		obs.SetBreakerState(cfg.OperationName, to.String())
		g.wake()
	})
	obs.SetBreakerState(cfg.OperationName, gobreaker.StateClosed.String())
	return g
}

// permit lets one call start. It ends with report or cancel.
type permit struct {
	gate     *gate
	lane     int
	started  time.Time
	maxItems int  // items of the call
	probe    bool // one item tries whether the operation works again
	halfOpen bool
	done     func(breakerSignal)
	ended    bool
}

// denial says why no call may start: ask again after the wait, or when changed closes.
type denial struct {
	wait        time.Duration
	changed     <-chan struct{}
	rateLimited bool // only the pace is against it
}

// admit lets a lane start a call, or refuses it.
func (g *gate) admit(lane int, now time.Time) (*permit, denial) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking[lane] = struct{}{}
	state := g.breaker.state()
	g.note(now, sink.Response{})
	wait := g.barred(lane, state, now)
	paced := wait == 0
	if paced {
		wait = g.throttle.take(now)
	}
	if wait > 0 {
		return nil, denial{wait: wait, changed: g.changed, rateLimited: paced}
	}
	done, ok := g.breaker.allow()
	if !ok { // half-open, and another lane's item is under way
		return nil, denial{wait: batch.Forever, changed: g.changed}
	}
	delete(g.asking, lane)
	p := &permit{gate: g, lane: lane, started: now, maxItems: g.limit(), done: done, halfOpen: state == gobreaker.StateHalfOpen}
	if g.trying(state) {
		p.probe, p.maxItems = true, 1
		g.hold.probing = true
	}
	return p, denial{}
}

// barred is how long hold, throttle and breaker keep the lane from asking again; 0: they do not.
func (g *gate) barred(lane int, state gobreaker.State, now time.Time) time.Duration {
	trial := g.trying(state)
	switch {
	case trial && g.hold.probing:
		return batch.Forever
	case g.hold.reason != "" && g.hold.next.After(now):
		return g.hold.next.Sub(now)
	case g.flood.reason != "" && g.flood.next.After(now):
		return g.flood.next.Sub(now)
	case state == gobreaker.StateOpen:
		return max(time.Millisecond, g.breaker.openUntil.Sub(now))
	case g.throttle.until.After(now):
		return g.throttle.until.Sub(now)
	case trial && lane == g.failed && len(g.asking) > 1:
		return batch.Forever // another lane's item goes first
	}
	return 0
}

// trying tells whether one item at a time tries what may be done again.
func (g *gate) trying(state gobreaker.State) bool {
	return g.hold.reason != "" || g.flood.reason != "" || state == gobreaker.StateHalfOpen
}

// withdraw says that the lane has nothing to send at present.
func (g *gate) withdraw(lane int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, asked := g.asking[lane]; asked {
		delete(g.asking, lane)
		g.wake() // the lane that let this one go first would wait for ever
	}
}

// cancel ends a permit whose call was not made or was cut by us.
func (p *permit) cancel() {
	if p.ended {
		return
	}
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end(p, signalExcluded)
	if p.probe {
		g.wake()
	}
}

func (g *gate) end(p *permit, s breakerSignal) {
	p.ended = true
	if p.probe {
		g.hold.probing = false
	}
	p.done(s)
}

// reportVerdict ends a permit with what the table made of the answer to a call of so many items.
func (p *permit) reportVerdict(v verdict, a sink.Response, items int) {
	g := p.gate
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end(p, v.signal)
	if g.flood.reason != "" && p.probe {
		g.failed = p.lane
		g.flood.postpone(now) // until accepted says otherwise
	}
	switch v.action {
	case actionHold:
		g.holdFor(v.reason, p, a, now)
	case actionThrottle:
		g.slowDown(p, a, now)
	case actionShrinkCalls, actionUnknownOutcome:
		g.shrink(items)
	default: // nothing that the lanes share
	}
	switch v.signal {
	case signalSuccess:
		g.pass(p, v, a.Class, items, now)
	case signalFailure:
		g.failed, g.failedAt = p.lane, now
		if v.action != actionHold {
			g.putOff(p, now)
		}
	case signalExcluded:
	}
	g.note(now, a)
	if p.probe {
		g.wake()
	}
}

func (g *gate) pass(p *permit, v verdict, class sink.ResultClass, items int, now time.Time) {
	if class == sink.Unavailable || class == sink.Unknown {
		g.putOff(p, now) // the batch is to blame, but nothing has passed
		return
	}
	if !p.started.Before(g.failedAt) { // calls that were under way when the vendor went down say nothing of what failed since
		g.passes++
	}
	g.throttle.relax(p.started)
	g.hold.clear(p.started)
	if v.action == actionPerItem && g.most > 0 && items >= g.most {
		g.widen()
	}
}

// shrink has later calls carry half of one that was too large, or of one that may have taken too long.
func (g *gate) shrink(items int) {
	if items > 1 {
		g.most, g.full = min(g.limit(), items/2), 0
	}
}

// widen lets the cap grow by an eighth after so many full calls. An eighth too far costs one refused call.
func (g *gate) widen() {
	const calls = 16
	if g.full++; g.full < calls {
		return
	}
	g.full = 0
	g.most += max(1, g.most/8)
	if g.most >= g.cfg.MaxItems {
		g.most = 0
	}
}

// holdForToken takes a failure to get a token.
func (g *gate) holdForToken(p *permit, a sink.Response) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holdFor(holdReasonFor(a.Class), p, a, now)
	g.note(now, a)
}

func (g *gate) holdFor(reason observe.HoldReason, p *permit, a sink.Response, now time.Time) {
	g.failed = p.lane
	g.hold.set(reason, p.started, now, min(a.RetryAfter, g.cfg.RetryAfterCap))
}

func (g *gate) slowDown(p *permit, a sink.Response, now time.Time) {
	g.throttle.throttle(p.started, now, a.RetryAfter, g.rand)
	g.stalled.addSpan(now, g.throttle.until)
	g.putOff(p, now)
}

// putOff has the next trial of a hold wait, after one that told nothing of what the hold is for.
func (g *gate) putOff(p *permit, now time.Time) {
	if g.hold.reason != "" && p.probe {
		g.hold.postpone(now)
	}
}

func (g *gate) limit() int {
	if g.most > 0 {
		return g.most
	}
	return g.cfg.MaxItems
}

// wake has all lanes ask again.
func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}
