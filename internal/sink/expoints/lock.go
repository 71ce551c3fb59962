package expoints

import (
	"context"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// encodeLock makes the body of customer/addlock. The page asks for no data column there.
func encodeLock(ctx context.Context, a *account, e *event.FeedbackLock, origin sink.Origin) (sink.Item, error) {
	data, faults, err := a.data(ctx, e.Data, eventID(e.EventId, origin), false)
	if err != nil {
		return sink.Item{}, err
	}
	w := &writer{b: make([]byte, 1, 256), zone: a.zone, faults: faults}
	w.b[0] = '{'
	w.optTime("CreationDate", e.CreationDate)
	w.optBool("OptIn", e.OptIn)
	w.optGUID("QuestionnaireId", e.QuestionnaireId)
	w.optInt("CustomerId", e.CustomerId)
	w.optText("Email", e.Email)
	list(w, "Data", data, dataMembers)
	w.b = append(w.b, '}')
	if len(w.faults) > 0 {
		return sink.Item{}, &sink.ValidationError{Violations: w.faults}
	}
	return sink.Item{Body: w.b}, nil
}
