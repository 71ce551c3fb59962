package expoints

import (
	"context"
	"strings"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// encodeAdd makes a customer of customer/add.
func encodeAdd(ctx context.Context, a *account, e *event.FeedbackRequest, origin sink.Origin) (sink.Item, error) {
	data, faults, err := a.data(ctx, e.Data, eventID(e.EventId, origin), true)
	if err != nil {
		return sink.Item{}, err
	}
	w := &writer{b: make([]byte, 1, 512), zone: a.zone, faults: faults}
	w.b[0] = '{'
	w.optText("Email", e.Email)
	w.optText("PhoneNumber", e.PhoneNumber)
	w.optTime("SendDate", e.SendDate)
	w.optTime("TransactionDate", e.TransactionDate)
	w.optTime("EndDate", e.EndDate)
	w.optInt("Priority", e.Priority)
	w.optInt("PreviousId", e.PreviousId)
	list(w, "Data", data, dataMembers)
	list(w, "Answers", e.Answers, answerMembers)
	w.optInts("AnswersToCopy", e.AnswersToCopy)
	w.optBool("CopyAllAnswers", e.CopyAllAnswers)
	w.b = append(w.b, '}')
	if len(w.faults) > 0 {
		return sink.Item{}, &sink.ValidationError{Violations: w.faults}
	}
	kind := group{test: or(e.IsTest, a.cfg.Batch.IsTest), concept: or(e.IsConcept, a.cfg.Batch.IsConcept)}
	return sink.Item{Body: w.b, EnvelopeKey: kind.String(), EntityKey: a.entity(e.Email)}, nil
}

// entity keeps two customers with one e-mail address out of one call where the vendor would refuse or drop the second (AllowDuplicateEmail false).
func (a *account) entity(email *string) string {
	if a.cfg.Batch.AllowDuplicateEmail || email == nil || *email == "" {
		return ""
	}
	return "<" + strings.ToLower(strings.TrimSpace(*email)) + ">" // not empty, whatever the address is
}

// answerMembers writes an ImportAnswerExternal.
func answerMembers(w *writer, a *event.ExpointsAnswer) {
	w.optInt("BaseQuestionId", a.BaseQuestionId)
	w.optBool("IsNotApplicableSelected", a.IsNotApplicableSelected)
	w.optText("Text", a.Text)
	list(w, "SelectedScalePositions", a.SelectedScalePositions, scaleMembers)
	w.optTime("DateAnswered", a.DateAnswered)
	list(w, "FileAnswers", a.FileAnswers, fileMembers)
	w.optInt("PageRepetition", a.PageRepetition)
	w.optInt("SectionRepetition", a.SectionRepetition)
}

// scaleMembers writes a ScalePosition.
func scaleMembers(w *writer, s *event.ExpointsScalePosition) {
	w.optInt("Id", s.Id)
	w.optText("Label", s.Label)
	w.optInt("Value", s.Value)
	w.optInt("Ranking", s.Ranking)
}

// fileMembers writes a FileAnswer.
func fileMembers(w *writer, f *event.ExpointsFileAnswer) {
	w.optInt("Id", f.Id)
	w.optInt("AnswerId", f.AnswerId)
	w.optText("FileName", f.FileName)
	w.optInt("FileSize", f.FileSize)
	w.optText("FileType", f.FileType)
	w.optBase64("Data", f.Data)
	w.optBool("IsEncrypted", f.IsEncrypted)
	w.optText("CertificateThumbprint", f.CertificateThumbprint)
	w.optText("EncryptionKey", f.EncryptionKey)
}

func or(v *bool, otherwise bool) bool {
	if v != nil {
		return *v
	}
	return otherwise
}
