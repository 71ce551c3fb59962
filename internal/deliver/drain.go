package deliver

import (
	"time"

	"sluice/internal/record"
)

// settleMargin is the time between a call's timeout and the end of an assignment, in which the
// result is settled and committed.
const settleMargin = 5 * time.Second

// neverStarts is later than the end of any assignment.
var neverStarts = time.Unix(1<<40, 0)

// requestRelease makes the lane check for records of ending assignments in its next turn.
func (b *backlog) requestRelease() { b.draining, b.releaseDue = true, true }

// isTooLate reports whether a call that starts at that time must not carry the record, because its
// assignment has ended or could end before the result is settled.
func (b *backlog) isTooLate(rec *record.Record, start time.Time) bool {
	until, draining := rec.Draining()
	return draining && (rec.Fenced() || start.Add(b.timeout+settleMargin).After(until))
}

// releaseDraining releases the records for which a call that starts at that time would be too late,
// those of ending assignments that are delayed or in quarantine, and all records that must not
// overtake these. It ends the linger of the other records of ending assignments. It returns the
// number of records released.
func (b *backlog) releaseDraining(now, start time.Time) (released int) {
	remaining, broken := false, brokenOrder{}
	keep := func(e *entry) bool {
		if !isDraining(e.Value.Record) {
			return true
		}
		if b.isTooLate(e.Value.Record, start) || e.IsDelayed(now) || broken.isBrokenFor(e) {
			broken.addReleased(e)
			released++
			return false
		}
		remaining = true
		return true
	}
	final := b.releaseUnless(b.quarantine.retainFinal, func(e *entry) bool {
		if !isDraining(e.Value.Record) {
			return true
		}
		broken.addReleased(e)
		return false
	})
	b.releaseEverywhere(keep)
	if remaining {
		b.queue.SkipLinger(func(e *entry) bool { return isDraining(e.Value.Record) })
	}
	b.draining, b.releaseDue = remaining, false
	return released + final
}

// releaseAll releases everything, because the process is ending.
func (b *backlog) releaseAll() {
	never := func(*entry) bool { return false }
	b.releaseUnless(b.quarantine.retainFinal, never)
	b.releaseEverywhere(never)
}

// releaseEverywhere releases the entries for which keep returns false, except for those with a
// final outcome.
func (b *backlog) releaseEverywhere(keep func(*entry) bool) {
	for _, search := range b.bisections {
		b.releaseUnless(search.retain, keep)
	}
	b.releaseUnless(b.quarantine.retainResendable, keep)
	b.pruneBatches()
	removed := b.queue.RemoveMatching(func(e *entry) bool { return !keep(e) })
	for i := range removed {
		b.intents.releaseDelivery(&removed[i])
	}
	b.obs.RecordsReleased(len(removed))
}

// releaseUnless releases the entries for which keep returns false, and returns their number. retain
// removes them from where they are.
func (b *backlog) releaseUnless(retain func(func(*entry) bool), keep func(*entry) bool) (released int) {
	retain(func(e *entry) bool {
		if keep(e) {
			return true
		}
		b.releaseEntry(e)
		released++
		return false
	})
	b.obs.RecordsReleased(released)
	return released
}

// releaseTooLate releases the entries of a batch for which a call that starts now would be too
// late.
func (b *backlog) releaseTooLate(search *bisection[*entry]) {
	now := time.Now()
	if b.releaseUnless(search.retain, func(e *entry) bool { return !b.isTooLate(e.Value.Record, now) }) > 0 {
		b.requestRelease() // there may be more of them
	}
}

// releaseEntries releases entries that were taken from the queue.
func (b *backlog) releaseEntries(entries []*entry) {
	for _, e := range entries {
		b.releaseEntry(e)
	}
	b.obs.RecordsReleased(len(entries))
}

func (b *backlog) releaseEntry(released *entry) {
	b.intents.releaseDelivery(&released.Value)
	b.queue.Finish(released)
}

// brokenOrder has the order keys and entity keys of released records: a later record with such a
// key must not be sent, because it would overtake the released one.
type brokenOrder map[string]bool

func (o brokenOrder) addReleased(released *entry) {
	if released.OrderKey != nil {
		o["key "+string(released.OrderKey)] = true
	}
	if released.EntityKey != "" {
		o["entity "+released.EntityKey] = true
	}
}

func (o brokenOrder) isBrokenFor(later *entry) bool {
	return later.OrderKey != nil && o["key "+string(later.OrderKey)] ||
		later.EntityKey != "" && o["entity "+later.EntityKey]
}
