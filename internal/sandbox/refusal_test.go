package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// fields are the keys to change in a JSON object; absent takes a key out.
type fields map[string]any

type absence struct{}

var absent any = absence{}

// with is a JSON object's text with keys changed.
func with(t testing.TB, item string, changes fields) string {
	t.Helper()
	var o map[string]any
	dec := json.NewDecoder(strings.NewReader(item))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		t.Fatal(err)
	}
	maps.Copy(o, changes)
	maps.DeleteFunc(o, func(_ string, v any) bool { return v == absent })
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const activity = `{"request_unique_identifier":"a-0-1","accounts_receivable_identifier":{"number":"ACR1"},"classification_identifier":{"name":"C"},"performed_by_unit_identifier":{"name":"Admin Unit"},"performed_on":"2016-06-22T15:00:00"}`

// crmItems are the smallest items that the page allows.
func crmItems(t testing.TB) map[string]string {
	return map[string]string{
		"purchases":              purchaseItem,
		"referrals":              referralItem,
		"achievements":           activity,
		"social_media":           with(t, activity, fields{"social_media": "FACEBOOK", "profile": "p", "action": "LIKE", "classification_identifier": absent}),
		"web":                    with(t, activity, fields{"website": "www.crm.com", "classification_identifier": absent}),
		"financial_achievements": activity,
		"financial_statements":   activity,
	}
}

func TestCRMCOMTakesEveryFieldThatThePageNames(t *testing.T) {
	byName, byCode := fields{"alternative_code": "x"}, fields{"id": "x"}
	optional := map[string]fields{
		"purchases": {
			"classification_identifier": byName, "payment_medium_brand_identifier": byName, "payment_medium_type_identifier": byName,
			"payment_medium_identifier": "x", "invoice_identifier": fields{"back_office_code": "x"}, "udf_string_16": "x",
		},
		"financial_achievements": {
			"product_identifier": byCode, "payment_medium_type_identifier": byName, "payment_medium_brand_identifier": byName,
			"payment_medium_identifier": "x", "amount": json.Number("0.10"),
		},
		"financial_statements": {"measured_key_performance_indicators_set": []fields{
			{"key_performance_indicator_identifier": byName, "value": 1, "product_identifier": byCode}}},
	}
	shared := fields{
		"description": "x", "external_system": "x", "external_system_reference_number": "ref-1",
		"udf_string_8": "x", "udf_float_4": 1.5, "udf_date_4": "2016-06-22T15:00:00",
	}
	for operation, item := range crmItems(t) {
		s := New(Options{})
		a := crm(t, s, operation, crmToken(t, s), with(t, with(t, item, shared), optional[operation]))
		entries := s.Ledger().Accepted("crmcom." + operation)
		if len(entries) != 1 || entries[0].Reference != "ref-1" || entries[0].ID == "" {
			t.Errorf("%s: %s, ledger %+v", operation, a.body, entries)
		}
	}
}

