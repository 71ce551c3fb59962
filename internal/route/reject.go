package route

import (
	"sluice/internal/decode"
	"sluice/internal/record"
)

// rejection is the reason why a record is not dispatched, with its disposition.
type rejection struct {
	disposition record.Disposition
	cause       record.Cause
	stage       record.Stage
	reason      string // for an operator
}

func tombstoneRejection(skip bool) rejection {
	return rejection{skippedOrDead(skip), record.CauseTombstone, record.StageRoute, "the record has no value"}
}

func unmappedRejection(skip bool, err *decode.UnmappedError) rejection {
	return rejection{skippedOrDead(skip), record.CauseUnmapped, record.StageRoute, err.Error()}
}

func poisonRejection(err error) rejection {
	return rejection{record.DispositionDead, record.CausePoison, record.StageDecode, err.Error()}
}

func invalidRejection(err error) rejection {
	return rejection{record.DispositionDead, record.CauseInvalid, record.StageRoute, err.Error()}
}

func skippedOrDead(skip bool) record.Disposition {
	if skip {
		return record.DispositionSkipped
	}
	return record.DispositionDead
}

// rejectRecord hands the outcome of a rejected record to Run.
func (r *Router) rejectRecord(rec *record.Record, operation string, why rejection) {
	outcome := record.Outcome{
		Record: rec, OperationName: operation, Disposition: why.disposition,
		Cause: why.cause, Stage: why.stage, Reason: why.reason, Attempt: rec.Attempt + 1,
	}
	r.recordRejected(outcome)
	r.deferred.addOutcome(outcome)
}
