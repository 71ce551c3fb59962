package sample

import (
	"strconv"
	"time"

	"sluice/internal/event"
)

// The data columns of feedback samples.
const (
	columnCustomer = "CustomerNumber"
	columnEventID  = "EventId"
	columnStore    = "Store"
	noColumn       = "NoSuchColumn"
)

var questionnaires = []string{"5f8c1f6e-0f0b-4a53-9d5e-3f6b1a7e2c10", "a2d4e8b1-77c3-4c1a-8a52-0d9f6e5b4c21"}

// data are the rows that each feedback event has, the required column among them.
func (g *Generator) data(c *customer, eventID string) []event.ExpointsData {
	rows := []event.ExpointsData{{Name: columnCustomer, Value: c.number}, {Name: columnEventID, Value: eventID}}
	if g.chance(2) {
		rows = append(rows, event.ExpointsData{Name: columnStore, Value: pick(g, units)})
	}
	return rows
}

func value(rows []event.ExpointsData, column string) string {
	for _, r := range rows {
		if r.Name == column {
			return r.Value
		}
	}
	return ""
}

// mail is an address that no other sample has: a vendor may mail one address only once a batch.
func (g *Generator) mail() *string { return new(g.word("customer-") + "@example.org") }

func (g *Generator) feedbackRequest() *event.FeedbackRequest {
	id, at := g.guid(), g.at()
	e := &event.FeedbackRequest{
		EventId: &id, Email: g.mail(), PhoneNumber: maybe(g, 4, "+31 20 555 01 "+strconv.Itoa(10+g.rng.IntN(90))), TransactionDate: &at,
		SendDate: maybe(g, 3, at.Add(24*time.Hour)), Priority: maybe(g, 5, int32(g.rng.IntN(10))), Data: g.data(g.customer(), id),
	}
	if g.chance(4) {
		e.Answers = []event.ExpointsAnswer{{BaseQuestionId: new(int32(1 + g.rng.IntN(20))), Text: new(pick(g, notes)), DateAnswered: &at}}
	}
	return e
}

func (g *Generator) feedbackFinished() *event.FeedbackFinished {
	id, at := g.guid(), g.at()
	c := g.customer()
	grade := int32(1 + g.rng.IntN(10))
	return &event.FeedbackFinished{
		EventId: &id, QuestionnaireId: new(pick(g, questionnaires)), FinishedDate: &at, TransactionDate: maybe(g, 2, at.Add(-time.Hour)),
		Email: g.mail(), Language: &c.language, IsContactRequested: maybe(g, 4, true), Data: g.data(c, id),
		Answers: []event.ExpointsFinishedAnswer{{
			QuestionId: new(g.guid()), DateAnswered: &at, Text: maybe(g, 2, pick(g, notes)),
			SelectedScalePositions: []event.ExpointsScalePosition{{Label: new(strconv.Itoa(int(grade))), Value: &grade}},
		}},
	}
}

func (g *Generator) feedbackLock() *event.FeedbackLock {
	id, at := g.guid(), g.at()
	return &event.FeedbackLock{
		EventId: &id, CreationDate: &at, OptIn: maybe(g, 2, g.chance(2)), QuestionnaireId: maybe(g, 2, pick(g, questionnaires)),
		Email: g.mail(), Data: g.data(g.customer(), id),
	}
}
