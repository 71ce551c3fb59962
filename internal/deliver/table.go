package deliver

import (
	"math"
	"time"

	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// This file is the outcome table: what a response means for its call, and what a result means for
// one record. It is pure; callAttempt, resolver and gate carry out its decisions. Responses are
// interpreted only here.

// breakerSignal is what a response means for the breaker.
type breakerSignal uint8

const (
	signalExcluded breakerSignal = iota // does not show whether the vendor is available
	signalSuccess                       // the vendor is up
	signalFailure                       // the vendor is down, or cannot be reached as configured
)

// action determines what is done with the items of a call.
type action uint8

const (
	actionPerItem        action = iota + 1 // resolve each item by its own result
	actionSingleItem                       // resolve the only item by the call's result
	actionUnknownOutcome                   // resolve each item by the policy for unknown outcomes
	actionServerError                      // the same, but the size of the call is not the reason
	actionNamedItems                       // resolve the items that the response names, resend the others
	actionBisect                           // search the batch for the offenders
	actionShrinkCalls                      // send the same items in smaller calls
	actionRefreshToken                     // refresh the token, then send the same call once more
	actionHold                             // keep the items; the operation is held and probed
	actionThrottle                         // keep the items; the operation pauses, then calls less often
	actionBackOff                          // keep the items; the lane backs off
)

// verdict is what a response means for its call.
type verdict struct {
	action  action
	signal  breakerSignal
	reason  observe.HoldReason // why the operation is held, with actionHold only
	backOff bool               // the lane backs off before its next call
}

// policy has the properties of the operation and the settings that determine outcomes.
type policy struct {
	repeatable       bool
	tokenRefreshable bool
	unknownPolicy    sink.UnknownPolicy
	maxResends       int
	retryDelays      []time.Duration // ascending
	maxAge           time.Duration   // 0: no limit
	retryInPlace     bool
}

// callFacts is what the table needs to know about a call besides its response.
type callFacts struct {
	items          int
	tokenRefreshed bool // the token was refreshed for this call
	failsAlone     bool // the third failure on these items, with calls that passed in between
}

// verdictFor returns what a response means for its call.
func (p policy) verdictFor(call callFacts, response sink.Response) verdict {
	switch response.Class {
	case sink.Delivered:
		if len(response.ItemResults) != call.items {
			return p.verdictForUnknown(call, signalSuccess)
		}
		return verdict{action: actionPerItem, signal: signalSuccess}
	case sink.Rejected:
		switch {
		case call.items == 1:
			return verdict{action: actionSingleItem, signal: signalSuccess}
		case len(namedItems(call.items, response)) > 0:
			return verdict{action: actionNamedItems, signal: signalSuccess}
		}
		return verdict{action: actionBisect, signal: signalSuccess}
	case sink.TooLarge:
		if call.items == 1 {
			return verdict{action: actionSingleItem, signal: signalSuccess}
		}
		return verdict{action: actionShrinkCalls, signal: signalSuccess}
	case sink.Unauthorized:
		if p.tokenRefreshable && !call.tokenRefreshed {
			return verdict{action: actionRefreshToken, signal: signalExcluded}
		}
		return verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized}
	case sink.Misconfigured:
		return verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured}
	case sink.Throttled:
		return verdict{action: actionThrottle, signal: signalExcluded}
	case sink.Unavailable:
		if response.MayHaveActed && !p.repeatable {
			return p.verdictForServerError(call)
		}
		return p.verdictForUnavailable(call)
	case sink.Unknown, sink.Retryable: // Retryable has no meaning for a call
	}
	if response.Status >= 200 && response.Status < 300 {
		return p.verdictForUnknown(call, signalSuccess)
	}
	return p.verdictForUnknown(call, signalFailure)
}

// verdictForUnavailable keeps the items, unless the vendor fails on them alone: then a batch is
// bisected, and a single item is retried later so that it does not block its lane.
func (p policy) verdictForUnavailable(call callFacts) verdict {
	switch {
	case !call.failsAlone:
		return verdict{action: actionBackOff, signal: signalFailure, backOff: true}
	case call.items == 1:
		return verdict{action: actionSingleItem, signal: signalSuccess}
	}
	return verdict{action: actionBisect, signal: signalSuccess}
}

