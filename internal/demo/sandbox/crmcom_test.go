package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const activityItem = `{"request_unique_identifier":"a-0-1","accounts_receivable_identifier":{"number":"ACR1"},"classification_identifier":{"name":"C"},"performed_by_unit_identifier":{"name":"Admin Unit"},"performed_on":"2016-06-22T15:00:00"}`

// crmItems are the smallest items that the document allows.
var crmItems = map[string]string{
	"purchases":    purchaseItem,
	"referrals":    referralItem,
	"achievements": activityItem,
	"social_media": withChanges(activityItem, fields{
		"social_media": "FACEBOOK", "profile": "p", "action": "LIKE", "classification_identifier": absent,
	}),
	"web": withChanges(activityItem, fields{
		"website": "www.crm.com", "classification_identifier": absent,
	}),
	"financial_achievements": activityItem,
	"financial_statements":   activityItem,
}

// purchaseItems returns purchases with the ids p-0-0, p-0-1, ... and the accounts ACR0, ACR1, ...
func purchaseItems(count int) []string {
	items := make([]string, count)
	for i := range items {
		items[i] = withChanges(purchaseItem, fields{
			"request_unique_identifier":      fmt.Sprint("p-0-", i),
			"accounts_receivable_identifier": fields{"number": fmt.Sprint("ACR", i)},
		})
	}
	return items
}

// The test fails if a rule is stricter than the document, or if the format of a response differs.
func TestCRMCOMReproducesTheDocumentedExamples(t *testing.T) {
	for _, operation := range []string{
		"purchases", "referrals", "achievements", "social_media", "web", "financial_achievements",
	} {
		t.Run(operation, func(t *testing.T) {
			server := New(Options{CRMCOM: CRMCOMOptions{
				AccountExists: func(id string) bool {
					return strings.HasPrefix(id, "RP") || len(id) == len("ACR0000000228")
				},
				Referred: []string{"RP0000000004"},
			}})
			resp := postWithLogin(
				t, server, CRMCOM, crmPath(operation), readTestdata(t, "crmcom."+operation+".request.json"),
			)
			want := clientResponse{body: readTestdata(t, "crmcom."+operation+".response.json")}.decodeJSON(t)
			if got := resp.decodeJSON(t); !reflect.DeepEqual(maskVendorNumbers(got), maskVendorNumbers(want)) {
				t.Errorf("got %v\nwant %v", got, want)
			}
			processed := want["data"].(map[string]any)["processed_customer_events_set"].([]any)
			if count := server.Ledger().Count("crmcom." + operation); count != len(processed) {
				t.Errorf("ledger entries: got %d, want %d", count, len(processed))
			}
		})
	}
}

// maskVendorNumbers replaces the numbers and ids that the vendor assigns.
func maskVendorNumbers(document map[string]any) map[string]any {
	for _, row := range document["data"].(map[string]any)["processed_customer_events_set"].([]any) {
		m := row.(map[string]any)
		for _, key := range []string{"id", "number"} {
			if text, _ := m[key].(string); text != "" {
				m[key] = "given"
			}
		}
	}
	return document
}

func TestCRMCOMAcceptsEveryDocumentedField(t *testing.T) {
	byName, byCode := fields{"alternative_code": "x"}, fields{"id": "x"}
	optional := map[string]fields{
		"purchases": {
			"classification_identifier": byName, "payment_medium_brand_identifier": byName,
			"payment_medium_type_identifier": byName,
			"payment_medium_identifier":      "x", "invoice_identifier": fields{"back_office_code": "x"},
			"udf_string_16": "x",
		},
		"financial_achievements": {
			"product_identifier": byCode, "payment_medium_type_identifier": byName,
			"payment_medium_brand_identifier": byName,
			"payment_medium_identifier":       "x", "amount": json.Number("0.10"),
		},
		"financial_statements": {"measured_key_performance_indicators_set": []fields{
			{"key_performance_indicator_identifier": byName, "value": 1, "product_identifier": byCode}}},
	}
	shared := fields{
		"description": "x", "external_system": "x", "external_system_reference_number": "ref-1",
		"udf_string_8": "x", "udf_float_4": 1.5, "udf_date_4": "2016-06-22T15:00:00",
	}
	for operation, item := range crmItems {
		server := New(Options{})
		resp := postCRMItems(
			t, server, operation, loginCRM(t, server), withChanges(withChanges(item, shared), optional[operation]),
		)
		entries := server.Ledger().AcceptedEntries("crmcom." + operation)
		if len(entries) != 1 || entries[0].Reference != "ref-1" || entries[0].ID == "" {
			t.Errorf("%s: got %s and ledger %+v, want one entry with reference ref-1", operation, resp.body, entries)
		}
	}
}

