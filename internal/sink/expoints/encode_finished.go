package expoints

import (
	"context"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
)

// encodeFinished encodes the body of customer/addfinished, which requires no data column.
func encodeFinished(
	ctx context.Context, a *account, finished *event.FeedbackFinished, origin sink.Origin,
) (sink.Item, error) {
	rows, violations, err := a.resolveData(ctx, finished.Data, eventIDOf(finished.EventId, origin), false)
	if err != nil {
		return sink.Item{}, err
	}
	e := newEncoder(a.zone, violations)
	e.BeginObject("")
	e.Bool("IsTest", valueOr(finished.IsTest, a.cfg.Batch.IsTest))
	e.Key("Customer")
	e.BeginObject("") // the event has no such object, so it is not part of a violation's path
	e.writeGUID("QuestionnaireId", finished.QuestionnaireId)
	e.writeInstant("FinishedDate", finished.FinishedDate)
	jsonwriter.OptionalObjects(e.Writer, "Answers", finished.Answers, e.writeFinishedAnswer)
	e.OptionalText("Email", finished.Email)
	e.writeInstant("TransactionDate", finished.TransactionDate)
	e.writeInstant("SurveyClosedDate", finished.SurveyClosedDate)
	jsonwriter.OptionalObjects(e.Writer, "Data", rows, e.writeDataRow)
	e.OptionalText("Language", finished.Language)
	e.OptionalBool("IsContactRequested", finished.IsContactRequested)
	e.OptionalBool("IsConcept", finished.IsConcept)
	e.EndObject()
	e.EndObject()
	if err := e.Err(); err != nil {
		return sink.Item{}, err
	}
	return sink.Item{Body: e.Bytes()}, nil
}

// writeFinishedAnswer writes the members of an ImportAnswer.
func (e encoder) writeFinishedAnswer(answer *event.ExpointsFinishedAnswer) {
	e.writeGUID("QuestionId", answer.QuestionId)
	e.writeInstant("DateAnswered", answer.DateAnswered)
	e.OptionalText("Text", answer.Text)
	jsonwriter.OptionalObjects(e.Writer, "SelectedScalePositions", answer.SelectedScalePositions, e.writeScalePosition)
	jsonwriter.OptionalObjects(e.Writer, "FileAnswers", answer.FileAnswers, e.writeFileAnswer)
	e.OptionalInt("PageRepetition", answer.PageRepetition)
	e.OptionalInt("SectionRepetition", answer.SectionRepetition)
}
