package route

import (
	"context"

	"sluice/internal/guard"
	"sluice/internal/record"
)

// recordAccepted tells the guard about a record that goes to its operation's lanes.
func (r *Router) recordAccepted(rec *record.Record, operation string) {
	r.cfg.Guard.RecordResults(operation, []guard.Result{{Record: rec}})
}

// recordRejected tells the guard about a record that is dead-lettered before any call. Records that
// are skipped by a rule, and tombstones, do not count.
func (r *Router) recordRejected(o record.Outcome) {
	if o.Disposition == record.DispositionDead && o.Cause != record.CauseTombstone {
		r.cfg.Guard.RecordResults(o.OperationName, []guard.Result{{Record: o.Record, Cause: o.Cause}})
	}
}

// filterSettleable returns the outcomes that may be settled now, and those that are held. While the
// guard is tripped it holds dead letters, and releases those of ending assignments.
func (r *Router) filterSettleable(ctx context.Context, outcomes []record.Outcome) (settleable, held []record.Outcome) {
	if !r.cfg.Guard.Tripped() {
		return outcomes, nil
	}
	for _, o := range outcomes {
		switch {
		case o.Disposition != record.DispositionDead:
			settleable = append(settleable, o)
		case !r.releaseIfEnding(ctx, o.Record):
			held = append(held, o)
		}
	}
	return settleable, held
}
