package deliver

import (
	"context"
	"errors"
	"slices"
	"time"

	"sluice/internal/sink"
)

// callAttempt is one attempt to make a call: the batch it is taken from, the items sent, the
// response, and the verdict of the outcome table.
type callAttempt struct {
	lane     *lane
	op       *operation
	permit   *permit
	batch    *bisection[*entry]
	sent     []*entry
	response sink.Response
	verdict  verdict
}

// attemptCall makes one call with what is due, and carries out its verdict.
func (l *lane) attemptCall(workCtx context.Context, permit *permit) {
	defer permit.cancel()
	defer l.backlog.pruneBatches()
	a := &callAttempt{lane: l, op: l.op, permit: permit, batch: l.backlog.nextBatch(permit, l.health.lastFailed)}
	if a.batch == nil || !a.probeVendor(workCtx) || !a.logIntents(workCtx) || !a.confirmPermit() || !a.send(workCtx) {
		return
	}
	a.decide()
	a.carryOut(workCtx)
}

// probeVendor makes the vendor's harmless call, if it has one, before a half-open breaker admits an
// item. It returns false if that call fails.
func (a *callAttempt) probeVendor(workCtx context.Context) bool {
	prober, ok := a.op.Operation.(sink.Prober)
	if !ok || !a.permit.halfOpen {
		return true
	}
	callCtx, cancel := context.WithTimeout(workCtx, a.op.cfg.Timeout)
	defer cancel()
	response := prober.Probe(callCtx)
	if response.Class == sink.Unauthorized && a.op.policy.tokenRefreshable {
		if !a.refreshToken(callCtx, response) {
			return false
		}
		response = prober.Probe(callCtx)
	}
	if response.Class == sink.Delivered {
		return true
	}
	if errors.Is(callCtx.Err(), context.Canceled) {
		return false
	}
	a.permit.reportVerdict(a.op.policy.verdictForProbe(response), response, 0)
	return false
}

// logIntents selects the items of the call and commits their intents. If an assignment ends in the
// meantime, the call carries fewer items than were due: an item that moved up has no intent and is
// not sent. It returns false if nothing is left to send.
func (a *callAttempt) logIntents(workCtx context.Context) bool {
	backlog := a.lane.backlog
	if backlog.draining {
		backlog.releaseTooLate(a.batch) // they need no intent
	}
	if !backlog.intents.logMissing(workCtx, a.batch.nextCall(a.permit.maxItems)) {
		return false
	}
	backlog.releaseTooLate(a.batch)
	a.sent = a.batch.nextCall(a.permit.maxItems)
	if i := slices.IndexFunc(a.sent, backlog.intents.isMissing); i >= 0 {
		a.sent = a.sent[:i]
	}
	return len(a.sent) > 0
}

// confirmPermit checks with the gate again, because committing the intents may have taken long. If
// the gate has closed, the items stay in their batch, and the lane's next turn waits for the gate.
func (a *callAttempt) confirmPermit() bool {
	if a.permit.confirm(time.Now()) {
		return true
	}
	a.lane.backlog.intents.clearUnlessActed(a.sent)
	return false
}

// send makes the call. It returns false if workCtx has ended, unless the response states that the
// items were delivered.
func (a *callAttempt) send(workCtx context.Context) bool {
	l := a.lane
	l.items = l.items[:0]
	size, repeated := a.op.EnvelopeSize(a.sent[0].EnvelopeKey)+len(a.sent)-1, 0
	for _, e := range a.sent {
		l.items = append(l.items, e.Value.Item)
		size += e.Size
		if e.Value.sends > 0 {
			repeated++
		}
	}
	if repeated > 0 {
		a.op.obs.PossibleDuplicates(a.op.cfg.OperationName, repeated)
	}
	callCtx, cancel := context.WithTimeout(workCtx, a.op.cfg.Timeout)
	defer cancel()
	start := time.Now()
	a.response = a.op.Send(callCtx, l.items)
	clear(l.items) // an idle lane keeps no bodies
	a.observeCall(size, time.Since(start))
	a.countSends()
	return workCtx.Err() == nil || a.response.Class == sink.Delivered
}

// countSends counts the call for each item on which the vendor may have acted.
func (a *callAttempt) countSends() {
	if a.op.policy.repeatable {
		return
	}
	for i, e := range a.sent {
		if mayHaveActedOn(a.response, len(a.sent), i) {
			e.Value.sends++
		}
	}
}

// observeCall updates the metrics. size is the body's length in bytes.
func (a *callAttempt) observeCall(size int, took time.Duration) {
	cfg := &a.op.cfg
	fill := max(float64(len(a.sent))/float64(cfg.MaxItems), float64(size)/float64(cfg.MaxBytes))
	a.op.obs.VendorCall(cfg.OperationName, a.response.Class, len(a.sent), min(fill, 1), took)
}

// decide looks up the verdict and reports it to the gate.
func (a *callAttempt) decide() {
	facts := callFacts{items: len(a.sent), tokenRefreshed: a.batch.tokenRefreshed, failsAlone: a.recordFailure()}
	a.verdict = a.op.policy.verdictFor(facts, a.response)
	a.permit.reportVerdict(a.verdict, a.response, len(a.sent))
	a.lane.health.recordVerdict(a.verdict, a.sent, func(failures int) time.Duration {
		return max(a.op.gate.laneBackoff(failures), min(a.response.RetryAfter, a.op.cfg.RetryAfterCap))
	})
}

// recordFailure records, for each item, that the vendor failed on the request. A failure counts
// only if another call has succeeded since the item's previous failure. recordFailure reports
// whether every item has now failed at least three times in this way: then the items are the
// reason, not an outage.
func (a *callAttempt) recordFailure() (failsAlone bool) {
	if !failedOnRequest(a.response) {
		return false
	}
	const minFailures = 3
	_, passed := a.op.gate.callLimits()
	failsAlone = true
	for _, e := range a.sent {
		delivery := &e.Value
		counts := delivery.callFailures == 0 || passed > delivery.passedAtFailure
		if counts {
			delivery.callFailures++
		}
		delivery.passedAtFailure = passed
		failsAlone = failsAlone && counts && delivery.callFailures >= minFailures
	}
	return failsAlone
}

// refreshToken refreshes the token of an operation that has one. If that fails, the operation is
// held.
func (a *callAttempt) refreshToken(workCtx context.Context, response sink.Response) bool {
	callCtx, cancel := context.WithTimeout(workCtx, a.op.cfg.Timeout)
	defer cancel()
	err := a.op.Operation.(sink.TokenRefresher).RefreshToken(callCtx, response.TokenVersion)
	if err == nil {
		return true
	}
	var dependency *sink.DependencyError
	switch {
	case errors.Is(workCtx.Err(), context.Canceled): // cut off by this process
	case errors.As(err, &dependency):
		a.op.gate.holdForToken(a.permit, dependency.Response)
	default:
		a.op.gate.holdForToken(a.permit, sink.Response{Result: sink.Result{Class: sink.Unavailable}, Err: err})
	}
	return false
}