// TestCRMCOMRefusesTheItemAlone has a row for each rule; the neighbour of the refused item is accepted.
func TestCRMCOMRefusesTheItemAlone(t *testing.T) {
	product := func(changes fields) fields {
		return fields{"products_set": []json.RawMessage{json.RawMessage(with(t,
			`{"product_identifier":{"code":"B"},"net_amount":1,"vat_amount":1,"total_amount":2}`, changes))}}
	}
	measure := func(changes fields) fields {
		return fields{"measured_key_performance_indicators_set": []json.RawMessage{json.RawMessage(with(t,
			`{"key_performance_indicator_identifier":{"id":"1"},"value":1}`, changes))}}
	}
	tests := []struct {
		operation string
		change    fields
		says      string
	}{
		{"purchases", fields{"performed_by_unit_identifier": absent}, "performed_by_unit_identifier is mandatory"},
		{"purchases", fields{"performed_on": absent}, "performed_on is mandatory"},
		{"purchases", fields{"reference_number": absent}, "reference_number is mandatory"},
		{"purchases", fields{"reference_number": ""}, "reference_number is mandatory"},
		{"purchases", fields{"products_set": absent}, "products_set is mandatory"},
		{"purchases", fields{"products_set": []int{}}, "products_set must have at least 1 elements"},
		{"purchases", fields{"products_set": "x"}, "products_set must be of type JSONArray, not String"},
		{"purchases", fields{"products_set": []int{1}}, "products_set.0 must be of type JSONObject, not Integer"},
		{"purchases", product(fields{"product_identifier": absent}), "products_set.0.product_identifier is mandatory"},
		{"purchases", product(fields{"net_amount": absent}), "products_set.0.net_amount is mandatory"},
		{"purchases", product(fields{"vat_amount": absent}), "products_set.0.vat_amount is mandatory"},
		{"purchases", product(fields{"total_amount": absent}), "products_set.0.total_amount is mandatory"},
		{"purchases", product(fields{"total_amount": "2"}), "products_set.0.total_amount must be of type Number, not String"},
		{"purchases", product(fields{"total_amount": json.Number("1E+2")}), "products_set.0.total_amount must be a number without exponent"},
		{"purchases", product(fields{"quantity": nil}), "products_set.0.quantity must be of type Number, not Null"},
		{"purchases", product(fields{"price": 1}), "products_set.0.price is not a parameter"},
		{"purchases", product(fields{"product_identifier": fields{"name": "x"}}), "products_set.0.product_identifier.name is not a parameter"},
		{"purchases", fields{"accounts_receivable_identifier": absent}, "exactly one of accounts_receivable_identifier, rewards_participant_identifier"},
		{"purchases", fields{"rewards_participant_identifier": fields{"id": "1"}}, "exactly one of accounts_receivable_identifier, rewards_participant_identifier"},
		{"purchases", fields{"accounts_receivable_identifier": fields{"id": "1", "number": "2"}}, "accounts_receivable_identifier must be exactly one of id, number, name"},
		{"purchases", fields{"accounts_receivable_identifier": fields{}}, "accounts_receivable_identifier must be exactly one of id, number, name"},
		{"purchases", fields{"accounts_receivable_identifier": fields{"number": ""}}, "accounts_receivable_identifier must be exactly one of id, number, name"},
		{"purchases", fields{"accounts_receivable_identifier": "ACR1"}, "accounts_receivable_identifier must be of type JSONObject, not String"},
		{"purchases", fields{"performed_on": "2016-06-22T15:00:00Z"}, "performed_on must be a date such as 2006-01-02T15:04:05"},
		{"purchases", fields{"performed_on": "2016-06-22T15:00:00.5"}, "performed_on must be a date"},
		{"purchases", fields{"performed_on": "2016-02-30T15:00:00"}, "performed_on must be a date"},
		{"purchases", fields{"udf_string_17": "x"}, "udf_string_17 is not a parameter"},
		{"purchases", fields{"udf_float_1": "1.5"}, "udf_float_1 must be of type Number, not String"},
		{"purchases", fields{"udf_date_1": 1}, "udf_date_1 must be of type String, not Integer"},
		{"purchases", fields{"description": nil}, "description must be of type String, not Null"},
		{"purchases", fields{"company": "x"}, "company is not a parameter"},
		{"achievements", fields{"classification_identifier": absent}, "classification_identifier is mandatory"},
		{"achievements", fields{"udf_string_9": "x"}, "udf_string_9 is not a parameter"},
		{"achievements", fields{"products_set": []int{}}, "products_set is not a parameter"},
		{"referrals", fields{"referred_rewards_participant_identifier": absent}, "referred_rewards_participant_identifier is mandatory"},
		{"referrals", fields{"referred_by_rewards_participant_identifier": absent}, "referred_by_rewards_participant_identifier is mandatory"},
		{"referrals", fields{"referred_rewards_participant_identifier": fields{"name": "x"}}, "referred_rewards_participant_identifier.name is not a parameter"},
		{"referrals", fields{"accounts_receivable_identifier": fields{"id": "x"}}, "accounts_receivable_identifier is not a parameter"},
		{"social_media", fields{"social_media": absent}, "social_media is mandatory"},
		{"social_media", fields{"social_media": "TWITTER"}, "social_media must be one of FACEBOOK"},
		{"social_media", fields{"profile": absent}, "profile is mandatory"},
		{"social_media", fields{"action": absent}, "action is mandatory"},
		{"social_media", fields{"action": "SHARE"}, "action must be one of LIKE"},
		{"web", fields{"website": absent}, "website is mandatory"},
		{"financial_achievements", fields{"classification_identifier": absent}, "classification_identifier is mandatory"},
		{"financial_achievements", fields{"amount": true}, "amount must be of type Number, not Boolean"},
		{"financial_statements", fields{"classification_identifier": absent}, "classification_identifier is mandatory"},
		{"financial_statements", measure(fields{"key_performance_indicator_identifier": absent}), "key_performance_indicator_identifier is mandatory"},
		{"financial_statements", measure(fields{"value": absent}), "measured_key_performance_indicators_set.0.value is mandatory"},
		{"financial_statements", fields{"amount": 1}, "amount is not a parameter"},
	}
	items := crmItems(t)
	for _, tt := range tests {
		t.Run(tt.operation+"/"+tt.says, func(t *testing.T) {
			s := New(Options{})
			neighbour := with(t, items[tt.operation], fields{"request_unique_identifier": "good"})
			a := crm(t, s, tt.operation, crmToken(t, s), with(t, items[tt.operation], tt.change), neighbour)
			data, _ := a.json(t)["data"].(map[string]any)
			unprocessed, _ := data["unprocessed_customer_events_set"].([]any)
			if len(unprocessed) != 1 || !strings.Contains(fmt.Sprint(unprocessed[0]), tt.says) {
				t.Errorf("got %s, want %q", a.body, tt.says)
			}
			if entries := s.Ledger().Accepted("crmcom." + tt.operation); len(entries) != 1 || entries[0].ID != "good" {
				t.Errorf("ledger has %+v, want the neighbour alone", entries)
			}
		})
	}
}

