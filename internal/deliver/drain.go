package deliver

import (
	"time"

	"sluice/internal/record"
)

// settleMargin is left between a call's time-out and the end of an assignment, for what its answer means to be settled and committed.
const settleMargin = 5 * time.Second

// farOff is later than the end of any assignment.
var farOff = time.Unix(1<<40, 0)

// late tells whether a call that starts then may not start for the record any more: its assignment has ended, or would while the call is under way.
func (l *lane) late(r *record.Record, start time.Time) bool {
	until, draining := r.Draining()
	return draining && (r.Fenced() || start.Add(l.cfg.Timeout+settleMargin).After(until))
}

// shed drops the records whose assignment ends before a call that starts then could be settled, and those that wait in place meanwhile, with what follows
// them in order. For the others of an ending assignment the linger is over. It tells how many it dropped.
func (l *lane) shed(now, start time.Time) int {
	dropped, left := 0, false
	broken := map[string]bool{}
	stays := func(e *entry) bool {
		if _, draining := e.Value.Record.Draining(); !draining {
			return true
		}
		if l.late(e.Value.Record, start) || e.IsDelayed(now) || follows(broken, e) {
			breakOrder(broken, e)
			dropped++
			return false
		}
		left = true
		return true
	}
	dropped += l.dropKnown(broken, func(r *record.Record) bool { _, draining := r.Draining(); return !draining })
	for _, w := range append(l.stack, &l.held) {
		l.keep(w, stays)
	}
	l.tidy()
	l.letGoAll(l.queue.RemoveMatching(func(e *entry) bool { return !stays(e) }))
	if left {
		l.queue.SkipLinger(func(e *entry) bool { _, draining := e.Value.Record.Draining(); return draining })
	}
	l.draining, l.look = left, false
	return dropped
}

// breakOrder notes that an entry was dropped.
func breakOrder(broken map[string]bool, e *entry) {
	if e.OrderKey != nil {
		broken["key "+string(e.OrderKey)] = true
	}
	if e.EntityKey != "" {
		broken["entity "+e.EntityKey] = true
	}
}

// follows tells whether an earlier entry of the same key or entity was dropped: this one would overtake it.
func follows(broken map[string]bool, e *entry) bool {
	return e.OrderKey != nil && broken["key "+string(e.OrderKey)] || e.EntityKey != "" && broken["entity "+e.EntityKey]
}

// keep drops the work's entries for which keep is false, and tells how many.
func (l *lane) keep(w *bisection[*entry], keep func(*entry) bool) (dropped int) {
	w.retain(func(e *entry) bool {
		if keep(e) {
			return true
		}
		l.letGo(&e.Value)
		l.queue.Finish(e)
		dropped++
		return false
	})
	l.obs.RecordsReleased(dropped)
	return dropped
}

// letGo ends a job without an outcome.
func (l *lane) letGo(j *job) {
	if j.announced && !j.maybe {
		l.ann.ClearIntent([]*record.Record{j.Record})
	}
	j.Record.Release()
}

func (l *lane) letGoAll(jobs []job) {
	for i := range jobs {
		l.letGo(&jobs[i])
	}
	l.obs.RecordsReleased(len(jobs))
}

// abandon drops all that the lane holds and will be given.
func (l *lane) abandon() {
	l.inbox.close()
	jobs, _, _ := l.inbox.take(nil)
	for i := range jobs {
		jobs[i].Record.Release()
	}
	l.dropKnown(map[string]bool{}, func(*record.Record) bool { return false })
	for _, w := range append(l.stack, &l.held) {
		l.keep(w, func(*entry) bool { return false })
	}
	l.tidy()
	l.letGoAll(l.queue.RemoveMatching(func(*entry) bool { return true }))
	l.obs.RecordsReleased(len(jobs))
}
