package expoints

import (
	"context"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
)

// encodeLock encodes the body of customer/addlock, which requires no data column.
func encodeLock(ctx context.Context, a *account, lock *event.FeedbackLock, origin sink.Origin) (sink.Item, error) {
	rows, violations, err := a.resolveData(ctx, lock.Data, eventIDOf(lock.EventId, origin), false)
	if err != nil {
		return sink.Item{}, err
	}
	e := newEncoder(a.zone, violations)
	e.BeginObject("")
	e.writeInstant("CreationDate", lock.CreationDate)
	e.OptionalBool("OptIn", lock.OptIn)
	e.writeGUID("QuestionnaireId", lock.QuestionnaireId)
	e.OptionalInt("CustomerId", lock.CustomerId)
	e.OptionalText("Email", lock.Email)
	jsonwriter.OptionalObjects(e.Writer, "Data", rows, e.writeDataRow)
	e.EndObject()
	if err := e.Err(); err != nil {
		return sink.Item{}, err
	}
	return sink.Item{Body: e.Bytes()}, nil
}