func TestCRMCOMFailsTheEnvelope(t *testing.T) {
	second := strings.Replace(purchaseItem, "p-0-1", "p-0-2", 1)
	many := make([]string, crmMaxItems+1)
	for i := range many {
		many[i] = strings.Replace(purchaseItem, "p-0-1", fmt.Sprint("p-0-", i), 1)
	}
	one := `{"token":"{{token}}","purchase_customer_events_set":[` + purchaseItem + `]`
	tests := []struct {
		name, body, code, says string
	}{
		{"no JSON", `{`, crmInvalidJSON, "not valid JSON"},
		{"no object", `[]`, crmInvalidJSON, "not a JSON object"},
		{"not UTF-8", "{\"a\":\"\xff\"}", crmInvalidJSON, "UTF-8"},
		{"a key twice", one + `,"token":"x"}`, crmInvalidJSON, "twice"},
		{"no token", strings.Replace(one, "{{token}}", "", 1) + `}`, crmInvalidToken, ""},
		{"wrong token", strings.Replace(one, "{{token}}", "x", 1) + `}`, crmInvalidToken, ""},
		{"no set", `{"token":"{{token}}"}`, crmInvalidParameter, "purchase_customer_events_set is mandatory"},
		{"empty set", `{"token":"{{token}}","purchase_customer_events_set":[]}`, crmInvalidParameter, "at least 1"},
		{"another method's set", `{"token":"{{token}}","web_customer_events_set":[{}]}`, crmInvalidParameter, "web_customer_events_set is not a parameter"},
		{"unknown key", one + `,"source":"x"}`, crmInvalidParameter, "source is not a parameter"},
		{"an item that is no object", `{"token":"{{token}}","purchase_customer_events_set":[1]}`, crmInvalidParameter, "must be of type JSONObject"},
		{"over the cap", `{"token":"{{token}}","purchase_customer_events_set":[` + strings.Join(many, ",") + `]}`, crmInvalidParameter, "more than 1000"},
		{"an item without id", `{"token":"{{token}}","purchase_customer_events_set":[{}]}`, crmInvalidParameter, "request_unique_identifier"},
		{"an id that is a number", `{"token":"{{token}}","purchase_customer_events_set":[{"request_unique_identifier":1}]}`, crmInvalidParameter, "request_unique_identifier"},
		{"an id twice", `{"token":"{{token}}","purchase_customer_events_set":[` + second + "," + second + `]}`, crmInvalidParameter, "unique in the call"},
		{"another currency", one + `,"intended_currency_identifier":{"code":"USD"}}`, crmCurrency, ""},
		{"two currencies", one + `,"intended_currency_identifier":{"code":"EUR","id":"1"}}`, crmInvalidParameter, "exactly one of id, code"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := New(Options{CRMCOM: CRMCOMOptions{Currency: "EUR"}})
			a := send(t, s, CRMCOM, crmPath("purchases"), tt.body)
			status, _ := a.json(t)["status"].(map[string]any)
			if a.status != http.StatusOK || status["code"] != tt.code || !strings.Contains(fmt.Sprint(status["description"]), tt.says) {
				t.Errorf("got %d %s, want %s %q", a.status, a.body, tt.code, tt.says)
			}
			stats := s.Ledger().Calls("crmcom.purchases")
			if s.Ledger().Count("crmcom.purchases") != 0 || stats.EnvelopeFailures != 1 || stats.Accepted != 0 {
				t.Errorf("ledger: %+v", stats)
			}
		})
	}
	s := New(Options{CRMCOM: CRMCOMOptions{Currency: "EUR"}})
	send(t, s, CRMCOM, crmPath("purchases"), one+`,"intended_currency_identifier":{"code":"EUR"},"fields_set":"id,number"}`)
	if s.Ledger().Count("crmcom.purchases") != 1 {
		t.Error("the unit's own currency is refused")
	}
	if a := do(s.Handler(CRMCOM), post(crmPath("purchases"), "text/plain", one+"}")); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d", a.status)
	}
}

