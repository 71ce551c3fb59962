package route

import (
	"context"

	"sluice/internal/guard"
	"sluice/internal/record"
)

// recordAccepted counts a record that is dispatched to its operation's lanes for the flood guard.
func (r *Router) recordAccepted(rec *record.Record, operation string) {
	r.cfg.Guard.RecordResults(operation, []guard.Result{{Record: rec}})
}

// recordRejected counts a record that is dead-lettered before any call for the flood guard. Records
// that are skipped by a rule, and tombstones, do not count.
func (r *Router) recordRejected(outcome record.Outcome) {
	if outcome.Disposition == record.DispositionDead && outcome.Cause != record.CauseTombstone {
		r.cfg.Guard.RecordResults(outcome.OperationName,
			[]guard.Result{{Record: outcome.Record, Cause: outcome.Cause}})
	}
}

// filterSettleable returns the outcomes that may be settled now, and those that are held. While the
// flood guard is tripped, dead letters are held, and those of ending assignments are released.
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