func productWith(changes fields) fields {
	return fields{"products_set": []json.RawMessage{json.RawMessage(withChanges(
		`{"product_identifier":{"code":"B"},"net_amount":1,"vat_amount":1,"total_amount":2}`, changes))}}
}

func measureWith(changes fields) fields {
	return fields{"measured_key_performance_indicators_set": []json.RawMessage{json.RawMessage(withChanges(
		`{"key_performance_indicator_identifier":{"id":"1"},"value":1}`, changes))}}
}

// crmItemRules are changes to the smallest item, each with a text of the expected refusal.
var crmItemRules = []struct {
	operation string
	change    fields
	text      string
}{
	{"purchases", fields{"performed_by_unit_identifier": absent}, "performed_by_unit_identifier is mandatory"},
	{"purchases", fields{"performed_on": absent}, "performed_on is mandatory"},
	{"purchases", fields{"reference_number": absent}, "reference_number is mandatory"},
	{"purchases", fields{"reference_number": ""}, "reference_number is mandatory"},
	{"purchases", fields{"products_set": absent}, "products_set is mandatory"},
	{"purchases", fields{"products_set": []int{}}, "products_set must have at least 1 elements"},
	{"purchases", fields{"products_set": "x"}, "products_set must be of type JSONArray, not String"},
	{"purchases", fields{"products_set": []int{1}}, "products_set.0 must be of type JSONObject, not Integer"},
	{"purchases", productWith(fields{"product_identifier": absent}), "products_set.0.product_identifier is mandatory"},
	{"purchases", productWith(fields{"net_amount": absent}), "products_set.0.net_amount is mandatory"},
	{"purchases", productWith(fields{"vat_amount": absent}), "products_set.0.vat_amount is mandatory"},
	{"purchases", productWith(fields{"total_amount": absent}), "products_set.0.total_amount is mandatory"},
	{
		"purchases", productWith(fields{"total_amount": "2"}),
		"products_set.0.total_amount must be of type Number, not String",
	},
	{
		"purchases", productWith(fields{"total_amount": json.Number("1E+2")}),
		"products_set.0.total_amount must be a number without exponent",
	},
	{"purchases", productWith(fields{"quantity": nil}), "products_set.0.quantity must be of type Number, not Null"},
	{"purchases", productWith(fields{"price": 1}), "products_set.0.price is not a parameter"},
	{
		"purchases", productWith(fields{"product_identifier": fields{"name": "x"}}),
		"products_set.0.product_identifier.name is not a parameter",
	},
	{
		"purchases", fields{"accounts_receivable_identifier": absent},
		"exactly one of accounts_receivable_identifier, rewards_participant_identifier",
	},
	{
		"purchases", fields{"rewards_participant_identifier": fields{"id": "1"}},
		"exactly one of accounts_receivable_identifier, rewards_participant_identifier",
	},
	{
		"purchases", fields{"accounts_receivable_identifier": fields{"id": "1", "number": "2"}},
		"accounts_receivable_identifier must be exactly one of id, number, name",
	},
	{
		"purchases", fields{"accounts_receivable_identifier": fields{}},
		"accounts_receivable_identifier must be exactly one of id, number, name",
	},
	{
		"purchases", fields{"accounts_receivable_identifier": fields{"number": ""}},
		"accounts_receivable_identifier must be exactly one of id, number, name",
	},
	{
		"purchases", fields{"accounts_receivable_identifier": "ACR1"},
		"accounts_receivable_identifier must be of type JSONObject, not String",
	},
	{
		"purchases", fields{"performed_on": "2016-06-22T15:00:00Z"},
		"performed_on must be a date such as 2006-01-02T15:04:05",
	},
	{"purchases", fields{"performed_on": "2016-06-22T15:00:00.5"}, "performed_on must be a date"},
	{"purchases", fields{"performed_on": "2016-02-30T15:00:00"}, "performed_on must be a date"},
	{"purchases", fields{"udf_string_17": "x"}, "udf_string_17 is not a parameter"},
	{"purchases", fields{"udf_float_5": 1}, "udf_float_5 is not a parameter"},
	{"purchases", fields{"udf_date_5": "2016-06-22T15:00:00"}, "udf_date_5 is not a parameter"},
	{
		"purchases", fields{"performed_by_unit_identifier": fields{"code": "x"}},
		"performed_by_unit_identifier.code is not a parameter",
	},
	{
		"purchases", fields{"accounts_receivable_identifier": fields{"alternative_code": "x"}},
		"accounts_receivable_identifier.alternative_code is not a parameter",
	},
	{"purchases", fields{"invoice_identifier": fields{"code": "x"}}, "invoice_identifier.code is not a parameter"},
	{"purchases", fields{"udf_float_1": "1.5"}, "udf_float_1 must be of type Number, not String"},
	{"purchases", fields{"udf_date_1": 1}, "udf_date_1 must be of type String, not Integer"},
	{"purchases", fields{"description": nil}, "description must be of type String, not Null"},
	{"purchases", fields{"company": "x"}, "company is not a parameter"},
	{"achievements", fields{"classification_identifier": absent}, "classification_identifier is mandatory"},
	{"achievements", fields{"udf_string_9": "x"}, "udf_string_9 is not a parameter"},
	{"achievements", fields{"products_set": []int{}}, "products_set is not a parameter"},
	{
		"referrals", fields{"referred_rewards_participant_identifier": absent},
		"referred_rewards_participant_identifier is mandatory",
	},
	{
		"referrals", fields{"referred_by_rewards_participant_identifier": absent},
		"referred_by_rewards_participant_identifier is mandatory",
	},
	{
		"referrals", fields{"referred_rewards_participant_identifier": fields{"name": "x"}},
		"referred_rewards_participant_identifier.name is not a parameter",
	},
	{
		"referrals", fields{"accounts_receivable_identifier": fields{"id": "x"}},
		"accounts_receivable_identifier is not a parameter",
	},
	{"social_media", fields{"social_media": absent}, "social_media is mandatory"},
	{"social_media", fields{"social_media": "TWITTER"}, "social_media must be one of FACEBOOK"},
	{"social_media", fields{"profile": absent}, "profile is mandatory"},
	{"social_media", fields{"action": absent}, "action is mandatory"},
	{"social_media", fields{"action": "SHARE"}, "action must be one of LIKE"},
	{"web", fields{"website": absent}, "website is mandatory"},
	{"financial_achievements", fields{"classification_identifier": absent}, "classification_identifier is mandatory"},
	{"financial_achievements", fields{"amount": true}, "amount must be of type Number, not Boolean"},
	{"financial_statements", fields{"classification_identifier": absent}, "classification_identifier is mandatory"},
	{
		"financial_statements", measureWith(fields{"key_performance_indicator_identifier": absent}),
		"key_performance_indicator_identifier is mandatory",
	},
	{
		"financial_statements", measureWith(fields{"value": absent}),
		"measured_key_performance_indicators_set.0.value is mandatory",
	},
	{"financial_statements", fields{"amount": 1}, "amount is not a parameter"},
}