func TestAParticipantIsReferredOnce(t *testing.T) {
	s := New(Options{})
	token := crmToken(t, s)
	again := with(t, referralItem, fields{"request_unique_identifier": "r-0-2", "referred_by_rewards_participant_identifier": fields{"number": "RP11"}})
	a := crm(t, s, "referrals", token, referralItem, again)
	if !strings.Contains(a.body, `"error_code":"ReferredByAnotherParticipantException","error_description":"Error:Participant RP17 Was Already Referred by Another Participant.`) {
		t.Errorf("got %s", a.body)
	}
	if e := s.Ledger().Accepted("crmcom.referrals"); len(e) != 1 || e[0].ID != "r-0-1" {
		t.Errorf("ledger has %+v", e)
	}
}

// batch is a call of customer/add.
func batch(customers ...string) string {
	return `{"ApproveAutomatically":true,"IsTest":false,"Customers":[` + strings.Join(customers, ",") + `]}`
}

func TestExpointsRefusesTheWholeBatch(t *testing.T) {
	change := func(changes fields) string { return batch(feedbackItem, with(t, other, changes)) }
	data := func(elements ...string) fields {
		return fields{"Data": json.RawMessage("[" + strings.Join(append(elements, `{"CustomerDataColumnId":15,"Value":"J"}`), ",") + "]")}
	}
	tests := []struct {
		name, body, key, says string
	}{
		{"over the cap", batch(strings.Split(strings.Repeat(feedbackItem+"\n", 201), "\n")[:201]...), "request.Customers", "at most 200"},
		{"no customers", `{"IsTest":true}`, "request.Customers", "is mandatory"},
		{"an empty batch", batch(), "request.Customers", "at least 1"},
		{"unknown key", strings.Replace(batch(feedbackItem), "{", `{"Source":"x",`, 1), "request.Source", "not a parameter"},
		{"key in another case", strings.Replace(batch(feedbackItem), "IsTest", "isTest", 1), "request.isTest", "not a parameter"},
		{"null where the table has none", strings.Replace(batch(feedbackItem), "false", "null", 1), "request.IsTest", "type Boolean"},
		{"unknown batch type", strings.Replace(batch(feedbackItem), "{", `{"TypeBatch":"sms",`, 1), "request.TypeBatch", "one of"},
		{"batch type 2", strings.Replace(batch(feedbackItem), "{", `{"TypeBatch":2,`, 1), "request.TypeBatch", "0 or 1"},
		{"end date", strings.Replace(batch(feedbackItem), "{", `{"EndDate":"soon",`, 1), "request.EndDate", "RFC 3339"},
		{"no address", change(fields{"Email": absent}), "request.Customers[1].Email", "is mandatory"},
		{"the same address", batch(feedbackItem, strings.Replace(feedbackItem, "a@", "A@", 1)), "request.Customers[1].Email", "unique"},
		{"address of another type", change(fields{"Email": 1}), "request.Customers[1].Email", "type String"},
		{"unknown customer key", change(fields{"Name": "x"}), "request.Customers[1].Name", "not a parameter"},
		{"nine digits of a second", change(fields{"SendDate": "2025-01-18T05:53:05.461846712+01:00"}), "request.Customers[1].SendDate", "7 digits"},
		{"a time without offset", change(fields{"SendDate": "2025-01-18T05:53:05"}), "request.Customers[1].SendDate", "RFC 3339"},
		{"priority as text", change(fields{"Priority": "1"}), "request.Customers[1].Priority", "type Integer"},
		{"previous id over 32 bits", change(fields{"PreviousId": 1 << 33}), "request.Customers[1].PreviousId", "32-bit"},
		{"unknown column", change(data(`{"CustomerDataColumnId":99,"Value":"x"}`)), "request.Customers[1].Data[0].CustomerDataColumnId", "does not exist"},
		{"archived column", change(data(`{"CustomerDataColumnId":16,"Value":"x"}`)), "request.Customers[1].Data[0].CustomerDataColumnId", "does not exist"},
		{"column without id", change(data(`{"Name":"x","Value":"x"}`)), "request.Customers[1].Data[0].CustomerDataColumnId", "is mandatory"},
		{"column without value", change(data(`{"CustomerDataColumnId":1}`)), "request.Customers[1].Data[0].Value", "is mandatory"},
		{"number as value", change(data(`{"CustomerDataColumnId":1,"Value":1}`)), "request.Customers[1].Data[0].Value", "type String"},
		{"no required column", change(fields{"Data": absent}), "request.Customers[1].Data.First_name_customer", "is mandatory"},
		{"question as text", change(fields{"Answers": []fields{{"BaseQuestionId": "x"}}}), "request.Customers[1].Answers[0].BaseQuestionId", "type Integer"},
		{"file that is no base64", change(fields{"Answers": []fields{{"FileAnswers": []fields{{"Data": "%"}}}}}), "request.Customers[1].Answers[0].FileAnswers[0].Data", "base64"},
		{"no JSON", `{`, "request", "not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := New(Options{Expoints: ExpointsOptions{Columns: columns, EventIDColumn: "event_id"}})
			refusedByExpoints(t, s, "add", tt.body, tt.key, tt.says)
		})
	}
}

