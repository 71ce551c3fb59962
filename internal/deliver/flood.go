package deliver

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sluice/internal/guard"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// This file is what a lane does for the pipeline's guard. What is refused while the guard is tripped stays in the lane, and is sent again: one record at
// a time as a probe, and all of it once the guard lets go. A record that the vendor may have acted on is not sent again for that; its outcome waits.

// known is an entry whose outcome waits until the guard lets go.
type known struct {
	entry   *entry
	outcome record.Outcome
}

// flooded counts what became of entries, whose outcomes are in l.outs, and tells whether those that were refused must stay.
func (l *lane) flooded(judged chunk) bool {
	for i, e := range judged {
		if !l.pardoned(&e.Value) {
			o := &l.outs[i]
			l.counted = append(l.counted, guard.Result{Record: o.Record, Cause: o.Cause, Code: o.Result.Code})
		}
	}
	refused := slices.ContainsFunc(l.counted, func(r guard.Result) bool { return r.Cause != "" })
	flood := l.cfg.Guard.RecordResults(l.cfg.OperationName, l.counted)
	if !refused && len(l.counted) > 0 {
		l.gate.accepted(time.Now())
	}
	clear(l.counted)
	return flood
}

// pardoned tells whether an operator has released what the guard held of it: this time it takes its course.
func (l *lane) pardoned(j *job) bool { return j.held > 0 && j.held <= l.cfg.Guard.ReleaseCount() }

// hold keeps what was refused.
func (l *lane) hold(entries chunk, outs []record.Outcome, now time.Time) {
	again := make(chunk, 0, len(entries))
	for i, e := range entries {
		j := &e.Value
		j.held, j.failedAt = 1+l.cfg.Guard.ReleaseCount(), cmp.Or(j.failedAt, now)
		if outs[i].Cause == record.CauseUnknown || j.maybe && !l.policy.repeatable {
			j.maybe = true
			l.known = append(l.known, known{e, outs[i]})
			continue
		}
		again = append(again, e)
	}
	l.unsend(again)
	l.held.remainder = slices.Concat(l.held.remainder, again)
}

// goOn puts what was held back into the line once the guard has let go.
func (l *lane) goOn(ctx context.Context) {
	if len(l.held.remainder)+len(l.known) == 0 || l.cfg.Guard.Tripped() {
		return
	}
	for _, e := range l.held.remainder {
		l.queue.Return(e, time.Time{})
	}
	l.held.remainder = nil
	l.outs = l.outs[:0]
	ended := make(chunk, 0, len(l.known))
	for _, k := range l.known {
		l.outs, ended = append(l.outs, k.outcome), append(ended, k.entry)
	}
	l.known = nil
	l.settle(ctx) // where ctx ended, run sees it next
	l.end(ended)
}

// provisional tells whether a record that was refused alone waits for the end of its batch's search before it dies.
func (l *lane) provisional(w *bisection[*entry], class sink.ResultClass, e *entry) bool {
	return w.searching && class == sink.Rejected && !l.cfg.Guard.Tripped() && !l.pardoned(&e.Value)
}

// find notes a culprit. Where there are too many, the guard is tripped and none of the batch dies.
func (l *lane) find(ctx context.Context, w *bisection[*entry], e *entry, r sink.Result) {
	e.Value.refusal = &r
	w.recordOffender()
	if w.tooManyOffenders() {
		l.condemn(ctx, w)
	}
}

// bury ends the culprits of batches whose search is over.
func (l *lane) bury(ctx context.Context) {
	for _, w := range l.stack {
		if w.isComplete() && len(w.offenders) > 0 {
			l.condemn(ctx, w)
		}
	}
	l.tidy()
}

// condemn concludes a work's culprits.
func (l *lane) condemn(ctx context.Context, w *bisection[*entry]) {
	culprits := w.offenders
	if w.tooManyOffenders() {
		var refusals []guard.Result
		for _, e := range culprits {
			refusals = append(refusals, guard.Result{Record: e.Value.Record, Cause: record.CauseRejected, Code: e.Value.refusal.Code})
		}
		l.cfg.Guard.Trip(l.cfg.OperationName, refusals)
	}
	w.offenders = nil
	l.conclude(ctx, culprits, func(i int, h attemptHistory) (ruling, sink.Result) {
		own := *culprits[i].Value.refusal
		return l.policy.rulingForSingleItem(sink.Rejected, own, h), own
	})
}

// takeHeld gives the next probe of those that are held.
func (l *lane) takeHeld() chunk {
	taken := slices.Clip(l.held.nextCall(1))
	l.held.recordPassed(len(taken))
	return taken
}

// take gives the next batch. Trials are of the queue and of what is held in turn: the one shows that new records are accepted, the other that the
// vendor was mended.
func (l *lane) take(p *permit) chunk {
	l.heldNext = !l.heldNext
	if p.probe && !l.heldNext && len(l.held.remainder) > 0 {
		return l.takeHeld()
	}
	taken := l.queue.TakeBatch(time.Now(), p.maxItems)
	if p.probe && len(taken) == 0 {
		return l.takeHeld()
	}
	return taken
}

// dropKnown drops the entries of ending assignments whose outcome waits, and tells how many.
func (l *lane) dropKnown(broken map[string]bool, stays func(*record.Record) bool) (dropped int) {
	l.known = slices.DeleteFunc(l.known, func(k known) bool {
		if stays(k.outcome.Record) {
			return false
		}
		breakOrder(broken, k.entry)
		l.letGo(&k.entry.Value)
		l.queue.Finish(k.entry)
		dropped++
		return true
	})
	l.obs.RecordsReleased(dropped)
	return dropped
}

// empty tells whether the lane holds nothing.
func (l *lane) empty() bool {
	return len(l.stack)+l.queue.Len()+len(l.held.remainder)+len(l.known) == 0
}
