package conformance

import (
	"fmt"
	"reflect"
	"slices"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/sink"
)

// columns are the account's columns: one for the event's ID, and one of each kind to which a row
// can refer.
var columns = []sandbox.Column{
	{ID: 11, Name: eventIDColumn},
	{ID: 15, Name: requiredColumn, Required: true},
	{ID: 19, Name: freeColumn},
	{ID: 20, Name: archivedColumn, Archived: true},
}

const (
	eventIDColumn  = "EventId"
	requiredColumn = "First_name_customer"
	freeColumn     = "ProductNumber"
	archivedColumn = "Fax"
)

func columnID(name string) int32 {
	i := slices.IndexFunc(columns, func(c sandbox.Column) bool { return c.Name == name })
	return int32(columns[i].ID)
}

func expointsFixture() *vendorFixture {
	return &vendorFixture{
		operations: []operationFixture{
			addFixture(),
			{
				name: "expoints.addfinished", newEvent: newFeedbackFinished,
				endpoint: "/external/api/v3/customer/addfinished",
				maxItems: 1, markField: "Customer.Email", markOf: numberedAddress,
			},
			{
				name: "expoints.addlock", newEvent: newFeedbackLock, endpoint: "/external/api/v3/customer/addlock",
				maxItems: 1, markField: "Email", markOf: numberedAddress,
			},
		},
		loginOperation: "token",
		configureSandbox: func(opts *sandbox.Options) {
			opts.Expoints = sandbox.ExpointsOptions{Columns: columns, EventIDColumn: eventIDColumn}
		},
		accountSettings: "event_id_column: " + eventIDColumn,
		zoneSetting:     "time_zone",
		identityOf:      func(i int) string { return originOf(i).ID() },
		instantText:     func(c instantCase) string { return c.withOffset },
		responses:       expointsResponses(),
		pages: map[string][]pageSection{
			"expoints-customer-add":         {{"add", "expoints.FeedbackRequest", "Customers[]."}},
			"expoints-customer-addfinished": {{"addfinished", "expoints.FeedbackFinished", "Customer."}},
			"expoints-customer-addlock":     {{"addlock", "expoints.FeedbackLock", ""}},
		},
		everyField: `batch: {end_after: 24h, send_time: "11:30", notification_email_addresses: [desk@example.org], batch_name: connector}`,
		events: eventRules{
			stringRules: map[string]stringRule{
				// The vendor itself marks customers with an invalid address.
				"FeedbackRequest.Email":             {valid: anyAddress},
				"FeedbackFinished.QuestionnaireId":  guid,
				"FeedbackLock.QuestionnaireId":      guid,
				"ExpointsFinishedAnswer.QuestionId": guid,
				"ExpointsData.Name":                 columnName,
			},
			requiredLists: map[string]bool{"FeedbackRequest.Data": true},
			finishRecord:  keepNameOrID,
			finishEvent:   addRequiredData,
			recordFlaws:   columnFlaws,
			eventFlaws:    feedbackRequestFlaws,
		},
	}
}

// addFixture includes events that may not share a call: a batch is a test or not, and must not
// contain an address twice.
func addFixture() operationFixture {
	request := func(address string, test *bool) any {
		return &event.FeedbackRequest{Email: &address, IsTest: test, Data: requiredData()}
	}
	return operationFixture{
		name: "expoints.add", newEvent: newFeedbackRequest, endpoint: "/external/api/v3/customer/add",
		maxItems:      200, // "no more than 200 customers at once"
		namedRefusals: true, markField: "Email", markOf: numberedAddress,
		sharing: []sharingCase{
			{name: "two addresses", a: request("a@example.org", nil), b: request("b@example.org", nil)},
			{name: "one address", a: request("a@example.org", nil), b: request("A@Example.org", nil),
				sameEntity: true},
			{name: "test and not", a: request("a@example.org", new(true)), b: request("b@example.org", nil),
				otherEnvelope: true},
		},
	}
}

// expointsResponses returns the cases for the response body, which the page does not document: a
// 2xx accepts the call unless its body states a failure or is truncated.
func expointsResponses() []responseCase {
	return []responseCase{
		{name: "200 with half a body", do: respondBody(""), class: sink.Unknown},
		{name: "200 with a web page", do: respondBody("<html>Please log in</html>"), class: sink.Unknown},
		{name: "200 with a web page in XML", do: respondBody(`<?xml version="1.0"?><!DOCTYPE html><html/>`),
			class: sink.Unknown},
		{name: "200 with a stated failure", do: respondBody(`{"Success":false,"Errors":["refused"]}`),
			class: sink.Rejected},
		{name: "200 without a body", do: sandbox.Action{Fault: sandbox.FaultEmptyBody}, class: sink.Delivered},
		{name: "200 with JSON", do: respondBody(`{"Id":1}`), class: sink.Delivered},
		{name: "200 with text", do: respondBody("OK"), class: sink.Delivered},
	}
}

func numberedAddress(i int) string { return fmt.Sprintf("c%d@example.org", i) }

func requiredData() []event.ExpointsData {
	return []event.ExpointsData{{Name: requiredColumn, Value: "John"}}
}

func newFeedbackRequest(i int) any {
	return &event.FeedbackRequest{Email: new(numberedAddress(i)), SendDate: new(performedOn), Data: requiredData()}
}

func newFeedbackFinished(i int) any {
	return &event.FeedbackFinished{Email: new(numberedAddress(i)), FinishedDate: new(performedOn),
		Data: requiredData()}
}

func newFeedbackLock(i int) any {
	return &event.FeedbackLock{Email: new(numberedAddress(i)), CreationDate: new(performedOn), Data: requiredData()}
}

// keepNameOrID makes a data row refer to its column either by name or by ID.
func keepNameOrID(d drawer, v reflect.Value) {
	row, ok := v.Addr().Interface().(*event.ExpointsData)
	if !ok {
		return
	}
	row.CustomerDataColumnId = nil
	if !d.chooseFirst("column by name") {
		row.CustomerDataColumnId, row.Name = new(columnID(row.Name)), ""
	}
}

func addRequiredData(_ drawer, ev any) {
	if request, ok := ev.(*event.FeedbackRequest); ok {
		request.Data = append(requiredData(), request.Data...)
	}
}

// columnFlaws adds invalid references of a data row to its column.
func columnFlaws(c *flawCollector, v reflect.Value, path string) bool {
	row, ok := v.Addr().Interface().(*event.ExpointsData)
	if !ok {
		return false
	}
	byID := func(what, name string, id int32) {
		c.add(joinPath(path, "CustomerDataColumnId"), what, func() { row.Name, row.CustomerDataColumnId = name, &id })
	}
	byID("the ID of no column", "", 999)
	byID("the ID of an archived column", "", columnID(archivedColumn))
	byID("the ID of no column of that name", freeColumn, 999)
	for _, bad := range []string{"", "Nowhere", archivedColumn} {
		c.add(joinPath(path, "Name"), fmt.Sprintf("%q", bad),
			func() { row.Name, row.CustomerDataColumnId = bad, nil })
	}
	return false // its other fields have flaws of their own
}

func feedbackRequestFlaws(c *flawCollector, ev any) {
	request, ok := ev.(*event.FeedbackRequest)
	if !ok {
		return
	}
	c.add("Data", "without a required column", func() {
		request.Data = []event.ExpointsData{{Name: freeColumn, Value: "x"}}
	})
	c.add("Data[1].Value", "a required column without a value", func() {
		request.Data = []event.ExpointsData{{Name: freeColumn, Value: "x"}, {Name: requiredColumn}}
	})
}