const other = `{"Email":"b@example.com","Data":[{"CustomerDataColumnId":15,"Value":"J"}]}`

// refusedByExpoints fails the test unless the call is a 400 that says so at a key, and nothing is in the ledger.
func refusedByExpoints(t *testing.T, s *Server, operation, body, key, says string) {
	t.Helper()
	a := send(t, s, Expoints, expointsPath(operation), body)
	state, _ := a.json(t)["ModelState"].(map[string]any)
	if a.status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(state[key]), says) {
		t.Errorf("got %d %s, want %s: %q", a.status, a.body, key, says)
	}
	if stats := s.Ledger().Calls("expoints." + operation); s.Ledger().Count("expoints."+operation) != 0 || stats.Failures[400] != 1 {
		t.Errorf("ledger: %+v", stats)
	}
}

func TestExpointsRefusesFinishedCustomersAndLocks(t *testing.T) {
	tests := []struct{ operation, body, key, says string }{
		{"addfinished", `{"IsTest":true}`, "request.Customer", "is mandatory"},
		{"addfinished", `{"Customer":{"QuestionnaireId":"x"}}`, "request.Customer.QuestionnaireId", "globally unique identifier"},
		{"addfinished", `{"Customer":{"Answers":[{"QuestionId":1}]}}`, "request.Customer.Answers[0].QuestionId", "type String"},
		{"addfinished", `{"Customer":{"Data":[{"CustomerDataColumnId":99,"Value":"x"}]}}`, "request.Customer.Data[0].CustomerDataColumnId", "does not exist"},
		{"addfinished", `{"Customer":{"SendDate":"2025-01-18"}}`, "request.Customer.SendDate", "not a parameter"},
		{"addlock", `{"OptIn":"yes"}`, "request.OptIn", "type Boolean"},
		{"addlock", `{"Email":null}`, "request.Email", "type String"},
		{"addlock", `{"CustomerId":1.5}`, "request.CustomerId", "32-bit"},
		{"addlock", `{"Data":[{"CustomerDataColumnId":99,"Value":"x"}]}`, "request.Data[0].CustomerDataColumnId", "does not exist"},
	}
	for _, tt := range tests {
		t.Run(tt.operation+"/"+tt.says, func(t *testing.T) {
			refusedByExpoints(t, New(Options{Expoints: ExpointsOptions{Columns: columns}}), tt.operation, tt.body, tt.key, tt.says)
		})
	}
}