// There is one row per rule. The valid item next to the refused one must be accepted.
func TestCRMCOMRefusesOnlyTheInvalidItem(t *testing.T) {
	for _, tt := range crmItemRules {
		t.Run(tt.operation+"/"+tt.text, func(t *testing.T) {
			server := New(Options{})
			validItem := withChanges(crmItems[tt.operation], fields{"request_unique_identifier": "good"})
			resp := postCRMItems(
				t, server, tt.operation, loginCRM(t, server), withChanges(crmItems[tt.operation], tt.change), validItem,
			)
			data, _ := resp.decodeJSON(t)["data"].(map[string]any)
			unprocessed, _ := data["unprocessed_customer_events_set"].([]any)
			if len(unprocessed) != 1 || !strings.Contains(fmt.Sprint(unprocessed[0]), tt.text) {
				t.Errorf("got %s, want %q", resp.body, tt.text)
			}
			if entries := server.Ledger().AcceptedEntries("crmcom." + tt.operation); len(entries) != 1 ||
				entries[0].ID != "good" {
				t.Errorf("ledger: got %+v, want only the valid item", entries)
			}
			if stats := server.Ledger().Calls("crmcom." + tt.operation); stats.Items != 2 || stats.Accepted != 1 ||
				stats.Refused != 1 {
				t.Errorf("got stats %+v, want 2 items, 1 accepted and 1 refused", stats)
			}
		})
	}
}

