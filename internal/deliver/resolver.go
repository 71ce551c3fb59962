package deliver

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/internal/guard"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// resolver applies the rulings of the outcome table to the records of one lane: it settles them,
// keeps them for another call, or puts them into quarantine.
type resolver struct {
	op       *operation
	backlog  *backlog
	outcomes []record.Outcome // to be settled next; reused
	results  []guard.Result   // reused
}

// rulingFunc returns the ruling for the i-th entry of a call, and the result on which it is based.
type rulingFunc func(i int, history attemptHistory) (ruling, sink.Result)

// resolve applies rulings to entries whose call has returned. It passes their outcomes to the
// settler all at once. If workCtx ends in the meantime, the lane's run detects that.
func (r *resolver) resolve(workCtx context.Context, entries []*entry, rule rulingFunc) {
	now := time.Now()
	r.outcomes = r.outcomes[:0]
	resolved := make([]*entry, 0, len(entries))
	var fenced, resends, alone []*entry
	for i, e := range entries {
		delivery := &e.Value
		delivery.attempts++
		ruled, result := rule(i, r.historyOf(delivery, now))
		switch {
		case delivery.Record.Fenced():
			fenced = append(fenced, e)
		case ruled.kind == rulingResend:
			resends = append(resends, e)
		case ruled.kind == rulingResendAlone:
			alone = append(alone, e)
		default:
			r.outcomes = append(r.outcomes, r.outcomeFor(delivery, ruled, result))
			resolved = append(resolved, e)
		}
	}
	finished, delayed := r.splitEntries(resolved, r.recordResults(resolved), now)
	r.settle(workCtx)
	r.backlog.finishEntries(finished)
	r.backlog.releaseEntries(fenced)
	r.backlog.delayEntries(delayed, now)
	r.resend(resends, max(1, len(resends)/2))
	r.resend(alone, 1)
}

// recordResults reports the outcomes of entries to the flood guard, and returns whether it is
// tripped.
func (r *resolver) recordResults(entries []*entry) (tripped bool) {
	r.results = r.results[:0]
	for i, e := range entries {
		if !r.backlog.quarantine.isExempt(&e.Value) {
			outcome := &r.outcomes[i]
			r.results = append(r.results, guard.Result{
				Record: outcome.Record, Cause: outcome.Cause, Code: outcome.Result.Code,
			})
		}
	}
	refused := slices.ContainsFunc(r.results, func(result guard.Result) bool { return result.Cause != "" })
	tripped = r.op.cfg.Guard.RecordResults(r.op.cfg.OperationName, r.results)
	if !refused && len(r.results) > 0 {
		r.op.gate.recordAccepted(time.Now())
	}
	clear(r.results)
	return tripped
}

// splitEntries leaves in r.outcomes what is settled now, and returns the entries of these outcomes
// and the entries that are retried in place. While the flood guard is tripped, it puts refused
// entries into quarantine.
func (r *resolver) splitEntries(entries []*entry, tripped bool, now time.Time) (finished, delayed []*entry) {
	settling := r.outcomes[:0]
	var refused []*entry
	var refusals []record.Outcome
	for i, e := range entries {
		outcome := r.outcomes[i]
		switch {
		case tripped && outcome.Disposition != record.DispositionDelivered && !r.backlog.quarantine.isExempt(&e.Value):
			refused, refusals = append(refused, e), append(refusals, outcome)
		case outcome.Disposition == record.DispositionRetried && r.op.policy.retryInPlace:
			e.Value.lastDelay, e.Value.firstFailed = outcome.Delay, cmp.Or(e.Value.firstFailed, now)
			delayed = append(delayed, e)
		default:
			settling, finished = append(settling, outcome), append(finished, e)
		}
	}
	clear(r.outcomes[len(settling):])
	r.outcomes = settling
	resendable := r.backlog.quarantine.addRefused(refused, refusals, now)
	r.backlog.intents.clearUnlessActed(resendable)
	return finished, delayed
}

// resend schedules entries to be sent again, in calls of at most maxItems.
func (r *resolver) resend(entries []*entry, maxItems int) {
	if len(entries) > 0 {
		r.backlog.pushBatch(entries, maxItems)
	}
}

// rejectOffenders resolves the offenders of a batch. If there are too many of them, it trips the
// flood guard first, so that they go into quarantine.
func (r *resolver) rejectOffenders(workCtx context.Context, search *bisection[*entry]) {
	offenders := search.offenders
	if search.tooManyOffenders() {
		var results []guard.Result
		for _, e := range offenders {
			results = append(results, guard.Result{
				Record: e.Value.Record, Cause: record.CauseRejected, Code: e.Value.rejection.Code,
			})
		}
		r.op.cfg.Guard.Trip(r.op.cfg.OperationName, results)
	}
	search.offenders = nil
	r.resolve(workCtx, offenders, func(i int, history attemptHistory) (ruling, sink.Result) {
		rejection := *offenders[i].Value.rejection
		return r.op.policy.rulingForSingleItem(sink.Rejected, rejection, history), rejection
	})
}

