package route

import (
	"context"

	"sluice/internal/guard"
	"sluice/internal/record"
)

// passed has the guard know of a record that goes to its lanes.
func (r *Router) passed(rec *record.Record, operation string) {
	r.cfg.Guard.RecordResults(operation, []guard.Result{{Record: rec}})
}

// count has the guard know of a record that is refused before any call. What leaves by rule, and what has no value, is none.
func (r *Router) count(o record.Outcome) {
	if o.Disposition == record.DispositionDead && o.Cause != record.CauseTombstone {
		r.cfg.Guard.RecordResults(o.OperationName, []guard.Result{{Record: o.Record, Cause: o.Cause}})
	}
}

// sift gives the outcomes that may be settled. Dead letters wait while the guard is tripped; those of ending assignments are let go.
func (r *Router) sift(ctx context.Context, outcomes []record.Outcome) (due, held []record.Outcome) {
	if !r.cfg.Guard.Tripped() {
		return outcomes, nil
	}
	for _, o := range outcomes {
		switch {
		case o.Disposition != record.DispositionDead:
			due = append(due, o)
		case !dropIfEnding(ctx, o.Record, r.obs):
			held = append(held, o)
		}
	}
	return due, held
}
