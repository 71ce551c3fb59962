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

// gate decides for all lanes of one operation whether a call may start. It has no goroutine: a
// denied lane gets a time to wait, and a channel that is closed when calls may be possible earlier.
//
//	         consecutive failures, or their ratio      OpenFor has elapsed
//	closed -----------------------------------> open ------------------------> half-open
//	  ^                                          ^                              |     |
//	  |                                          +------------------------------+     |
//	  +---------------------------------------------- one item passes ----------------+
//
// Besides the breaker, there are the hold (unauthorized, misconfigured, no token), which ends when
// a probe of one item passes; the flood, which ends when the pipeline's flood guard clears; and the
// throttle, which expires. A call is admitted if none of them denies it and the rate limit permits
// it. An admitted call may have to wait for its send intents, so its permit is confirmed just
// before it is sent.
type gate struct {
	cfg Config
	obs *observe.Pipeline

	mu            sync.Mutex // guards all below; locked by lanes, never while another lock is held
	random        *rand.Rand
	breaker       *breaker
	hold          hold
	flood         hold // active while the flood guard is tripped
	probeUnderWay bool
	throttle      throttle
	size          callSize
	stalled       stalledSpans
	report        holdReport
	changed       chan struct{} // closed and replaced when lanes should try again
	// passedCalls counts the calls to which the vendor responded. A call that started before the
	// vendor's last failure does not count.
	passedCalls uint64

	waitingLanes   map[int]struct{} // lanes that have something to send and were denied
	lastFailedLane int              // -1: none
	lastFailedAt   time.Time
}

func newGate(cfg Config, obs *observe.Pipeline, log *zap.Logger) *gate {
	g := &gate{
		cfg: cfg, obs: obs, random: rand.New(cfg.Rand),
		hold: hold{probes: cfg.HoldProbe}, flood: hold{probes: cfg.HoldProbe},
		throttle: throttle{backoff: cfg.Backoff, maxRetryAfter: cfg.RetryAfterCap},
		size:     callSize{configured: cfg.MaxItems},
		report:   holdReport{operation: cfg.OperationName, obs: obs, log: log},
		changed:  make(chan struct{}), waitingLanes: map[int]struct{}{}, lastFailedLane: -1,
	}
	g.breaker = newBreaker(cfg, func(to gobreaker.State) {
		obs.SetBreakerState(cfg.OperationName, to.String())
		g.notifyLanes()
	})
	obs.SetBreakerState(cfg.OperationName, gobreaker.StateClosed.String())
	return g
}

// denial means that no call may start now. The lane tries again after wait, or when changed is
// closed.
type denial struct {
	wait        time.Duration
	changed     <-chan struct{}
	rateLimited bool // nothing but the rate limit denies the call
}

// admit returns a permit to start a call, or nil and a denial.
func (g *gate) admit(lane int, now time.Time) (*permit, denial) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waitingLanes[lane] = struct{}{}
	state := g.breaker.currentState()
	g.reportHold(now, sink.Response{})
	wait := g.waitBeforeCall(lane, state, now)
	rateLimited := wait == 0
	if rateLimited {
		wait = g.throttle.reserveCall(g.cfg.Limiter, now)
	}
	if wait > 0 {
		return nil, denial{wait: wait, changed: g.changed, rateLimited: rateLimited}
	}
	done, allowed := g.breaker.allowCall()
	if !allowed { // half-open, and another lane's probe is in flight
		return nil, denial{wait: batch.Forever, changed: g.changed}
	}
	delete(g.waitingLanes, lane)
	permit := &permit{
		gate: g, lane: lane, started: now, maxItems: g.size.maxItems(), done: done,
		halfOpen: state == gobreaker.StateHalfOpen,
	}
	if g.onlyProbes(state) {
		permit.probe, permit.maxItems = true, 1
		g.probeUnderWay = true
	}
	return permit, denial{}
}

// waitBeforeCall returns for how long a hold, the throttle or the breaker denies the lane a call,
// or 0 if none does.
func (g *gate) waitBeforeCall(lane int, state gobreaker.State, now time.Time) time.Duration {
	probe := g.onlyProbes(state)
	if probe && g.probeUnderWay {
		return batch.Forever
	}
	if wait := g.waitWhileClosed(state, now); wait > 0 {
		return wait
	}
	if probe && lane == g.lastFailedLane && len(g.waitingLanes) > 1 {
		return batch.Forever // another lane's item goes first
	}
	return 0
}