// rejectFoundOffenders resolves the offenders of all batches whose search is complete.
func (r *resolver) rejectFoundOffenders(workCtx context.Context) {
	for _, search := range r.backlog.bisections {
		if search.isComplete() && len(search.offenders) > 0 {
			r.rejectOffenders(workCtx, search)
		}
	}
	r.backlog.pruneBatches()
}

// emptyQuarantine empties the quarantine once the flood guard has cleared.
func (r *resolver) emptyQuarantine(workCtx context.Context) {
	if r.backlog.quarantine.isEmpty() || r.op.cfg.Guard.Tripped() {
		return
	}
	resendable, final := r.backlog.quarantine.takeAll()
	for _, e := range resendable {
		r.backlog.queue.Return(e, time.Time{})
	}
	r.outcomes = r.outcomes[:0]
	finished := make([]*entry, 0, len(final))
	for _, f := range final {
		r.outcomes, finished = append(r.outcomes, f.outcome), append(finished, f.entry)
	}
	r.settle(workCtx)
	r.backlog.finishEntries(finished)
}

// enqueue queues a new delivery. If an earlier owner may have sent it, the policy for unknown
// outcomes may decide its outcome instead, which is then added to r.outcomes.
func (r *resolver) enqueue(delivery Delivery, now time.Time) {
	rec := delivery.Record
	delivery.lastDelay, delivery.firstFailed = rec.TierDelay, rec.FirstFailed
	if r.noteEarlierSends(&delivery) {
		ruled := r.op.policy.rulingForPriorSends(r.historyOf(&delivery, now))
		if ruled.kind != rulingResend && rec.Fenced() {
			rec.Release()
			r.op.obs.RecordsReleased(1)
			return
		}
		if ruled.kind != rulingResend {
			r.outcomes = append(r.outcomes, r.outcomeFor(&delivery, ruled, sink.Result{}))
			return
		}
	}
	r.backlog.queue.Add(newEntry(delivery, now))
}

// noteEarlierSends counts the calls that may have brought the record to the vendor before it was
// dispatched. It returns false if there were none, or if they do not matter because the operation
// is repeatable.
func (r *resolver) noteEarlierSends(delivery *Delivery) bool {
	rec := delivery.Record
	if r.op.policy.repeatable {
		return false
	}
	delivery.sends = min(rec.Sends, r.op.policy.maxSends())
	if rec.OutcomeUnknown {
		delivery.sends++
		delivery.attempts, delivery.loggedIntent = 1, intentOnce
	}
	if rec.ResendUnknown { // any further call could be one too many
		delivery.sends = max(delivery.sends, r.op.policy.maxSends())
		delivery.loggedIntent = intentResend
	}
	return delivery.sends > 0
}

// settle settles r.outcomes. If workCtx ends, it returns false, and the settler has released the
// records that are not settled.
func (r *resolver) settle(workCtx context.Context) bool {
	if len(r.outcomes) == 0 {
		return true
	}
	err := r.op.settler.Settle(workCtx, r.outcomes)
	clear(r.outcomes)
	return err == nil
}

func (r *resolver) historyOf(delivery *Delivery, now time.Time) attemptHistory {
	return attemptHistory{
		lastDelay: delivery.lastDelay, age: r.op.gate.recordAge(delivery.firstFailed, now), sends: delivery.sends,
	}
}

func (r *resolver) outcomeFor(delivery *Delivery, ruled ruling, result sink.Result) record.Outcome {
	outcome := record.Outcome{
		Record: delivery.Record, OperationName: r.op.cfg.OperationName, Disposition: record.DispositionDelivered,
		Result: result, Attempt: delivery.Record.Attempt + delivery.attempts, Sends: delivery.sends,
	}
	switch ruled.kind {
	case rulingDelivered:
		return outcome
	case rulingRetryTier, rulingWaitInPlace:
		outcome.Disposition, outcome.Delay = record.DispositionRetried, ruled.delay
	case rulingDead, rulingResend, rulingResendAlone: // a resend has no outcome and is not passed here
		outcome.Disposition = record.DispositionDead
	}
	outcome.Cause, outcome.Stage = ruled.cause, record.StageDeliver
	outcome.Reason = describeCause(ruled.cause, result)
	return outcome
}

var causeTexts = map[record.Cause]string{
	record.CauseRejected:  "refused by the vendor",
	record.CauseRetryable: "refused by the vendor for now",
	record.CauseExhausted: "still refused by the vendor after the last retry",
	record.CauseExpired:   "still refused by the vendor at the end of retry.max_age",
	record.CauseUnknown:   "sent, and it is not known whether the vendor acted on it",
	record.CauseTooLarge:  "too large for the vendor, alone in its call",
}

// describeCause describes an outcome for an operator. It uses the cause, the HTTP status and the
// vendor's code, but nothing from the record.
func describeCause(cause record.Cause, result sink.Result) string {
	text := causeTexts[cause]
	if result.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", result.Status)
	}
	if result.Code != "" {
		text += ": " + result.Code
	}
	return text
}
