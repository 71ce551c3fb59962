package deliver

import (
	"context"

	"sluice/internal/sink"
)

// carryOut carries out the verdict on the call.
func (a *callAttempt) carryOut(workCtx context.Context) {
	a.batch.tokenRefreshed = a.verdict.action == actionRefreshToken
	policy := a.op.policy
	switch a.verdict.action {
	case actionPerItem:
		a.batch.recordPassed(len(a.sent))
		a.resolveSent(workCtx, func(i int, history attemptHistory) (ruling, sink.Result) {
			return policy.rulingForItem(a.response.ItemResults[i], history), a.response.ItemResults[i]
		})
	case actionUnknownOutcome:
		a.resolveAll(workCtx, policy.rulingForUnknown)
	case actionServerError:
		a.resolveAll(workCtx, policy.rulingForServerError)
	case actionSingleItem:
		a.resolveSingleItem(workCtx)
	case actionNamedItems:
		a.resolveNamedItems(workCtx)
	case actionBisect:
		a.batch.recordRejected(len(a.sent))
		a.clearUnsentIntents()
	case actionShrinkCalls:
		a.batch.maxItems = max(1, len(a.sent)/2)
		a.clearUnsentIntents()
	case actionRefreshToken:
		if !a.refreshToken(workCtx, a.response) {
			a.batch.tokenRefreshed = false
			a.lane.backlog.intents.clearUnlessActed(a.sent)
		}
	case actionHold, actionThrottle, actionBackOff:
		a.lane.backlog.intents.clearUnlessActed(a.sent)
	}
}

func (a *callAttempt) resolveSent(workCtx context.Context, rule rulingFunc) {
	a.lane.resolver.resolve(workCtx, a.sent, rule)
}

// resolveAll resolves the items of a call as a whole.
func (a *callAttempt) resolveAll(workCtx context.Context, rule func(attemptHistory) ruling) {
	a.batch.removeFirst(len(a.sent))
	a.resolveSent(workCtx, func(_ int, history attemptHistory) (ruling, sink.Result) {
		return rule(history), a.response.Result
	})
}

// clearUnsentIntents clears the intents of items that the next call does not carry.
func (a *callAttempt) clearUnsentIntents() {
	next := a.batch.nextCall(len(a.sent))
	a.lane.backlog.intents.clearUnlessActed(a.sent[len(next):])
}

// resolveSingleItem resolves the only item of the call. An offender is kept until the bisection of
// its batch is complete, unless there are too many of them.
func (a *callAttempt) resolveSingleItem(workCtx context.Context) {
	own := a.response.Result
	if named, ok := namedItems(1, a.response)[0]; ok {
		own = named
	}
	if a.isOffender() {
		a.sent[0].Value.rejection = &own
		a.batch.recordOffender()
		if a.batch.tooManyOffenders() {
			a.lane.resolver.rejectOffenders(workCtx, a.batch)
		}
		return
	}
	a.batch.removeFirst(len(a.sent))
	a.resolveSent(workCtx, func(_ int, history attemptHistory) (ruling, sink.Result) {
		return a.op.policy.rulingForSingleItem(a.response.Class, own, history), own
	})
}

// isOffender reports whether the only item of the call is an offender of a batch under bisection.
func (a *callAttempt) isOffender() bool {
	quarantine := &a.lane.backlog.quarantine
	return a.batch.searching && a.response.Class == sink.Rejected &&
		!a.op.cfg.Guard.Tripped() && !quarantine.isExempt(&a.sent[0].Value)
}

// resolveNamedItems resolves the items that the response names. The others are sent again.
func (a *callAttempt) resolveNamedItems(workCtx context.Context) {
	named := namedItems(len(a.sent), a.response)
	offenders, others := make([]*entry, 0, len(named)), make([]*entry, 0, len(a.sent))
	results := make([]sink.Result, 0, len(named))
	for i, e := range a.sent {
		if result, ok := named[i]; ok {
			offenders, results = append(offenders, e), append(results, result)
		} else {
			others = append(others, e)
		}
	}
	a.batch.removeFirst(len(a.sent))
	a.batch.putBack(others)
	a.lane.resolver.resolve(workCtx, offenders, func(i int, history attemptHistory) (ruling, sink.Result) {
		return a.op.policy.rulingForNamedItem(results[i], history), results[i]
	})
}
