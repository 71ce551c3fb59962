package expoints

import (
	"context"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// encodeFinished makes the body of customer/addfinished. The page asks for no data column there.
func encodeFinished(ctx context.Context, a *account, e *event.FeedbackFinished, origin sink.Origin) (sink.Item, error) {
	data, faults, err := a.data(ctx, e.Data, eventID(e.EventId, origin), false)
	if err != nil {
		return sink.Item{}, err
	}
	w := &writer{b: make([]byte, 1, 512), zone: a.zone, faults: faults}
	w.b[0] = '{'
	w.bool("IsTest", or(e.IsTest, a.cfg.Batch.IsTest))
	w.key("Customer")
	w.b = append(w.b, '{')
	w.optGUID("QuestionnaireId", e.QuestionnaireId)
	w.optTime("FinishedDate", e.FinishedDate)
	list(w, "Answers", e.Answers, finishedAnswerMembers)
	w.optText("Email", e.Email)
	w.optTime("TransactionDate", e.TransactionDate)
	w.optTime("SurveyClosedDate", e.SurveyClosedDate)
	list(w, "Data", data, dataMembers)
	w.optText("Language", e.Language)
	w.optBool("IsContactRequested", e.IsContactRequested)
	w.optBool("IsConcept", e.IsConcept)
	w.b = append(w.b, "}}"...)
	if len(w.faults) > 0 {
		return sink.Item{}, &sink.ValidationError{Violations: w.faults}
	}
	return sink.Item{Body: w.b}, nil
}

// finishedAnswerMembers writes an ImportAnswer.
func finishedAnswerMembers(w *writer, a *event.ExpointsFinishedAnswer) {
	w.optGUID("QuestionId", a.QuestionId)
	w.optTime("DateAnswered", a.DateAnswered)
	w.optText("Text", a.Text)
	list(w, "SelectedScalePositions", a.SelectedScalePositions, scaleMembers)
	list(w, "FileAnswers", a.FileAnswers, fileMembers)
	w.optInt("PageRepetition", a.PageRepetition)
	w.optInt("SectionRepetition", a.SectionRepetition)
}