// waitWhileClosed returns for how long a hold, the flood, the throttle or the breaker denies every
// call, even a probe, or 0 if none does.
func (g *gate) waitWhileClosed(state gobreaker.State, now time.Time) time.Duration {
	switch {
	case g.hold.isActive() && g.hold.nextProbe.After(now):
		return g.hold.nextProbe.Sub(now)
	case g.flood.isActive() && g.flood.nextProbe.After(now):
		return g.flood.nextProbe.Sub(now)
	case state == gobreaker.StateOpen:
		return max(time.Millisecond, g.breaker.openUntil.Sub(now))
	case g.throttle.until.After(now):
		return g.throttle.until.Sub(now)
	}
	return 0
}

// onlyProbes reports whether calls are limited to probes of one item, one at a time.
func (g *gate) onlyProbes(state gobreaker.State) bool {
	return g.hold.isActive() || g.flood.isActive() || state == gobreaker.StateHalfOpen
}

// withdraw is called when the lane has nothing left to send.
func (g *gate) withdraw(lane int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, waiting := g.waitingLanes[lane]; waiting {
		delete(g.waitingLanes, lane)
		g.notifyLanes() // the lane that yielded to this one would wait forever
	}
}

// holdForToken holds the operation because its token could not be refreshed.
func (g *gate) holdForToken(permit *permit, response sink.Response) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.beginHold(holdReasonFor(response.Class), permit, response, now)
	g.reportHold(now, response)
}

// setFlood starts or ends the hold of the pipeline's flood guard.
func (g *gate) setFlood(tripped bool) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !tripped:
		g.flood.end()
	case !g.flood.isActive():
		g.flood.recordFault(observe.HoldFlood, now, now, 0)
	}
	g.reportHold(now, sink.Response{})
	g.notifyLanes()
}

// recordAccepted records that no record of a call was refused. During a flood, the next probe may
// then start immediately.
func (g *gate) recordAccepted(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flood.isActive() {
		g.flood.allowProbe(now)
		g.notifyLanes()
	}
}

// probeNow allows a held operation its next probe immediately.
func (g *gate) probeNow(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold.nextProbe, g.flood.nextProbe = now, now
	g.throttle.until = earlierOf(g.throttle.until, now)
	g.notifyLanes()
}

// laneBackoff returns how long a lane backs off after this many earlier consecutive failures.
func (g *gate) laneBackoff(failures int) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg.Backoff.FullJitter(failures, g.random)
}

// recordAge returns the time since a record's first failure, not counting the time during which the
// operation could not be called. It returns 0 for the zero time.
func (g *gate) recordAge(firstFailed, now time.Time) time.Duration {
	if firstFailed.IsZero() {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Sub(firstFailed) - g.stalled.stalledSince(firstFailed, now)
}

// callLimits returns the current maximum number of items in a call, and the number of passed calls.
func (g *gate) callLimits() (maxItems int, passedCalls uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.size.maxItems(), g.passedCalls
}

// beginHold starts or prolongs the hold of the operation. The caller must hold g.mu, as for all
// methods below.
func (g *gate) beginHold(reason observe.HoldReason, permit *permit, response sink.Response, now time.Time) {
	g.lastFailedLane = permit.lane
	g.hold.recordFault(reason, permit.started, now, min(response.RetryAfter, g.cfg.RetryAfterCap))
}

// reportHold reports the current hold reason. response is the one that may have changed it.
func (g *gate) reportHold(now time.Time, response sink.Response) {
	closed := g.breaker.currentState() == gobreaker.StateClosed
	g.stalled.setStalled(g.hold.isActive() || g.flood.isActive() || !closed, now)
	g.report.update(g.currentReason(now), now, response)
}

// currentReason returns why no call may start, or "" if calls may start. If there are several
// reasons, the one that needs an operator comes first.
func (g *gate) currentReason(now time.Time) observe.HoldReason {
	switch {
	case g.hold.isActive():
		return g.hold.reason
	case g.flood.isActive():
		return g.flood.reason
	case g.breaker.currentState() != gobreaker.StateClosed:
		return observe.HoldUnavailable
	case g.throttle.until.After(now):
		return observe.HoldThrottled
	}
	return ""
}

// notifyLanes makes all waiting lanes try again.
func (g *gate) notifyLanes() {
	close(g.changed)
	g.changed = make(chan struct{})
}
