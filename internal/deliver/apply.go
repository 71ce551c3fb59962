package deliver

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"sluice/internal/record"
	"sluice/internal/sink"
)

// apply does with a call's items what the table says.
func (l *lane) apply(ctx context.Context, p *permit, w *bisection[*entry], sent chunk, a sink.Response, v verdict) {
	w.tokenRefreshed = v.action == actionRefreshToken
	switch v.action {
	case actionPerItem:
		w.recordPassed(len(sent))
		l.conclude(ctx, sent, func(i int, h attemptHistory) (ruling, sink.Result) {
			return l.policy.rulingForItem(a.ItemResults[i], h), a.ItemResults[i]
		})
	case actionUnknownOutcome:
		w.removeFirst(len(sent))
		l.conclude(ctx, sent, func(_ int, h attemptHistory) (ruling, sink.Result) { return l.policy.rulingForUnknown(h), a.Result })
	case actionSingleItem:
		r := ownResult(a)
		if l.provisional(w, a.Class, sent[0]) {
			l.find(ctx, w, sent[0], r)
			return
		}
		w.removeFirst(len(sent))
		l.conclude(ctx, sent, func(_ int, h attemptHistory) (ruling, sink.Result) {
			return l.policy.rulingForSingleItem(a.Class, r, h), r
		})
	case actionNamedItems:
		l.blame(ctx, w, sent, a)
	case actionBisect:
		w.recordRejected(len(sent))
		l.unsend(sent[len(w.nextCall(len(sent))):])
	case actionShrinkCalls:
		w.maxItems = max(1, len(sent)/2)
		l.unsend(sent[len(w.nextCall(len(sent))):])
	case actionRefreshToken:
		if !l.renew(ctx, p, a) {
			w.tokenRefreshed = false
			l.unsend(sent)
		}
	case actionHold, actionThrottle, actionBackOff:
		l.unsend(sent)
	}
}

// ownResult is the result of the one item of a refused call.
func ownResult(a sink.Response) sink.Result {
	if r, named := namedItems(1, a)[0]; named {
		return r
	}
	return a.Result
}

// blame ends the items that the answer names and has the others sent again.
func (l *lane) blame(ctx context.Context, w *bisection[*entry], sent chunk, a sink.Response) {
	named := namedItems(len(sent), a)
	culprits, rest := make(chunk, 0, len(named)), make(chunk, 0, len(sent))
	results := make([]sink.Result, 0, len(named))
	for i, e := range sent {
		if r, ok := named[i]; ok {
			culprits, results = append(culprits, e), append(results, r)
		} else {
			rest = append(rest, e)
		}
	}
	w.removeFirst(len(sent))
	w.putBack(rest)
	l.conclude(ctx, culprits, func(i int, h attemptHistory) (ruling, sink.Result) {
		return l.policy.rulingForNamedItem(results[i], h), results[i]
	})
}

// conclude gives each entry its fate: outcomes go to the settler in one piece, the others stay in the lane. While the guard is tripped, so do those that
// were refused.
func (l *lane) conclude(ctx context.Context, sent chunk, judge func(int, attemptHistory) (ruling, sink.Result)) {
	now := time.Now()
	l.outs, l.counted = l.outs[:0], l.counted[:0]
	judged := make(chunk, 0, len(sent))
	var fenced, resent chunk
	for i, e := range sent {
		j := &e.Value
		j.attempts++
		f, r := judge(i, l.history(j, now))
		switch {
		case j.Record.Fenced():
			fenced = append(fenced, e)
		case f.kind == rulingResend:
			resent = append(resent, e)
		default:
			l.outs = append(l.outs, l.outcome(j, f, r))
			judged = append(judged, e)
		}
	}
	ended, waiting := l.sort(judged, l.flooded(judged), now)
	l.settle(ctx) // where ctx ended, run sees it next
	l.end(ended)
	l.drop(fenced)
	l.waitInPlace(waiting, now)
	l.resend(resent)
}

// sort leaves in l.outs what is to be settled, and gives its entries and those that wait in place. With flood, what was refused stays in the lane.
func (l *lane) sort(judged chunk, flood bool, now time.Time) (ended, waiting chunk) {
	outs := l.outs[:0]
	var held chunk
	var why []record.Outcome
	for i, e := range judged {
		o := l.outs[i]
		switch {
		case flood && o.Disposition != record.DispositionDelivered && !l.pardoned(&e.Value):
			held, why = append(held, e), append(why, o)
		case o.Disposition == record.DispositionRetry && l.policy.retryInPlace:
			e.Value.delay, e.Value.failedAt = o.Delay, cmp.Or(e.Value.failedAt, now)
			waiting = append(waiting, e)
		default:
			outs, ended = append(outs, o), append(ended, e)
		}
	}
	clear(l.outs[len(outs):])
	l.outs = outs
	l.hold(held, why, now)
	return ended, waiting
}

// resend sends entries of unknown outcome again, in smaller calls than before.
func (l *lane) resend(entries chunk) {
	if len(entries) == 0 {
		return
	}
	for _, e := range entries {
		e.Value.resends++
		e.Value.maybe = true
	}
	l.stack = append(l.stack, &bisection[*entry]{remainder: entries, maxItems: max(1, len(entries)/2)})
}

func (l *lane) end(entries chunk) {
	for _, e := range entries {
		l.queue.Finish(e)
	}
}

// drop lets entries go unsettled.
func (l *lane) drop(entries chunk) {
	l.keep(&bisection[*entry]{remainder: entries}, func(*entry) bool { return false })
}

// waitInPlace puts entries back into the queue until their delay is over. Where their assignment is ending, shed drops them in the next turn with what
// follows them.
func (l *lane) waitInPlace(entries chunk, now time.Time) {
	l.unsend(entries)
	for _, e := range entries {
		l.queue.Return(e, now.Add(e.Value.delay))
		if _, draining := e.Value.Record.Draining(); draining {
			l.draining, l.look = true, true
		}
	}
}

var reasons = map[record.Cause]string{
	record.CauseRejected:  "refused by the vendor",
	record.CauseRetryable: "refused by the vendor for now",
	record.CauseExhausted: "still refused by the vendor after the last retry",
	record.CauseExpired:   "still refused by the vendor at the end of retry.max_age",
	record.CauseUnknown:   "sent, and it is not known whether the vendor acted on it",
	record.CauseTooLarge:  "too large for the vendor, alone in its call",
}

// reason says it for an operator: from the cause, the status and the vendor's code, never from the record.
func reason(cause record.Cause, r sink.Result) string {
	s := reasons[cause]
	if r.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", r.Status)
	}
	if r.Code != "" {
		s += ": " + r.Code
	}
	return s
}