// verdictForServerError returns the verdict on a call that the vendor read and then failed on, so
// that it may have acted. Each such call counts against the resends of its items.
func (p policy) verdictForServerError(call callFacts) verdict {
	if call.failsAlone && call.items == 1 {
		return verdict{action: actionSingleItem, signal: signalSuccess}
	}
	return verdict{action: actionServerError, signal: signalFailure, backOff: true}
}

// verdictForUnknown returns the verdict on a call on which the vendor may have acted. A repeatable
// operation just sends the items again.
func (p policy) verdictForUnknown(call callFacts, signal breakerSignal) verdict {
	if p.repeatable {
		return p.verdictForUnavailable(call)
	}
	return verdict{action: actionUnknownOutcome, signal: signal, backOff: signal == signalFailure}
}

// verdictForProbe returns the verdict on a failed harmless call. It carried no item, so only the
// gate acts on the verdict.
func (p policy) verdictForProbe(response sink.Response) verdict {
	switch response.Class {
	case sink.Unauthorized:
		return verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized}
	case sink.Misconfigured:
		return verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured}
	case sink.Throttled:
		return verdict{action: actionThrottle, signal: signalExcluded}
	case sink.Delivered, sink.Rejected, sink.Retryable, sink.Unknown, sink.TooLarge, sink.Unavailable:
	}
	return verdict{action: actionBackOff, signal: signalFailure}
}

// rulingKind determines what happens to one record after a call.
type rulingKind uint8

const (
	rulingDelivered   rulingKind = iota + 1
	rulingDead                   // to the dead-letter topic, with the cause
	rulingRetryTier              // to the retry tier of the delay
	rulingWaitInPlace            // stays in the lane and is sent again after the delay
	rulingResend                 // is sent again immediately, in a smaller call
	rulingResendAlone            // is sent again immediately, in a call of its own
)

// ruling is what the outcome table decides about one record. Unlike record.Disposition, it also
// covers records that stay in their lane.
type ruling struct {
	kind  rulingKind
	cause record.Cause
	delay time.Duration
}

// attemptHistory is what the table needs to know about a record's earlier attempts.
type attemptHistory struct {
	lastDelay time.Duration // the retry delay that the record waited last; 0 if none
	age       time.Duration // time since its first failure, without the time that the operation was held
	sends     int           // calls on which the vendor may have acted, including the last one
}

// rulingForItem returns what an item's own result means for its record.
func (p policy) rulingForItem(result sink.Result, history attemptHistory) ruling {
	switch result.Class {
	case sink.Delivered:
		return ruling{kind: rulingDelivered}
	case sink.Rejected:
		return ruling{kind: rulingDead, cause: record.CauseRejected}
	case sink.Retryable:
		return p.rulingForRetry(history)
	case sink.Unknown:
	case sink.TooLarge, sink.Unauthorized, sink.Misconfigured, sink.Throttled, sink.Unavailable:
		// These have no meaning for an item.
	}
	return p.rulingForUnknown(history)
}

// rulingForSingleItem returns what the class of a call means for its only item, given the item's
// own result.
func (p policy) rulingForSingleItem(class sink.ResultClass, own sink.Result, history attemptHistory) ruling {
	switch class {
	case sink.Rejected:
		return p.rulingForNamedItem(own, history)
	case sink.TooLarge:
		return ruling{kind: rulingDead, cause: record.CauseTooLarge}
	case sink.Unavailable, sink.Unknown: // the vendor fails only on this item
	case sink.Delivered, sink.Retryable, sink.Unauthorized, sink.Misconfigured, sink.Throttled:
		// No verdict of these classes is actionSingleItem.
	}
	return p.rulingForRetry(history)
}

// rulingForNamedItem returns what happens to an item that the response to a rejected call names.
func (p policy) rulingForNamedItem(result sink.Result, history attemptHistory) ruling {
	if result.Class == sink.Retryable {
		return p.rulingForRetry(history)
	}
	return ruling{kind: rulingDead, cause: record.CauseRejected}
}

