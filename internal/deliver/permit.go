package deliver

import (
	"time"

	"sluice/internal/sink"
)

// permit allows one call to start. It ends with reportVerdict or cancel.
type permit struct {
	gate     *gate
	lane     int
	started  time.Time // when the call was admitted, later when its permit was confirmed
	maxItems int
	probe    bool // the call has one item and shows whether the operation works again
	halfOpen bool // the breaker is half-open
	done     func(breakerSignal)
	ended    bool
}

// confirm reports whether the call may still be sent. Since it was admitted, calls of other lanes
// may have been throttled or held, or may have opened the breaker. The rate limit does not count
// the call again. A permit that is not confirmed must be canceled.
func (p *permit) confirm(now time.Time) bool {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	state := g.breaker.currentState()
	if g.onlyProbes(state) && !p.probe || g.waitWhileClosed(state, now) > 0 {
		return false
	}
	p.started = now
	return true
}

// cancel ends a permit whose call was not made or was canceled by this process. It does nothing if
// the permit has already ended.
func (p *permit) cancel() {
	if p.ended {
		return
	}
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.end(signalExcluded)
	if p.probe {
		p.gate.notifyLanes()
	}
}

// reportVerdict ends a permit with the verdict on the response to a call. items is the number of
// items sent.
func (p *permit) reportVerdict(verdict verdict, response sink.Response, items int) {
	g := p.gate
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	p.end(verdict.signal)
	if g.flood.isActive() && p.probe {
		g.lastFailedLane = p.lane
		g.flood.postponeProbe(now) // recordAccepted allows the next one immediately
	}
	p.applyAction(verdict, response, items, now)
	switch verdict.signal {
	case signalSuccess:
		p.recordSuccess(verdict, response.Class, items, now)
	case signalFailure:
		g.lastFailedLane, g.lastFailedAt = p.lane, now
		if verdict.action != actionHold {
			p.postponeHoldProbe(now)
		}
	case signalExcluded:
	}
	g.reportHold(now, response)
	if p.probe {
		g.notifyLanes()
	}
}

// end ends the permit. The caller must hold the gate's mutex, as for all methods below.
func (p *permit) end(signal breakerSignal) {
	p.ended = true
	if p.probe {
		p.gate.probeUnderWay = false
	}
	p.done(signal)
}

func (p *permit) applyAction(verdict verdict, response sink.Response, items int, now time.Time) {
	g := p.gate
	switch verdict.action {
	case actionHold:
		g.beginHold(verdict.reason, p, response, now)
	case actionThrottle:
		g.throttle.recordThrottled(p.started, now, response.RetryAfter, g.random)
		g.stalled.addSpan(now, g.throttle.until)
		p.postponeHoldProbe(now)
	case actionShrinkCalls, actionUnknownOutcome:
		g.size.reduceBelow(items)
	case actionPerItem, actionSingleItem, actionServerError, actionNamedItems, actionBisect,
		actionRefreshToken, actionBackOff:
		// These change nothing that the lanes share.
	}
}

func (p *permit) recordSuccess(verdict verdict, class sink.ResultClass, items int, now time.Time) {
	g := p.gate
	if class == sink.Unavailable || class == sink.Unknown {
		p.postponeHoldProbe(now) // the batch is the reason, but nothing has passed
		return
	}
	// A call that started before the vendor failed does not show that the vendor works now.
	if !p.started.Before(g.lastFailedAt) {
		g.passedCalls++
	}
	g.throttle.recordSuccess(p.started)
	g.hold.recordSuccess(p.started)
	if verdict.action == actionPerItem {
		g.size.recordPassed(items)
	}
}

// postponeHoldProbe delays the next probe of a hold, because this one met a different fault than
// the hold's.
func (p *permit) postponeHoldProbe(now time.Time) {
	if p.gate.hold.isActive() && p.probe {
		p.gate.hold.postponeProbe(now)
	}
}