// onePurchase is a call with one valid purchase, without the closing brace.
const onePurchase = `{"token":"{{token}}","purchase_customer_events_set":[` + purchaseItem + `]`

func TestCRMCOMFailsTheEnvelopeOfAnInvalidCall(t *testing.T) {
	tests := []struct {
		name, body, code, text string
	}{
		{"invalid JSON", `{`, crmInvalidJSON, "not valid JSON"},
		{"not an object", `[]`, crmInvalidJSON, "not a JSON object"},
		{"not UTF-8", "{\"a\":\"\xff\"}", crmInvalidJSON, "UTF-8"},
		{"duplicate key", onePurchase + `,"token":"x"}`, crmInvalidJSON, "twice"},
		{"no token", strings.Replace(onePurchase, "{{token}}", "", 1) + `}`, crmInvalidToken, ""},
		{"wrong token", strings.Replace(onePurchase, "{{token}}", "x", 1) + `}`, crmInvalidToken, ""},
		{"no set", `{"token":"{{token}}"}`, crmInvalidParameter, "purchase_customer_events_set is mandatory"},
		{"empty set", `{"token":"{{token}}","purchase_customer_events_set":[]}`, crmInvalidParameter, "at least 1"},
		{
			"set of another method", `{"token":"{{token}}","web_customer_events_set":[{}]}`, crmInvalidParameter,
			"web_customer_events_set is not a parameter",
		},
		{
			"set with an empty name", `{"token":"{{token}}","":[` + purchaseItem + `]}`, crmInvalidParameter,
			"purchase_customer_events_set is mandatory",
		},
		{"unknown key", onePurchase + `,"source":"x"}`, crmInvalidParameter, "source is not a parameter"},
		{"another currency", onePurchase + `,"intended_currency_identifier":{"code":"USD"}}`, crmCurrency, ""},
		{
			"currency by name", onePurchase + `,"intended_currency_identifier":{"name":"Euro"}}`, crmInvalidParameter,
			"intended_currency_identifier.name is not a parameter",
		},
		{
			"two currencies", onePurchase + `,"intended_currency_identifier":{"code":"EUR","id":"1"}}`, crmInvalidParameter,
			"exactly one of id, code",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkEnvelopeFailure(t, tt.body, tt.code, tt.text) })
	}
}

func TestCRMCOMFailsTheEnvelopeOfACallWithInvalidItems(t *testing.T) {
	second := strings.Replace(purchaseItem, "p-0-1", "p-0-2", 1)
	many := make([]string, crmMaxItems+1)
	for i := range many {
		many[i] = strings.Replace(purchaseItem, "p-0-1", fmt.Sprint("p-0-", i), 1)
	}
	tests := []struct {
		name, body, code, text string
	}{
		{
			"item that is not an object", `{"token":"{{token}}","purchase_customer_events_set":[1]}`,
			crmInvalidParameter, "must be of type JSONObject",
		},
		{
			"more than the maximum",
			`{"token":"{{token}}","purchase_customer_events_set":[` + strings.Join(many, ",") + `]}`,
			crmInvalidParameter, "more than 1000",
		},
		{
			"item without an id", `{"token":"{{token}}","purchase_customer_events_set":[{}]}`, crmInvalidParameter,
			"request_unique_identifier",
		},
		{
			"id that is a number",
			`{"token":"{{token}}","purchase_customer_events_set":[{"request_unique_identifier":1}]}`,
			crmInvalidParameter, "request_unique_identifier",
		},
		{
			"duplicate id", `{"token":"{{token}}","purchase_customer_events_set":[` + second + "," + second + `]}`,
			crmInvalidParameter, "unique in the call",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkEnvelopeFailure(t, tt.body, tt.code, tt.text) })
	}
}

