package sample

import (
	"strconv"
	"time"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// expointsVendor has the samples for Expoints.
func expointsVendor() Vendor {
	return Vendor{
		Name: sandbox.Expoints,
		ConfigureSandbox: func(opts *sandbox.Options) {
			opts.Expoints = sandbox.ExpointsOptions{
				EventIDColumn: columnEventID,
				Columns: []sandbox.Column{
					{ID: 101, Name: columnCustomer, DisplayName: "Customer number", Required: true},
					{ID: 102, Name: columnEventID, DisplayName: "Event"},
					{ID: 103, Name: columnStore, DisplayName: "Store"},
				},
			}
		},
		AccountSettings: "event_id_column: " + columnEventID,
		Rules: []sandbox.Rule{{
			Name: "sample-unwelcome", Operation: "expoints.add",
			When: sandbox.When{Items: sandbox.Items{Field: "Email", Prefix: rejectedPrefix}},
			Do:   sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "The customer is not allowed."},
		}},
		Samplers: expointsSamplers,
	}
}

var expointsSamplers = map[string]Sampler{
	"sluice.expoints.FeedbackRequest": NewSampler((*Generator).newFeedbackRequest,
		func(e *event.FeedbackRequest) string { return columnValue(e.Data, columnCustomer) },
		Spoilers[event.FeedbackRequest]{
			Invalid: func(_ *Generator, e *event.FeedbackRequest) {
				e.Data = append(e.Data, event.ExpointsData{Name: unknownColumn})
			},
			Rejected: func(g *Generator, e *event.FeedbackRequest) { e.Email = new(*g.refusedReference() + "@example.org") },
		}),
	"sluice.expoints.FeedbackFinished": NewSampler((*Generator).newFeedbackFinished,
		func(e *event.FeedbackFinished) string { return columnValue(e.Data, columnCustomer) },
		Spoilers[event.FeedbackFinished]{
			Invalid: func(_ *Generator, e *event.FeedbackFinished) { e.QuestionnaireId = new("not a GUID") },
		}),
	"sluice.expoints.FeedbackLock": NewSampler((*Generator).newFeedbackLock,
		func(e *event.FeedbackLock) string { return columnValue(e.Data, columnCustomer) },
		Spoilers[event.FeedbackLock]{
			Invalid: func(_ *Generator, e *event.FeedbackLock) { e.QuestionnaireId = new("not a GUID") },
		}),
}

// The data columns of feedback samples.
const (
	columnCustomer = "CustomerNumber"
	columnEventID  = "EventId"
	columnStore    = "Store"
	unknownColumn  = "NoSuchColumn"
)

var questionnaires = []string{"5f8c1f6e-0f0b-4a53-9d5e-3f6b1a7e2c10", "a2d4e8b1-77c3-4c1a-8a52-0d9f6e5b4c21"}

// feedbackData are the rows that each feedback event has, the required column among them.
func (g *Generator) feedbackData(c *customer, eventID string) []event.ExpointsData {
	rows := []event.ExpointsData{{Name: columnCustomer, Value: c.number}, {Name: columnEventID, Value: eventID}}
	if g.oneIn(2) {
		rows = append(rows, event.ExpointsData{Name: columnStore, Value: pickOne(g, units)})
	}
	return rows
}

func columnValue(rows []event.ExpointsData, column string) string {
	for _, r := range rows {
		if r.Name == column {
			return r.Value
		}
	}
	return ""
}

// uniqueEmail is an address that no other sample has: a vendor may mail one address only once a
// batch.
func (g *Generator) uniqueEmail() *string { return new(g.UniqueText("customer-") + "@example.org") }

func (g *Generator) newFeedbackRequest() *event.FeedbackRequest {
	id, at := g.randomGUID(), g.NextTime()
	e := &event.FeedbackRequest{
		EventId: &id, Email: g.uniqueEmail(), PhoneNumber: maybeOneIn(g, 4, "+31 20 555 01 "+strconv.Itoa(10+g.random.IntN(90))), TransactionDate: &at,
		SendDate: maybeOneIn(g, 3, at.Add(24*time.Hour)), Priority: maybeOneIn(g, 5, int32(g.random.IntN(10))), Data: g.feedbackData(g.randomCustomer(), id),
	}
	if g.oneIn(4) {
		e.Answers = []event.ExpointsAnswer{{BaseQuestionId: new(int32(1 + g.random.IntN(20))), Text: new(pickOne(g, notes)), DateAnswered: &at}}
	}
	return e
}

func (g *Generator) newFeedbackFinished() *event.FeedbackFinished {
	id, at := g.randomGUID(), g.NextTime()
	c := g.randomCustomer()
	grade := int32(1 + g.random.IntN(10))
	return &event.FeedbackFinished{
		EventId: &id, QuestionnaireId: new(pickOne(g, questionnaires)), FinishedDate: &at, TransactionDate: maybeOneIn(g, 2, at.Add(-time.Hour)),
		Email: g.uniqueEmail(), Language: &c.language, IsContactRequested: maybeOneIn(g, 4, true), Data: g.feedbackData(c, id),
		Answers: []event.ExpointsFinishedAnswer{{
			QuestionId: new(g.randomGUID()), DateAnswered: &at, Text: maybeOneIn(g, 2, pickOne(g, notes)),
			SelectedScalePositions: []event.ExpointsScalePosition{{Label: new(strconv.Itoa(int(grade))), Value: &grade}},
		}},
	}
}

func (g *Generator) newFeedbackLock() *event.FeedbackLock {
	id, at := g.randomGUID(), g.NextTime()
	return &event.FeedbackLock{
		EventId: &id, CreationDate: &at, OptIn: maybeOneIn(g, 2, g.oneIn(2)), QuestionnaireId: maybeOneIn(g, 2, pickOne(g, questionnaires)),
		Email: g.uniqueEmail(), Data: g.feedbackData(g.randomCustomer(), id),
	}
}
