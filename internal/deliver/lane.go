package deliver

import (
	"context"
	"time"

	"sluice/internal/batch"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// lane is one goroutine with at most one call in flight. All its fields except the inbox belong to
// that goroutine.
type lane struct {
	id       int
	op       *operation
	inbox    *inbox
	backlog  *backlog
	resolver *resolver
	health   laneHealth
	closed   bool // no more deliveries come
	timer    *time.Timer
	spare    []Delivery  // reused
	items    []sink.Item // reused
}

// laneHealth is what the lane's last calls showed about the vendor.
type laneHealth struct {
	failures   int            // consecutive calls that found the vendor unavailable
	notBefore  time.Time      // end of the back-off
	lastFailed *record.Record // the record of the last failed call, if that had one item
}

// recordVerdict updates the back-off. delay returns the wait after this many earlier failures.
func (h *laneHealth) recordVerdict(verdict verdict, sent []*entry, delay func(failures int) time.Duration) {
	if verdict.signal == signalSuccess {
		h.failures = 0
		return
	}
	h.lastFailed = nil
	if len(sent) == 1 {
		h.lastFailed = sent[0].Value.Record
	}
	if verdict.backOff {
		wait := delay(h.failures)
		h.notBefore = time.Now().Add(wait)
		h.failures++
	}
}

func newLane(id int, op *operation) *lane {
	backlog := newBacklog(op)
	return &lane{
		id: id, op: op, inbox: newInbox(), backlog: backlog, resolver: &resolver{op: op, backlog: backlog},
	}
}

// run takes turns until workCtx ends, or until the lane is closed and empty.
func (l *lane) run(workCtx context.Context) {
	l.timer = time.NewTimer(0)
	defer l.timer.Stop()
	defer l.op.gate.withdraw(l.id)
	for workCtx.Err() == nil {
		if !l.takeDeliveries(workCtx) {
			break
		}
		if l.isFinished() {
			return
		}
		l.takeTurn(workCtx)
	}
	l.releaseAll()
}

func (l *lane) isFinished() bool { return l.closed && l.backlog.isEmpty() }

// takeDeliveries takes the dispatched deliveries from the inbox. It returns false if workCtx ends.
func (l *lane) takeDeliveries(workCtx context.Context) bool {
	deliveries, draining, closed := l.inbox.takeAll(l.spare)
	now := time.Now()
	l.resolver.outcomes = l.resolver.outcomes[:0]
	for i := range deliveries {
		l.resolver.enqueue(deliveries[i], now)
	}
	clear(deliveries)
	l.spare = deliveries
	closing := closed && !l.closed
	if draining || closing { // also at Close, so that no record is left waiting forever
		l.backlog.requestRelease()
	}
	if closing {
		l.closed = true
		l.backlog.queue.SkipLinger(func(*entry) bool { return true })
	}
	return l.resolver.settle(workCtx)
}

// takeTurn finishes what no longer has to wait, and then makes one call, or waits until one may be
// possible. Releasing comes first: a bisection is complete once its last items to be sent are
// released.
func (l *lane) takeTurn(workCtx context.Context) {
	if l.backlog.releaseDue {
		now := time.Now()
		l.backlog.releaseDraining(now, now)
	}
	l.resolver.rejectFoundOffenders(workCtx)
	l.resolver.emptyQuarantine(workCtx)
	if l.isFinished() {
		return // nothing would end a wait
	}
	now := time.Now()
	wait := l.waitUntilDue(now)
	if wait > 0 {
		l.op.gate.withdraw(l.id)
		l.waitFor(workCtx, denial{wait: wait})
		return
	}
	permit, denied := l.op.gate.admit(l.id, now)
	if permit == nil {
		l.waitFor(workCtx, denied)
		return
	}
	l.attemptCall(workCtx, permit)
}

// waitUntilDue returns how long the lane has nothing to send or backs off. 0 or less means that a
// call is due.
func (l *lane) waitUntilDue(now time.Time) time.Duration {
	if len(l.backlog.bisections)+len(l.backlog.quarantine.resendable) == 0 {
		if l.backlog.queue.Len() == 0 {
			return batch.Forever
		}
		maxItems, _ := l.op.gate.callLimits()
		if ready, wait := l.backlog.queue.NextReady(now, maxItems); !ready {
			return wait
		}
	}
	return l.health.notBefore.Sub(now)
}

// waitFor waits for a denial to end. Records of ending assignments do not wait: they are released
// immediately or, if only the rate limit denies the call, once the call would be too late for them.
func (l *lane) waitFor(workCtx context.Context, denied denial) {
	if l.backlog.draining {
		now, start := time.Now(), neverStarts
		if denied.rateLimited {
			start = now.Add(denied.wait)
		}
		if l.backlog.releaseDraining(now, start) > 0 {
			return
		}
	}
	var elapsed <-chan time.Time
	if denied.wait < batch.Forever {
		l.timer.Reset(denied.wait)
		elapsed = l.timer.C
	}
	select {
	case <-workCtx.Done():
	case <-l.inbox.notified:
	case <-denied.changed:
	case <-elapsed:
	}
}

// releaseAll releases what the lane has and what is still dispatched to it.
func (l *lane) releaseAll() {
	l.inbox.close()
	deliveries, _, _ := l.inbox.takeAll(nil)
	for i := range deliveries {
		deliveries[i].Record.Release()
	}
	l.op.obs.RecordsReleased(len(deliveries))
	l.backlog.releaseAll()
}
