package deliver

import (
	"cmp"
	"slices"
	"time"

	"sluice/internal/guard"
	"sluice/internal/record"
)

// quarantine keeps the deliveries of one lane that were refused while the flood guard was tripped.
// They are sent again one at a time as probes, and all together once the guard clears. A delivery
// on which the vendor may have acted is not sent again: its outcome is kept until the guard clears.
type quarantine struct {
	guard      *guard.Guard
	resendable []*entry
	final      []finalOutcome
}

// finalOutcome is an entry with the outcome that takes effect when the guard clears.
type finalOutcome struct {
	entry   *entry
	outcome record.Outcome
}

func (q *quarantine) isEmpty() bool { return len(q.resendable)+len(q.final) == 0 }

// isExempt reports whether an operator has released the delivery from quarantine. Its next outcome
// then counts, even if the guard is tripped.
func (q *quarantine) isExempt(delivery *Delivery) bool {
	return delivery.quarantinedUntil > 0 && delivery.quarantinedUntil <= q.guard.ReleaseCount()
}

// addRefused adds entries that were refused, with their outcomes. It returns those that may be sent
// again.
func (q *quarantine) addRefused(entries []*entry, outcomes []record.Outcome, now time.Time) []*entry {
	resendable := make([]*entry, 0, len(entries))
	for i, e := range entries {
		delivery := &e.Value
		delivery.quarantinedUntil = 1 + q.guard.ReleaseCount()
		delivery.firstFailed = cmp.Or(delivery.firstFailed, now)
		if outcomes[i].Cause == record.CauseUnknown || delivery.sends > 0 {
			q.final = append(q.final, finalOutcome{e, outcomes[i]})
			continue
		}
		resendable = append(resendable, e)
	}
	q.resendable = slices.Concat(q.resendable, resendable)
	return resendable
}

// takeProbe removes the entry that has waited longest and returns it as a call, or nil if there is
// none.
func (q *quarantine) takeProbe() []*entry {
	if len(q.resendable) == 0 {
		return nil
	}
	probe := q.resendable[:1:1]
	q.resendable = q.resendable[1:]
	return probe
}

// takeAll empties the quarantine.
func (q *quarantine) takeAll() (resendable []*entry, final []finalOutcome) {
	resendable, final = q.resendable, q.final
	q.resendable, q.final = nil, nil
	return resendable, final
}

// retainResendable removes the entries to be sent again for which keep returns false.
func (q *quarantine) retainResendable(keep func(*entry) bool) {
	q.resendable = slices.DeleteFunc(q.resendable, func(e *entry) bool { return !keep(e) })
}

// retainFinal removes the entries with a final outcome for which keep returns false.
func (q *quarantine) retainFinal(keep func(*entry) bool) {
	q.final = slices.DeleteFunc(q.final, func(f finalOutcome) bool { return !keep(f.entry) })
}
