package expoints

import (
	"context"
	"strings"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
)

// encodeAdd encodes a customer of customer/add. This endpoint requires the required data columns,
// because the vendor needs them to contact the customer.
func encodeAdd(ctx context.Context, a *account, request *event.FeedbackRequest, origin sink.Origin) (sink.Item, error) {
	rows, violations, err := a.resolveData(ctx, request.Data, eventIDOf(request.EventId, origin), true)
	if err != nil {
		return sink.Item{}, err
	}
	e := newEncoder(a.zone, violations)
	e.BeginObject("")
	e.OptionalText("Email", request.Email)
	e.OptionalText("PhoneNumber", request.PhoneNumber)
	e.writeInstant("SendDate", request.SendDate)
	e.writeInstant("TransactionDate", request.TransactionDate)
	e.writeInstant("EndDate", request.EndDate)
	e.OptionalInt("Priority", request.Priority)
	e.OptionalInt("PreviousId", request.PreviousId)
	jsonwriter.OptionalObjects(e.Writer, "Data", rows, e.writeDataRow)
	jsonwriter.OptionalObjects(e.Writer, "Answers", request.Answers, e.writeAnswer)
	e.writeInts("AnswersToCopy", request.AnswersToCopy)
	e.OptionalBool("CopyAllAnswers", request.CopyAllAnswers)
	e.EndObject()
	if err := e.Err(); err != nil {
		return sink.Item{}, err
	}
	kind := envelopeKind{
		isTest:    valueOr(request.IsTest, a.cfg.Batch.IsTest),
		isConcept: valueOr(request.IsConcept, a.cfg.Batch.IsConcept),
	}
	return sink.Item{Body: e.Bytes(), EnvelopeKey: kind.String(), EntityKey: a.entityKeyOf(request.Email)}, nil
}

// entityKeyOf returns the email address as the entity key, unless duplicates are allowed: without
// AllowDuplicateEmail the vendor would refuse or ignore the second customer of a call with the same
// address. The brackets keep the key from being empty, which would mean no entity.
func (a *account) entityKeyOf(email *string) string {
	if a.cfg.Batch.AllowDuplicateEmail || email == nil || *email == "" {
		return ""
	}
	return "<" + strings.ToLower(strings.TrimSpace(*email)) + ">"
}

// writeAnswer writes the members of an ImportAnswerExternal.
func (e encoder) writeAnswer(answer *event.ExpointsAnswer) {
	e.OptionalInt("BaseQuestionId", answer.BaseQuestionId)
	e.OptionalBool("IsNotApplicableSelected", answer.IsNotApplicableSelected)
	e.OptionalText("Text", answer.Text)
	jsonwriter.OptionalObjects(e.Writer, "SelectedScalePositions", answer.SelectedScalePositions, e.writeScalePosition)
	e.writeInstant("DateAnswered", answer.DateAnswered)
	jsonwriter.OptionalObjects(e.Writer, "FileAnswers", answer.FileAnswers, e.writeFileAnswer)
	e.OptionalInt("PageRepetition", answer.PageRepetition)
	e.OptionalInt("SectionRepetition", answer.SectionRepetition)
}

// valueOr returns the value, or fallback if it is absent.
func valueOr(value *bool, fallback bool) bool {
	if value != nil {
		return *value
	}
	return fallback
}