// rulingForRetry chooses the first delay that is longer than the last one. The record is dead when
// its sends are used up, when it is too old, or when no delay is left.
func (p policy) rulingForRetry(history attemptHistory) ruling {
	if history.sends >= p.maxSends() {
		return ruling{kind: rulingDead, cause: record.CauseUnknown}
	}
	if p.maxAge > 0 && history.age > p.maxAge {
		return ruling{kind: rulingDead, cause: record.CauseExpired}
	}
	for _, delay := range p.retryDelays {
		if delay <= history.lastDelay {
			continue
		}
		if p.retryInPlace {
			return ruling{kind: rulingWaitInPlace, cause: record.CauseRetryable, delay: delay}
		}
		return ruling{kind: rulingRetryTier, cause: record.CauseRetryable, delay: delay}
	}
	return ruling{kind: rulingDead, cause: record.CauseExhausted}
}

// maxSends returns the number of calls that may carry a record if the vendor may have acted on each
// of them.
func (p policy) maxSends() int {
	switch {
	case p.repeatable:
		return math.MaxInt
	case p.unknownPolicy == sink.UnknownRetry:
		return 1 + p.maxResends
	}
	return 1
}

// rulingForUnknown returns the ruling for a record on which the vendor may have acted, in the last
// call or before. A repeatable operation retries it through the retry tiers, so that a record that
// never gets a clear result does not stay forever.
func (p policy) rulingForUnknown(history attemptHistory) ruling {
	switch {
	case p.repeatable:
		return p.rulingForRetry(history)
	case history.sends < p.maxSends():
		return ruling{kind: rulingResend}
	}
	return ruling{kind: rulingDead, cause: record.CauseUnknown}
}

// rulingForServerError returns the ruling for a record of a call that the vendor read and then
// failed on. The last call that the record may have carries nothing else: a record that always
// makes the vendor fail must not use up the sends of others.
func (p policy) rulingForServerError(history attemptHistory) ruling {
	ruled := p.rulingForUnknown(history)
	if ruled.kind == rulingResend && history.sends+1 >= p.maxSends() {
		ruled.kind = rulingResendAlone
	}
	return ruled
}

// rulingForPriorSends returns the ruling for a record that may have been sent before it arrived
// here. rulingResend means that it is sent like any other record.
func (p policy) rulingForPriorSends(history attemptHistory) ruling {
	if p.repeatable {
		return ruling{kind: rulingResend}
	}
	return p.rulingForUnknown(history)
}

// namedItems returns the results of the items that the response to a rejected call names, by index.
// Indices out of range are ignored; the first of two results for one index counts.
func namedItems(items int, response sink.Response) map[int]sink.Result {
	named := make(map[int]sink.Result, len(response.ItemErrors))
	for _, itemError := range response.ItemErrors {
		if itemError.Index < 0 || itemError.Index >= items {
			continue
		}
		if _, duplicate := named[itemError.Index]; !duplicate {
			named[itemError.Index] = itemError.Result
		}
	}
	return named
}

// mayHaveActedOn reports whether the vendor may have acted on the item at an index of a call.
func mayHaveActedOn(response sink.Response, items, index int) bool {
	if response.Class != sink.Delivered {
		return mayHaveActed(response)
	}
	if len(response.ItemResults) != items {
		return true
	}
	class := response.ItemResults[index].Class
	return class != sink.Rejected && class != sink.Retryable
}

// mayHaveActed reports whether the vendor may have acted on items that have no result of their own.
func mayHaveActed(response sink.Response) bool {
	switch response.Class {
	case sink.Delivered, sink.Rejected, sink.TooLarge, sink.Unauthorized, sink.Misconfigured, sink.Throttled:
		return false
	case sink.Unavailable:
		return response.MayHaveActed
	case sink.Unknown, sink.Retryable: // Retryable has no meaning for a call
	}
	return true
}

// failedOnRequest reports whether the vendor failed after it received the request: with a 5xx
// status or an equivalent code, with an unreadable response, or with no response after the request
// was written. Only then can the items be the reason.
func failedOnRequest(response sink.Response) bool {
	return response.Class == sink.Unknown ||
		response.Class == sink.Unavailable && (response.MayHaveActed || response.Status >= 500)
}

// holdReasonFor returns why the operation is held if refreshing its token failed with a result of
// the given class.
func holdReasonFor(class sink.ResultClass) observe.HoldReason {
	switch class {
	case sink.Misconfigured:
		return observe.HoldMisconfigured
	case sink.Throttled:
		return observe.HoldThrottled
	case sink.Unavailable, sink.Unknown:
		return observe.HoldUnavailable
	case sink.Unauthorized, sink.Delivered, sink.Rejected, sink.Retryable, sink.TooLarge:
	}
	return observe.HoldUnauthorized
}