func TestExpointsTakesWhatThePageAllows(t *testing.T) {
	twice := strings.Replace(batch(feedbackItem, feedbackItem), "{", `{"AllowDuplicateEmail":true,`, 1)
	tests := map[string]string{
		"an address twice where allowed":    twice,
		"a portal batch without addresses":  strings.Replace(batch(with(t, feedbackItem, fields{"Email": absent})), "{", `{"TypeBatch":"portal",`, 1),
		"batch type as number":              strings.Replace(batch(feedbackItem), "{", `{"TypeBatch":0,`, 1),
		"an address that is not valid":      batch(with(t, feedbackItem, fields{"Email": "nobody"})),
		"no transaction date":               batch(with(t, feedbackItem, fields{"TransactionDate": nil})),
		"dates without time, and in UTC":    batch(with(t, feedbackItem, fields{"SendDate": "2025-01-18", "EndDate": "2025-01-18T05:53:05Z"})),
		"a batch without end and send time": strings.Replace(batch(feedbackItem), "{", `{"EndDate":null,"SendTime":null,`, 1),
	}
	for name, body := range tests {
		s := New(Options{Expoints: ExpointsOptions{Columns: columns, EventIDColumn: "event_id"}})
		if a := send(t, s, Expoints, expointsPath("add"), body); a.status != http.StatusOK || s.Ledger().Accepted("expoints.add")[0].ID != "e-1" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestPropelRefusesBeforeAnythingIsWritten(t *testing.T) {
	address := func(changes fields) fields {
		return fields{"addresses": []json.RawMessage{json.RawMessage(with(t,
			`{"type":"invoice","code":"I","street":"S","city":"C","country":"NL"}`, changes))}}
	}
	tests := []struct {
		change fields
		says   string
	}{
		{fields{"source": absent}, "#/customers/1: required key [source] not found"},
		{fields{"sourceId": absent}, "#/customers/1: required key [sourceId] not found"},
		{fields{"sourceId": ""}, "#/customers/1: required key [sourceId] not found"},
		{fields{"sourceId": 3002196}, "#/customers/1/sourceId: expected type: String, found: Integer"},
		{fields{"firstName": nil}, "#/customers/1/firstName: expected type: String, found: Null"},
		{fields{"language": "NL"}, "#/customers/1: extraneous key [language] is not permitted"},
		{fields{"primaryLanguage": "Dutch"}, "#/customers/1/primaryLanguage: must be an ISO 639-1 code"},
		{fields{"gender": "x"}, "#/customers/1/gender: must be one of"},
		{fields{"dateOfBirth": "1980-02-30"}, "#/customers/1/dateOfBirth: must be a date"},
		{fields{"dateOfBirth": "1980-02-28T00:00:00Z"}, "#/customers/1/dateOfBirth: must be a date"},
		{fields{"email": "nobody"}, "#/customers/1/email: must be a valid email address"},
		{fields{"debtorId": 1.5}, "#/customers/1/debtorId: must be a 32-bit integer"},
		{fields{"parent": fields{"source": "x"}}, "#/customers/1/parent: must be exactly one of id, sourceId"},
		{fields{"parent": fields{"id": 1, "source": "x", "sourceId": "y"}}, "#/customers/1/parent: must be exactly one of id, source"},
		{fields{"addresses": fields{}}, "#/customers/1/addresses: expected type: JSONArray, found: JSONObject"},
		{address(fields{"code": absent}), "#/customers/1/addresses/0: required key [code] not found"},
		{address(fields{"street": absent}), "#/customers/1/addresses/0: required key [street] not found"},
		{address(fields{"city": absent}), "#/customers/1/addresses/0: required key [city] not found"},
		{address(fields{"type": absent}), "#/customers/1/addresses/0: required key [type] not found"},
		{address(fields{"type": "home"}), "#/customers/1/addresses/0/type: must be one of delivery, invoice"},
		{address(fields{"country": "Netherlands"}), "#/customers/1/addresses/0/country: must be an ISO 3166-1 alpha-2 code"},
		{address(fields{"icp": true}), "#/customers/1/addresses/0/icp: expected type: String, found: Boolean"},
		{address(fields{"isDefault": "yes"}), "#/customers/1/addresses/0/isDefault: must be one of Y, N"},
	}
	for _, tt := range tests {
		t.Run(tt.says, func(t *testing.T) {
			s := New(Options{})
			refusedByPropel(t, s, `{"customers":[`+customerItem+`,`+with(t, customerItem, tt.change)+`]}`, "SchemaValidationException", tt.says)
		})
	}
	refusedByPropel(t, New(Options{}), `{`, "InvalidJSONPayload", "not valid JSON")
	refusedByPropel(t, New(Options{}), `{"customers":[]}`, "SchemaValidationException", "#/customers: must have at least 1")
	refusedByPropel(t, New(Options{}), `{"customers":[`+customerItem+`],"source":"x"}`, "SchemaValidationException", "#: extraneous key [source]")
	refusedByPropel(t, New(Options{Propel: PropelOptions{MaxItems: 1}}), `{"customers":[`+customerItem+`,`+customerItem+`]}`, "PayloadValidationError", "more than 1")
}

func refusedByPropel(t *testing.T, s *Server, body, kind, says string) {
	t.Helper()
	a := send(t, s, Propel, propelPath, body)
	e, _ := a.json(t)["error"].(map[string]any)
	if a.status != http.StatusBadRequest || e["type"] != kind || !strings.Contains(fmt.Sprint(e["messages"]), says) {
		t.Errorf("got %d %s, want %s %q", a.status, a.body, kind, says)
	}
	if s.Ledger().Count("propel.customers") != 0 {
		t.Error("the ledger holds a refused item")
	}
}

func TestCallsWithoutLoginAreRefused(t *testing.T) {
	s := New(Options{Expoints: ExpointsOptions{Columns: columns, BearerToken: "static"}})
	tests := []struct {
		vendor     Vendor
		path, body string
	}{
		{Expoints, expointsPath("add"), batch(feedbackItem)},
		{Expoints, expointsPath("addfinished"), `{"Customer":{}}`},
		{Expoints, expointsPath("addlock"), `{}`},
		{Propel, propelPath, `{"customers":[` + customerItem + `]}`},
	}
	for _, tt := range tests {
		for _, header := range []string{"", "Bearer", "Bearer x", "Basic static"} {
			if a := do(s.Handler(tt.vendor), post(tt.path, jsonMedia, tt.body, "Authorization", header)); a.status != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d %s", tt.path, header, a.status, a.body)
			}
		}
	}
	if a := do(s.Handler(Expoints), bearing(expointsPath("add"), "static", batch(feedbackItem))); a.status != http.StatusOK {
		t.Errorf("the static token: %d %s", a.status, a.body)
	}
	if s.Ledger().Count("propel.customers")+s.Ledger().Count("expoints.add") != 1 {
		t.Error("the ledger holds a call without login")
	}
}

func TestABodyOverTheBoundIs413(t *testing.T) {
	s := New(Options{MaxBodyBytes: 100})
	if a := do(s.Handler(CRMCOM), post(crmPath("web"), jsonMedia, strings.Repeat(" ", 101))); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d", a.status)
	}
	if n := s.Ledger().Calls("crmcom.web").Failures[413]; n != 1 {
		t.Errorf("counted %d", n)
	}
}

func TestAnotherMethodIs405(t *testing.T) {
	r := post(propelPath, jsonMedia, "")
	r.Method = http.MethodPut
	if a := do(New(Options{}).Handler(Propel), r); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost {
		t.Errorf("got %d %v", a.status, a.header)
	}
}
