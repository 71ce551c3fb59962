package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// customerBatch returns the body of a customer/add call.
func customerBatch(customers ...string) string {
	return `{"ApproveAutomatically":true,"IsTest":false,"Customers":[` + strings.Join(customers, ",") + `]}`
}

const otherFeedbackItem = `{"Email":"b@example.com","Data":[{"CustomerDataColumnId":15,"Value":"J"}]}`

func TestExpointsAcceptsTheDocumentedSamples(t *testing.T) {
	// The placeholders in the samples violate rules of the same documents: the batch type, and no
	// duplicate addresses.
	stated := strings.NewReplacer(
		`"TypeBatch": "sample string 3"`, `"TypeBatch": "email"`, `"AllowDuplicateEmail": false`,
		`"AllowDuplicateEmail": true`,
	)
	for _, operation := range []string{"add", "addfinished", "addlock"} {
		t.Run(operation, func(t *testing.T) {
			server := New(Options{Expoints: ExpointsOptions{Columns: testColumns[:1], EventIDColumn: "event_id"}})
			body := stated.Replace(readTestdata(t, "expoints."+operation+".request.json"))
			resp := postWithLogin(t, server, Expoints, expointsPath(operation), body)
			if resp.status != http.StatusOK || resp.body != "" {
				t.Fatalf("got %d %q, want 200 and no body", resp.status, resp.body)
			}
			for entry := range server.Ledger().AllEntries("expoints." + operation) {
				if entry.ID != "sample string 3" {
					t.Errorf("ledger: got id %q, want \"sample string 3\"", entry.ID)
				}
			}
			if server.Ledger().Count("expoints."+operation) == 0 {
				t.Error("the ledger is empty")
			}
		})
	}
}

func TestExpointsAcceptsWhatTheDocumentsAllow(t *testing.T) {
	twice := strings.Replace(customerBatch(feedbackItem, feedbackItem), "{", `{"AllowDuplicateEmail":true,`, 1)
	tests := map[string]string{
		"duplicate address, which is allowed": twice,
		"a portal batch": strings.Replace(
			customerBatch(feedbackItem), "{", `{"TypeBatch":"portal",`, 1,
		),
		"customers without an address": customerBatch(
			withChanges(feedbackItem, fields{"Email": absent}), withChanges(otherFeedbackItem, fields{"Email": ""}),
		),
		"a column's value that is empty": customerBatch(withChanges(feedbackItem, fields{"Data": json.RawMessage(
			`[{"CustomerDataColumnId":15,"Value":"J"},{"CustomerDataColumnId":1,"Value":"e-1"},{"CustomerDataColumnId":1,"Value":""}]`,
		)})),
		"batch type as number":         strings.Replace(customerBatch(feedbackItem), "{", `{"TypeBatch":0,`, 1),
		"an address that is not valid": customerBatch(withChanges(feedbackItem, fields{"Email": "nobody"})),
		"no transaction date":          customerBatch(withChanges(feedbackItem, fields{"TransactionDate": nil})),
		"dates without time, and in UTC": customerBatch(
			withChanges(feedbackItem, fields{"SendDate": "2025-01-18", "EndDate": "2025-01-18T05:53:05Z"}),
		),
		"a batch without end and send time": strings.Replace(
			customerBatch(feedbackItem), "{", `{"EndDate":null,"SendTime":null,`, 1,
		),
	}
	for name, body := range tests {
		server := New(Options{Expoints: ExpointsOptions{Columns: testColumns, EventIDColumn: "event_id"}})
		if resp := postWithLogin(t, server, Expoints, expointsPath("add"), body); resp.status != http.StatusOK ||
			server.Ledger().AcceptedEntries("expoints.add")[0].ID != "e-1" {
			t.Errorf("%s: got %d %s, want 200 and the event id in the ledger", name, resp.status, resp.body)
		}
	}
}

