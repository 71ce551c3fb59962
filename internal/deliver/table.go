package deliver

import (
	"time"

	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// This file is the outcome table: what an answer means for the call, and what a result means for one record. It is pure; the lane and the
// gate carry out what it says. A row that is not here does not exist.

// signal is what an answer tells the breaker.
type signal uint8

const (
	excluded signal = iota // says nothing about the vendor's health
	success                // the vendor is up
	failure                // the vendor is down, or cannot be reached as configured
)

// step is what is done with the items of a call.
type step uint8

const (
	stepItems    step = iota + 1 // each by its own result
	stepAlone                    // the one item by the call's result
	stepUnknown                  // each by the policy for unknown outcomes
	stepNamed                    // those that the answer blames die, the rest are sent again at once
	stepHalve                    // the batch is searched for the culprit
	stepShrink                   // smaller calls, of the same items
	stepRenew                    // a new token, then the same once more
	stepHold                     // all stay; the operation is held and probed
	stepThrottle                 // all stay; the operation waits and is slower after it
	stepBackOff                  // all stay; the lane waits
)

// The reasons for which an operation is held.
const (
	holdUnauthorized  = observe.HoldUnauthorized
	holdMisconfigured = observe.HoldMisconfigured
	holdUnavailable   = observe.HoldUnavailable
	holdThrottled     = observe.HoldThrottled
	holdFlood         = observe.HoldFlood
)

// verdict is what an answer means for its call.
type verdict struct {
	step    step
	signal  signal
	hold    observe.HoldReason // with stepHold: the reason
	backOff bool               // the lane waits before its next call
}

// policy is what the configuration and the operation say about outcomes.
type policy struct {
	repeatable bool
	renewable  bool // the operation's token can be had anew
	unknown    sink.UnknownPolicy
	resends    int
	delays     []time.Duration
	maxAge     time.Duration // 0: none
	inPlace    bool
}

// call is what the table needs to know of a call beside its answer.
type call struct {
	items   int
	renewed bool // the token was renewed for it
	poison  bool // the vendor failed over it for the third time, each time while other calls passed
}

// decide gives the row of an answer.
func (p policy) decide(c call, a sink.Response) verdict {
	switch a.Class {
	case sink.Delivered:
		if len(a.ItemResults) != c.items {
			return p.unclear(c, success)
		}
		return verdict{step: stepItems, signal: success}
	case sink.Rejected:
		switch {
		case c.items == 1:
			return verdict{step: stepAlone, signal: success}
		case len(blamed(c.items, a)) > 0:
			return verdict{step: stepNamed, signal: success}
		}
		return verdict{step: stepHalve, signal: success}
	case sink.TooLarge:
		if c.items == 1 {
			return verdict{step: stepAlone, signal: success}
		}
		return verdict{step: stepShrink, signal: success}
	case sink.Unauthorized:
		if p.renewable && !c.renewed {
			return verdict{step: stepRenew, signal: excluded}
		}
		return verdict{step: stepHold, signal: excluded, hold: holdUnauthorized}
	case sink.Misconfigured:
		return verdict{step: stepHold, signal: failure, hold: holdMisconfigured}
	case sink.Throttled:
		return verdict{step: stepThrottle, signal: excluded}
	case sink.Unavailable:
		return p.unavailable(c)
	default: // sink.Unknown, and what is meant for items only or for nothing
		if a.Status >= 200 && a.Status < 300 {
			return p.unclear(c, success)
		}
		return p.unclear(c, failure)
	}
}

// unavailable: nothing moves; but a batch that alone keeps failing is searched, and an item that alone keeps failing moves on.
func (p policy) unavailable(c call) verdict {
	switch {
	case !c.poison:
		return verdict{step: stepBackOff, signal: failure, backOff: true}
	case c.items == 1:
		return verdict{step: stepAlone, signal: success}
	}
	return verdict{step: stepHalve, signal: success}
}

// unclear: the vendor may have acted on the call. That is no harm where the operation is repeatable.
func (p policy) unclear(c call, s signal) verdict {
	if p.repeatable {
		return p.unavailable(c)
	}
	return verdict{step: stepUnknown, signal: s, backOff: s == failure}
}

// fateKind is what becomes of one record after an answer.
type fateKind uint8

const (
	fateDelivered fateKind = iota + 1
	fateDead               // dead letter, with the cause
	fateTier               // the retry tier of the delay
	fateWait               // stays in the lane and is sent again after the delay
	fateResend             // is sent again at once, in smaller calls
)

type fate struct {
	kind  fateKind
	cause record.Cause
	delay time.Duration
}

// history is what the table needs to know of a record.
type history struct {
	delay   time.Duration // the last retry delay that it has waited, 0: none
	age     time.Duration // since its first failure, without the time that the operation was held
	resends int           // times that it was sent again after an unknown outcome
}

// item gives the row of an item's own result.
func (p policy) item(r sink.Result, h history) fate {
	switch r.Class {
	case sink.Delivered:
		return fate{kind: fateDelivered}
	case sink.Rejected:
		return fate{kind: fateDead, cause: record.CauseRejected}
	case sink.Retryable:
		return p.later(h)
	default: // sink.Unknown, and what has no meaning for an item
		return p.unsure(h)
	}
}

// alone gives the row of the one item of a call, from the call's class and the item's own result.
func (p policy) alone(class sink.ResultClass, own sink.Result, h history) fate {
	switch class {
	case sink.Rejected:
		return p.blame(own, h)
	case sink.TooLarge:
		return fate{kind: fateDead, cause: record.CauseTooLarge}
	default: // the poison item: the vendor fails on it and on nothing else
		return p.later(h)
	}
}

// blame gives the row of an item that a refused batch's answer names.
func (p policy) blame(r sink.Result, h history) fate {
	if r.Class == sink.Retryable {
		return p.later(h)
	}
	return fate{kind: fateDead, cause: record.CauseRejected}
}

// later: the first tier that is longer than the last wait, unless the record is too old or there is none.
func (p policy) later(h history) fate {
	if p.maxAge > 0 && h.age > p.maxAge {
		return fate{kind: fateDead, cause: record.CauseExpired}
	}
	for _, d := range p.delays {
		if d <= h.delay {
			continue
		}
		if p.inPlace {
			return fate{kind: fateWait, cause: record.CauseRetryable, delay: d}
		}
		return fate{kind: fateTier, cause: record.CauseRetryable, delay: d}
	}
	return fate{kind: fateDead, cause: record.CauseExhausted}
}

// unsure: nobody knows whether the vendor acted on this record. Where that is no harm it is tried later, so that a record that is never answered
// comes to an end too.
func (p policy) unsure(h history) fate {
	switch {
	case p.repeatable:
		return p.later(h)
	case p.unknown == sink.UnknownRetry && h.resends < p.resends:
		return fate{kind: fateResend}
	}
	return fate{kind: fateDead, cause: record.CauseUnknown}
}

// taken gives the row of a record that an earlier owner may have sent: fateResend where it is to be sent (again).
func (p policy) taken(h history) fate {
	if p.repeatable {
		return fate{kind: fateResend}
	}
	return p.unsure(h)
}

// blamed are the items that a refused batch's answer names, without indices that are no item's or come twice.
func blamed(items int, a sink.Response) map[int]sink.Result {
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

// failedOver tells whether the vendor failed while it had the request: with 5xx or a code that means the same, with an answer that cannot be read, or
// without any after the request was written. Only then can the items be to blame.
func failedOver(a sink.Response) bool {
	return a.Class == sink.Unknown || a.Class == sink.Unavailable && (a.MayHaveActed || a.Status >= 500)
}

// holdReason is why the operation is held when a token could not be had, by the class of that failure.
func holdReason(class sink.ResultClass) observe.HoldReason {
	switch class {
	case sink.Misconfigured:
		return holdMisconfigured
	case sink.Throttled:
		return holdThrottled
	case sink.Unavailable, sink.Unknown:
		return holdUnavailable
	default:
		return holdUnauthorized
	}
}

// probe gives the row of the harmless call that did not pass: no item was sent, so that only the gate has something to do.
func (p policy) probe(a sink.Response) verdict {
	switch a.Class {
	case sink.Unauthorized:
		return verdict{step: stepHold, signal: excluded, hold: holdUnauthorized}
	case sink.Misconfigured:
		return verdict{step: stepHold, signal: failure, hold: holdMisconfigured}
	case sink.Throttled:
		return verdict{step: stepThrottle, signal: excluded}
	default:
		return verdict{step: stepBackOff, signal: failure}
	}
}