// checkEnvelopeFailure checks that the whole call fails with the code and the text.
func checkEnvelopeFailure(t *testing.T, body, code, text string) {
	t.Helper()
	server := New(Options{CRMCOM: CRMCOMOptions{Currency: "EUR"}})
	resp := postWithLogin(t, server, CRMCOM, crmPath("purchases"), body)
	status, _ := resp.decodeJSON(t)["status"].(map[string]any)
	if resp.status != http.StatusOK || status["code"] != code ||
		!strings.Contains(fmt.Sprint(status["description"]), text) {
		t.Errorf("got %d %s, want %s %q", resp.status, resp.body, code, text)
	}
	stats := server.Ledger().Calls("crmcom.purchases")
	if server.Ledger().Count("crmcom.purchases") != 0 || stats.EnvelopeFailures != 1 || stats.Accepted != 0 {
		t.Errorf("got stats %+v, want nothing accepted and one failed envelope", stats)
	}
}

func TestCRMCOMAcceptsTheCurrencyOfTheUnit(t *testing.T) {
	server := New(Options{CRMCOM: CRMCOMOptions{Currency: "EUR"}})
	postWithLogin(
		t, server, CRMCOM, crmPath("purchases"),
		onePurchase+`,"intended_currency_identifier":{"code":"EUR"},"fields_set":"id,number"}`,
	)
	if server.Ledger().Count("crmcom.purchases") != 1 {
		t.Error("the unit's own currency was refused")
	}
}

func TestCRMCOMRefusesAnotherMediaType(t *testing.T) {
	server := New(Options{CRMCOM: CRMCOMOptions{Currency: "EUR"}})
	if resp := serveRequest(
		server.Handler(CRMCOM), newPost(crmPath("purchases"), "text/plain", onePurchase+"}"),
	); resp.status != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: got %d, want 415", resp.status)
	}
}

// The document prints the set name of financial achievements; its later versions have a separate
// name.
func TestFinancialStatementsAreAcceptedUnderBothSetNames(t *testing.T) {
	const printed, later = `"financial_achievement_customer_events_set":[`, `"financial_statement_customer_events_set":[`
	server := New(Options{})
	one := crmItems["financial_statements"]
	for i, set := range []string{printed + one + "]", later + one + "]"} {
		resp := postWithLogin(t, server, CRMCOM, crmPath("financial_statements"), `{"token":"{{token}}",`+set+`}`)
		if count := server.Ledger().Count("crmcom.financial_statements"); count != i+1 {
			t.Errorf("%s: got %d accepted items and %s, want %d", set, count, resp.body, i+1)
		}
	}
	resp := postWithLogin(
		t, server, CRMCOM, crmPath("financial_statements"), `{"token":"{{token}}",`+printed+one+"],"+later+one+`]}`,
	)
	if !strings.Contains(resp.body, "financial_achievement_customer_events_set is not a parameter") {
		t.Errorf("both names in one call: got %s, want a refusal", resp.body)
	}
	resp = postWithLogin(t, server, CRMCOM, crmPath("financial_achievements"), `{"token":"{{token}}",`+later+one+`]}`)
	if !strings.Contains(resp.body, crmInvalidParameter) {
		t.Errorf("financial achievements under the name of statements: got %s, want a refusal", resp.body)
	}
}

func TestParticipantCanBeReferredOnlyOnce(t *testing.T) {
	server := New(Options{})
	token := loginCRM(t, server)
	again := withChanges(referralItem, fields{
		"request_unique_identifier": "r-0-2", "referred_by_rewards_participant_identifier": fields{"number": "RP11"},
	})
	resp := postCRMItems(t, server, "referrals", token, referralItem, again)
	if !strings.Contains(
		resp.body,
		`"error_code":"ReferredByAnotherParticipantException","error_description":"Error:Participant RP17 Was Already Referred by Another Participant.`,
	) {
		t.Errorf("got %s, want the second referral refused", resp.body)
	}
	if entries := server.Ledger().AcceptedEntries("crmcom.referrals"); len(entries) != 1 || entries[0].ID != "r-0-1" {
		t.Errorf("ledger: got %+v, want r-0-1 only", entries)
	}
}