func TestExpointsRefusesAnInvalidBatch(t *testing.T) {
	tests := []struct {
		name, body, key, text string
	}{
		{
			"more than the maximum",
			customerBatch(strings.Split(strings.Repeat(feedbackItem+"\n", 201), "\n")[:201]...),
			"request.Customers", "at most 200",
		},
		{"no customers", `{"IsTest":true}`, "request.Customers", "is mandatory"},
		{"an empty batch", customerBatch(), "request.Customers", "at least 1"},
		{
			"unknown key", strings.Replace(customerBatch(feedbackItem), "{", `{"Source":"x",`, 1), "request.Source",
			"not a parameter",
		},
		{
			"key in another case", strings.Replace(customerBatch(feedbackItem), "IsTest", "isTest", 1),
			"request.isTest", "not a parameter",
		},
		{
			"null for a field that is not nullable", strings.Replace(customerBatch(feedbackItem), "false", "null", 1),
			"request.IsTest", "type Boolean",
		},
		{
			"unknown batch type", strings.Replace(customerBatch(feedbackItem), "{", `{"TypeBatch":"sms",`, 1),
			"request.TypeBatch", "one of",
		},
		{
			"batch type 2", strings.Replace(customerBatch(feedbackItem), "{", `{"TypeBatch":2,`, 1),
			"request.TypeBatch", "0 or 1",
		},
		{
			"end date", strings.Replace(customerBatch(feedbackItem), "{", `{"EndDate":"soon",`, 1), "request.EndDate",
			"RFC 3339",
		},
		{
			"duplicate address", customerBatch(feedbackItem, strings.Replace(feedbackItem, "a@", "A@", 1)),
			"request.Customers[1].Email", "unique",
		},
		{"invalid JSON", `{`, "request", "not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := New(Options{Expoints: ExpointsOptions{Columns: testColumns, EventIDColumn: "event_id"}})
			checkExpointsRefusal(t, server, "add", tt.body, tt.key, tt.text)
		})
	}
}

func TestExpointsRefusesTheWholeBatchForOneInvalidCustomer(t *testing.T) {
	change := func(changes fields) string {
		return customerBatch(feedbackItem, withChanges(otherFeedbackItem, changes))
	}
	data := func(elements ...string) fields {
		elements = append(elements, `{"CustomerDataColumnId":15,"Value":"J"}`)
		return fields{"Data": json.RawMessage("[" + strings.Join(elements, ",") + "]")}
	}
	tests := []struct {
		name, body, key, text string
	}{
		{"address of another type", change(fields{"Email": 1}), "request.Customers[1].Email", "type String"},
		{"unknown customer key", change(fields{"Name": "x"}), "request.Customers[1].Name", "not a parameter"},
		{
			"nine digits of a second", change(fields{"SendDate": "2025-01-18T05:53:05.461846712+01:00"}),
			"request.Customers[1].SendDate", "7 digits",
		},
		{
			"a time without offset", change(fields{"SendDate": "2025-01-18T05:53:05"}), "request.Customers[1].SendDate",
			"RFC 3339",
		},
		{"priority as text", change(fields{"Priority": "1"}), "request.Customers[1].Priority", "type Integer"},
		{
			"previous id over 32 bits", change(fields{"PreviousId": 1 << 33}), "request.Customers[1].PreviousId",
			"32-bit",
		},
		{
			"unknown column", change(data(`{"CustomerDataColumnId":99,"Value":"x"}`)),
			"request.Customers[1].Data[0].CustomerDataColumnId", "does not exist",
		},
		{
			"archived column", change(data(`{"CustomerDataColumnId":16,"Value":"x"}`)),
			"request.Customers[1].Data[0].CustomerDataColumnId", "does not exist",
		},
		{
			"column without id", change(data(`{"Name":"x","Value":"x"}`)),
			"request.Customers[1].Data[0].CustomerDataColumnId", "is mandatory",
		},
		{
			"column without value", change(data(`{"CustomerDataColumnId":1}`)), "request.Customers[1].Data[0].Value",
			"is mandatory",
		},
		{
			"number as value", change(data(`{"CustomerDataColumnId":1,"Value":1}`)),
			"request.Customers[1].Data[0].Value", "type String",
		},
		{
			"no required column", change(fields{"Data": absent}), "request.Customers[1].Data.First_name_customer",
			"is mandatory",
		},
		{
			"a required column that is empty",
			change(fields{"Data": json.RawMessage(`[{"CustomerDataColumnId":15,"Value":""}]`)}),
			"request.Customers[1].Data.First_name_customer", "is mandatory",
		},
		{
			"question as text", change(fields{"Answers": []fields{{"BaseQuestionId": "x"}}}),
			"request.Customers[1].Answers[0].BaseQuestionId", "type Integer",
		},
		{
			"file that is not base64", change(fields{"Answers": []fields{{"FileAnswers": []fields{{"Data": "%"}}}}}),
			"request.Customers[1].Answers[0].FileAnswers[0].Data", "base64",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := New(Options{Expoints: ExpointsOptions{Columns: testColumns, EventIDColumn: "event_id"}})
			checkExpointsRefusal(t, server, "add", tt.body, tt.key, tt.text)
		})
	}
}

