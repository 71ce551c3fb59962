package deliver

import (
	"time"

	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// This file is the outcome table: what an answer means for the call, and what a result means for one record. It is pure; the lane and the
// gate carry out what it says. A row that is not here does not exist.

// breakerSignal is what an answer tells the breaker.
type breakerSignal uint8

const (
	signalExcluded breakerSignal = iota // says nothing about the vendor's health
	signalSuccess                       // the vendor is up
	signalFailure                       // the vendor is down, or cannot be reached as configured
)

// action is what is done with the items of a call.
type action uint8

const (
	actionPerItem        action = iota + 1 // each by its own result
	actionSingleItem                       // the one item by the call's result
	actionUnknownOutcome                   // each by the policy for unknown outcomes
	actionNamedItems                       // those that the answer blames die, the rest are sent again at once
	actionBisect                           // the batch is searched for the culprit
	actionShrinkCalls                      // smaller calls, of the same items
	actionRefreshToken                     // a new token, then the same once more
	actionHold                             // all stay; the operation is held and probed
	actionThrottle                         // all stay; the operation waits and is slower after it
	actionBackOff                          // all stay; the lane waits
)

// The reasons for which an operation is held.
const (
	reasonUnauthorized  = observe.HoldUnauthorized
	reasonMisconfigured = observe.HoldMisconfigured
	reasonUnavailable   = observe.HoldUnavailable
	reasonThrottled     = observe.HoldThrottled
	reasonFlood         = observe.HoldFlood
)

// verdict is what an answer means for its call.
type verdict struct {
	action  action
	signal  breakerSignal
	reason  observe.HoldReason // with stepHold: the reason
	backOff bool               // the lane waits before its next call
}

// policy is what the configuration and the operation say about outcomes.
type policy struct {
	repeatable       bool
	tokenRefreshable bool // the operation's token can be had anew
	unknownPolicy    sink.UnknownPolicy
	maxResends       int
	retryDelays      []time.Duration
	maxAge           time.Duration // 0: none
	retryInPlace     bool
}

// callFacts is what the table needs to know of a call beside its answer.
type callFacts struct {
	items          int
	tokenRefreshed bool // the token was renewed for it
	poison         bool // the vendor failed over it for the third time, each time while other calls passed
}

// verdictFor gives the row of an answer.
func (p policy) verdictFor(c callFacts, a sink.Response) verdict {
	switch a.Class {
	case sink.Delivered:
		if len(a.ItemResults) != c.items {
			return p.verdictForUnknown(c, signalSuccess)
		}
		return verdict{action: actionPerItem, signal: signalSuccess}
	case sink.Rejected:
		switch {
		case c.items == 1:
			return verdict{action: actionSingleItem, signal: signalSuccess}
		case len(namedItems(c.items, a)) > 0:
			return verdict{action: actionNamedItems, signal: signalSuccess}
		}
		return verdict{action: actionBisect, signal: signalSuccess}
	case sink.TooLarge:
		if c.items == 1 {
			return verdict{action: actionSingleItem, signal: signalSuccess}
		}
		return verdict{action: actionShrinkCalls, signal: signalSuccess}
	case sink.Unauthorized:
		if p.tokenRefreshable && !c.tokenRefreshed {
			return verdict{action: actionRefreshToken, signal: signalExcluded}
		}
		return verdict{action: actionHold, signal: signalExcluded, reason: reasonUnauthorized}
	case sink.Misconfigured:
		return verdict{action: actionHold, signal: signalFailure, reason: reasonMisconfigured}
	case sink.Throttled:
		return verdict{action: actionThrottle, signal: signalExcluded}
	case sink.Unavailable:
		return p.verdictForUnavailable(c)
	default: // sink.Unknown, and what is meant for items only or for nothing
		if a.Status >= 200 && a.Status < 300 {
			return p.verdictForUnknown(c, signalSuccess)
		}
		return p.verdictForUnknown(c, signalFailure)
	}
}

// verdictForUnavailable: nothing moves; but a batch that alone keeps failing is searched, and an item that alone keeps failing moves on.
func (p policy) verdictForUnavailable(c callFacts) verdict {
	switch {
	case !c.poison:
		return verdict{action: actionBackOff, signal: signalFailure, backOff: true}
	case c.items == 1:
		return verdict{action: actionSingleItem, signal: signalSuccess}
	}
	return verdict{action: actionBisect, signal: signalSuccess}
}

// verdictForUnknown: the vendor may have acted on the call. That is no harm where the operation is repeatable.
func (p policy) verdictForUnknown(c callFacts, s breakerSignal) verdict {
	if p.repeatable {
		return p.verdictForUnavailable(c)
	}
	return verdict{action: actionUnknownOutcome, signal: s, backOff: s == signalFailure}
}

// rulingKind is what becomes of one record after an answer.
type rulingKind uint8

const (
	rulingDelivered   rulingKind = iota + 1
	rulingDead                   // dead letter, with the cause
	rulingRetryTier              // the retry tier of the delay
	rulingWaitInPlace            // stays in the lane and is sent again after the delay
	rulingResend                 // is sent again at once, in smaller calls
)

type ruling struct {
	kind  rulingKind
	cause record.Cause
	delay time.Duration
}

// attemptHistory is what the table needs to know of a record.
type attemptHistory struct {
	lastDelay time.Duration // the last retry delay that it has waited, 0: none
	age       time.Duration // since its first failure, without the time that the operation was held
	resends   int           // times that it was sent again after an unknown outcome
}

// rulingForItem gives the row of an item's own result.
func (p policy) rulingForItem(r sink.Result, h attemptHistory) ruling {
	switch r.Class {
	case sink.Delivered:
		return ruling{kind: rulingDelivered}
	case sink.Rejected:
		return ruling{kind: rulingDead, cause: record.CauseRejected}
	case sink.Retryable:
		return p.rulingForRetry(h)
	default: // sink.Unknown, and what has no meaning for an item
		return p.rulingForUnknown(h)
	}
}

// rulingForSingleItem gives the row of the one item of a call, from the call's class and the item's own result.
func (p policy) rulingForSingleItem(class sink.ResultClass, own sink.Result, h attemptHistory) ruling {
	switch class {
	case sink.Rejected:
		return p.rulingForNamedItem(own, h)
	case sink.TooLarge:
		return ruling{kind: rulingDead, cause: record.CauseTooLarge}
	default: // the poison item: the vendor fails on it and on nothing else
		return p.rulingForRetry(h)
	}
}

// rulingForNamedItem gives the row of an item that a refused batch's answer names.
func (p policy) rulingForNamedItem(r sink.Result, h attemptHistory) ruling {
	if r.Class == sink.Retryable {
		return p.rulingForRetry(h)
	}
	return ruling{kind: rulingDead, cause: record.CauseRejected}
}

// rulingForRetry: the first tier that is longer than the last wait, unless the record is too old or there is none.
func (p policy) rulingForRetry(h attemptHistory) ruling {
	if p.maxAge > 0 && h.age > p.maxAge {
		return ruling{kind: rulingDead, cause: record.CauseExpired}
	}
	for _, d := range p.retryDelays {
		if d <= h.lastDelay {
			continue
		}
		if p.retryInPlace {
			return ruling{kind: rulingWaitInPlace, cause: record.CauseRetryable, delay: d}
		}
		return ruling{kind: rulingRetryTier, cause: record.CauseRetryable, delay: d}
	}
	return ruling{kind: rulingDead, cause: record.CauseExhausted}
}

// rulingForUnknown: nobody knows whether the vendor acted on this record. Where that is no harm it is tried later, so that a record that is never answered
// comes to an end too.
func (p policy) rulingForUnknown(h attemptHistory) ruling {
	switch {
	case p.repeatable:
		return p.rulingForRetry(h)
	case p.unknownPolicy == sink.UnknownRetry && h.resends < p.maxResends:
		return ruling{kind: rulingResend}
	}
	return ruling{kind: rulingDead, cause: record.CauseUnknown}
}

// rulingForPriorIntent gives the row of a record that an earlier owner may have sent: fateResend where it is to be sent (again).
func (p policy) rulingForPriorIntent(h attemptHistory) ruling {
	if p.repeatable {
		return ruling{kind: rulingResend}
	}
	return p.rulingForUnknown(h)
}

// namedItems are the items that a refused batch's answer names, without indices that are no item's or come twice.
func namedItems(items int, a sink.Response) map[int]sink.Result {
	named := make(map[int]sink.Result, len(a.ItemErrors))
	for _, n := range a.ItemErrors {
		if _, twice := named[n.Index]; n.Index >= 0 && n.Index < items && !twice {
			named[n.Index] = n.Result
		}
	}
	return named
}

// mayHaveActed tells whether the vendor may have acted on items that have no result of their own.
func mayHaveActed(a sink.Response) bool {
	switch a.Class {
	case sink.Delivered, sink.Rejected, sink.TooLarge, sink.Unauthorized, sink.Misconfigured, sink.Throttled:
		return false
	case sink.Unavailable:
		return a.MayHaveActed
	default:
		return true
	}
}

// failedOnRequest tells whether the vendor failed while it had the request: with 5xx or a code that means the same, with an answer that cannot be read, or
// without any after the request was written. Only then can the items be to blame.
func failedOnRequest(a sink.Response) bool {
	return a.Class == sink.Unknown || a.Class == sink.Unavailable && (a.MayHaveActed || a.Status >= 500)
}

// holdReasonFor is why the operation is held when a token could not be had, by the class of that failure.
func holdReasonFor(class sink.ResultClass) observe.HoldReason {
	switch class {
	case sink.Misconfigured:
		return reasonMisconfigured
	case sink.Throttled:
		return reasonThrottled
	case sink.Unavailable, sink.Unknown:
		return reasonUnavailable
	default:
		return reasonUnauthorized
	}
}

// verdictForProbe gives the row of the harmless call that did not pass: no item was sent, so that only the gate has something to do.
func (p policy) verdictForProbe(a sink.Response) verdict {
	switch a.Class {
	case sink.Unauthorized:
		return verdict{action: actionHold, signal: signalExcluded, reason: reasonUnauthorized}
	case sink.Misconfigured:
		return verdict{action: actionHold, signal: signalFailure, reason: reasonMisconfigured}
	case sink.Throttled:
		return verdict{action: actionThrottle, signal: signalExcluded}
	default:
		return verdict{action: actionBackOff, signal: signalFailure}
	}
}
