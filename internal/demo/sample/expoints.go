package sample

import (
	"strconv"
	"time"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// expointsVendor returns the samplers for Expoints.
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
		ItemID:   feedbackID,
	}
}

// feedbackID returns the event's own ID, which feedbackData puts into the column for it.
func feedbackID(evt any) (id, version string) {
	var own *string
	switch ev := evt.(type) {
	case *event.FeedbackRequest:
		own = ev.EventId
	case *event.FeedbackFinished:
		own = ev.EventId
	case *event.FeedbackLock:
		own = ev.EventId
	}
	if own == nil {
		return "", ""
	}
	return *own, ""
}

var expointsSamplers = map[string]Sampler{
	"sluice.expoints.FeedbackRequest": NewSampler(newFeedbackRequest,
		func(ev *event.FeedbackRequest) string { return columnValue(ev.Data, columnCustomer) },
		Mutations[event.FeedbackRequest]{
			Invalid: func(_ *Generator, ev *event.FeedbackRequest) {
				ev.Data = append(ev.Data, event.ExpointsData{Name: unknownColumn})
			},
			Rejected: func(gen *Generator, ev *event.FeedbackRequest) {
				ev.Email = new(*refusedReference(gen) + "@example.org")
			},
		}),
	"sluice.expoints.FeedbackFinished": NewSampler(newFeedbackFinished,
		func(ev *event.FeedbackFinished) string { return columnValue(ev.Data, columnCustomer) },
		Mutations[event.FeedbackFinished]{
			Invalid: func(_ *Generator, ev *event.FeedbackFinished) { ev.QuestionnaireId = new("not a GUID") },
		}),
	"sluice.expoints.FeedbackLock": NewSampler(newFeedbackLock,
		func(ev *event.FeedbackLock) string { return columnValue(ev.Data, columnCustomer) },
		Mutations[event.FeedbackLock]{
			Invalid: func(_ *Generator, ev *event.FeedbackLock) { ev.QuestionnaireId = new("not a GUID") },
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

// feedbackData returns the data rows of a feedback event, which include the required column.
func feedbackData(gen *Generator, person *customer, eventID string) []event.ExpointsData {
	rows := []event.ExpointsData{{Name: columnCustomer, Value: person.number}, {Name: columnEventID, Value: eventID}}
	if gen.oneIn(2) {
		rows = append(rows, event.ExpointsData{Name: columnStore, Value: pickOne(gen, units)})
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

// uniqueEmail returns an address that no other sample has, because a batch must not contain an
// address twice.
func uniqueEmail(gen *Generator) *string { return new(gen.UniqueString("customer-") + "@example.org") }

func newFeedbackRequest(gen *Generator) *event.FeedbackRequest {
	id, at := gen.randomGUID(), gen.NextTime()
	ev := &event.FeedbackRequest{
		EventId: &id, Email: uniqueEmail(gen),
		PhoneNumber: maybeOneIn(gen, 4, "+31 20 555 01 "+strconv.Itoa(10+gen.random.IntN(90))), TransactionDate: &at,
		SendDate: maybeOneIn(gen, 3, at.Add(24*time.Hour)),
		Priority: maybeOneIn(gen, 5, int32(gen.random.IntN(10))), Data: feedbackData(gen, gen.randomCustomer(), id),
	}
	if gen.oneIn(4) {
		ev.Answers = []event.ExpointsAnswer{{BaseQuestionId: new(int32(1 + gen.random.IntN(20))),
			Text: new(pickOne(gen, notes)), DateAnswered: &at}}
	}
	return ev
}

func newFeedbackFinished(gen *Generator) *event.FeedbackFinished {
	id, at := gen.randomGUID(), gen.NextTime()
	c := gen.randomCustomer()
	grade := int32(1 + gen.random.IntN(10))
	return &event.FeedbackFinished{
		EventId: &id, QuestionnaireId: new(pickOne(gen, questionnaires)), FinishedDate: &at,
		TransactionDate: maybeOneIn(gen, 2, at.Add(-time.Hour)),
		Email:           uniqueEmail(gen), Language: &c.language, IsContactRequested: maybeOneIn(gen, 4, true),
		Data: feedbackData(gen, c, id),
		Answers: []event.ExpointsFinishedAnswer{{
			QuestionId: new(gen.randomGUID()), DateAnswered: &at, Text: maybeOneIn(gen, 2, pickOne(gen, notes)),
			SelectedScalePositions: []event.ExpointsScalePosition{{Label: new(strconv.Itoa(int(grade))),
				Value: &grade}},
		}},
	}
}

func newFeedbackLock(gen *Generator) *event.FeedbackLock {
	id, at := gen.randomGUID(), gen.NextTime()
	return &event.FeedbackLock{
		EventId: &id, CreationDate: &at, OptIn: maybeOneIn(gen, 2, gen.oneIn(2)),
		QuestionnaireId: maybeOneIn(gen, 2, pickOne(gen, questionnaires)),
		Email:           uniqueEmail(gen), Data: feedbackData(gen, gen.randomCustomer(), id),
	}
}