// checkExpointsRefusal checks that the call gets a 400 with the text at the key, and that the
// ledger stays empty.
func checkExpointsRefusal(t *testing.T, server *Server, operation, body, key, text string) {
	t.Helper()
	resp := postWithLogin(t, server, Expoints, expointsPath(operation), body)
	state, _ := resp.decodeJSON(t)["ModelState"].(map[string]any)
	if resp.status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(state[key]), text) {
		t.Errorf("got %d %s, want 400 with %q at %s", resp.status, resp.body, text, key)
	}
	if stats := server.Ledger().Calls("expoints." + operation); server.Ledger().Count("expoints."+operation) != 0 ||
		stats.Failures[400] != 1 {
		t.Errorf("got stats %+v, want one 400 and nothing in the ledger", stats)
	}
}

func TestExpointsRefusesInvalidFinishedCustomersAndLocks(t *testing.T) {
	tests := []struct{ operation, body, key, text string }{
		{"addfinished", `{"IsTest":true}`, "request.Customer", "is mandatory"},
		{
			"addfinished", `{"Customer":{"QuestionnaireId":"x"}}`, "request.Customer.QuestionnaireId",
			"globally unique identifier",
		},
		{
			"addfinished", `{"Customer":{"Answers":[{"QuestionId":1}]}}`, "request.Customer.Answers[0].QuestionId",
			"type String",
		},
		{
			"addfinished", `{"Customer":{"Data":[{"CustomerDataColumnId":99,"Value":"x"}]}}`,
			"request.Customer.Data[0].CustomerDataColumnId", "does not exist",
		},
		{"addfinished", `{"Customer":{"SendDate":"2025-01-18"}}`, "request.Customer.SendDate", "not a parameter"},
		{"addlock", `{"OptIn":"yes"}`, "request.OptIn", "type Boolean"},
		{"addlock", `{"Email":null}`, "request.Email", "type String"},
		{"addlock", `{"CustomerId":1.5}`, "request.CustomerId", "32-bit"},
		{
			"addlock", `{"Data":[{"CustomerDataColumnId":99,"Value":"x"}]}`, "request.Data[0].CustomerDataColumnId",
			"does not exist",
		},
	}
	for _, tt := range tests {
		t.Run(tt.operation+"/"+tt.text, func(t *testing.T) {
			checkExpointsRefusal(
				t, New(Options{Expoints: ExpointsOptions{Columns: testColumns}}), tt.operation, tt.body, tt.key,
				tt.text,
			)
		})
	}
}

func TestColumnCatalogueIsFilteredByQuery(t *testing.T) {
	tests := map[string][]float64{
		"":                              {1, 15, 16},
		"?Archived=false":               {1, 15},
		"?Required=true":                {15, 16},
		"?Required=true&Archived=false": {15},
		"?CustomerDataColumnIds=1&CustomerDataColumnIds=16": {1, 16},
	}
	server := New(Options{Expoints: ExpointsOptions{Columns: testColumns, BearerToken: "static"}})
	for query, want := range tests {
		req := httptest.NewRequest(http.MethodGet, "/external/api/v3/customerdatacolumn"+query, nil)
		req.Header.Set("Authorization", "Bearer static")
		var ids []float64
		for _, column := range serveRequest(
			server.Handler(Expoints), req,
		).decodeJSON(t)["CustomerDataColumns"].([]any) {
			ids = append(ids, column.(map[string]any)["Id"].(float64))
		}
		if !reflect.DeepEqual(ids, want) {
			t.Errorf("%q: got %v, want %v", query, ids, want)
		}
	}
	refused := map[string]int{"?Required=maybe": 400, "?CustomerDataColumnIds=x": 400, "?Name=x": 400, "": 401}
	for query, want := range refused {
		req := httptest.NewRequest(http.MethodGet, "/external/api/v3/customerdatacolumn"+query, nil)
		if want != http.StatusUnauthorized {
			req.Header.Set("Authorization", "Bearer static")
		}
		if resp := serveRequest(server.Handler(Expoints), req); resp.status != want {
			t.Errorf("%q: got %d, want %d", query, resp.status, want)
		}
	}
}
