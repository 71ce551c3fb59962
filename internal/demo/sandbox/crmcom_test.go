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

// crmItems are the smallest items that the page allows.
var crmItems = map[string]string{
	"purchases":              purchaseItem,
	"referrals":              referralItem,
	"achievements":           activityItem,
	"social_media":           withChanges(activityItem, fields{"social_media": "FACEBOOK", "profile": "p", "action": "LIKE", "classification_identifier": absent}),
	"web":                    withChanges(activityItem, fields{"website": "www.crm.com", "classification_identifier": absent}),
	"financial_achievements": activityItem,
	"financial_statements":   activityItem,
}

// purchaseItems are n items with the ids p-0-0, p-0-1, ... and the accounts ACR0, ACR1, ...
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

// TestCRMCOMAnswersThePagesExamplesAsThePageDoes catches a rule that is stricter than the page, and an answer of another form.
func TestCRMCOMAnswersThePagesExamplesAsThePageDoes(t *testing.T) {
	for _, operation := range []string{"purchases", "referrals", "achievements", "social_media", "web", "financial_achievements"} {
		t.Run(operation, func(t *testing.T) {
			s := New(Options{CRMCOM: CRMCOMOptions{
				AccountExists: func(id string) bool { return strings.HasPrefix(id, "RP") || len(id) == len("ACR0000000228") },
				Referred:      []string{"RP0000000004"},
			}})
			resp := postWithLogin(t, s, CRMCOM, crmPath(operation), readTestdata(t, "crmcom."+operation+".request.json"))
			want := clientResponse{body: readTestdata(t, "crmcom."+operation+".response.json")}.decodeJSON(t)
			if got := resp.decodeJSON(t); !reflect.DeepEqual(maskVendorNumbers(got), maskVendorNumbers(want)) {
				t.Errorf("got %v\nwant %v", got, want)
			}
			processed := want["data"].(map[string]any)["processed_customer_events_set"].([]any)
			if count := s.Ledger().Count("crmcom." + operation); count != len(processed) {
				t.Errorf("ledger has %d, want %d", count, len(processed))
			}
		})
	}
}

// maskVendorNumbers takes out what the vendor numbers itself.
func maskVendorNumbers(v map[string]any) map[string]any {
	for _, row := range v["data"].(map[string]any)["processed_customer_events_set"].([]any) {
		m := row.(map[string]any)
		for _, key := range []string{"id", "number"} {
			if text, _ := m[key].(string); text != "" {
				m[key] = "given"
			}
		}
	}
	return v
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
	for operation, item := range crmItems {
		s := New(Options{})
		resp := postCRMItems(t, s, operation, loginCRM(t, s), withChanges(withChanges(item, shared), optional[operation]))
		entries := s.Ledger().AcceptedEntries("crmcom." + operation)
		if len(entries) != 1 || entries[0].Reference != "ref-1" || entries[0].ID == "" {
			t.Errorf("%s: %s, ledger %+v", operation, resp.body, entries)
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

// crmItemRules are changes to the smallest item, and what the refusal says.
var crmItemRules = []struct {
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
	{"purchases", productWith(fields{"product_identifier": absent}), "products_set.0.product_identifier is mandatory"},
	{"purchases", productWith(fields{"net_amount": absent}), "products_set.0.net_amount is mandatory"},
	{"purchases", productWith(fields{"vat_amount": absent}), "products_set.0.vat_amount is mandatory"},
	{"purchases", productWith(fields{"total_amount": absent}), "products_set.0.total_amount is mandatory"},
	{"purchases", productWith(fields{"total_amount": "2"}), "products_set.0.total_amount must be of type Number, not String"},
	{"purchases", productWith(fields{"total_amount": json.Number("1E+2")}), "products_set.0.total_amount must be a number without exponent"},
	{"purchases", productWith(fields{"quantity": nil}), "products_set.0.quantity must be of type Number, not Null"},
	{"purchases", productWith(fields{"price": 1}), "products_set.0.price is not a parameter"},
	{"purchases", productWith(fields{"product_identifier": fields{"name": "x"}}), "products_set.0.product_identifier.name is not a parameter"},
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
	{"purchases", fields{"udf_float_5": 1}, "udf_float_5 is not a parameter"},
	{"purchases", fields{"udf_date_5": "2016-06-22T15:00:00"}, "udf_date_5 is not a parameter"},
	{"purchases", fields{"performed_by_unit_identifier": fields{"code": "x"}}, "performed_by_unit_identifier.code is not a parameter"},
	{"purchases", fields{"accounts_receivable_identifier": fields{"alternative_code": "x"}}, "accounts_receivable_identifier.alternative_code is not a parameter"},
	{"purchases", fields{"invoice_identifier": fields{"code": "x"}}, "invoice_identifier.code is not a parameter"},
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
	{"financial_statements", measureWith(fields{"key_performance_indicator_identifier": absent}), "key_performance_indicator_identifier is mandatory"},
	{"financial_statements", measureWith(fields{"value": absent}), "measured_key_performance_indicators_set.0.value is mandatory"},
	{"financial_statements", fields{"amount": 1}, "amount is not a parameter"},
}

// TestCRMCOMRefusesTheItemAlone has a row for each rule; the neighbour of the refused item is accepted.
func TestCRMCOMRefusesTheItemAlone(t *testing.T) {
	for _, tt := range crmItemRules {
		t.Run(tt.operation+"/"+tt.says, func(t *testing.T) {
			s := New(Options{})
			neighbour := withChanges(crmItems[tt.operation], fields{"request_unique_identifier": "good"})
			resp := postCRMItems(t, s, tt.operation, loginCRM(t, s), withChanges(crmItems[tt.operation], tt.change), neighbour)
			data, _ := resp.decodeJSON(t)["data"].(map[string]any)
			unprocessed, _ := data["unprocessed_customer_events_set"].([]any)
			if len(unprocessed) != 1 || !strings.Contains(fmt.Sprint(unprocessed[0]), tt.says) {
				t.Errorf("got %s, want %q", resp.body, tt.says)
			}
			if entries := s.Ledger().AcceptedEntries("crmcom." + tt.operation); len(entries) != 1 || entries[0].ID != "good" {
				t.Errorf("ledger has %+v, want the neighbour alone", entries)
			}
			if stats := s.Ledger().Calls("crmcom." + tt.operation); stats.Items != 2 || stats.Accepted != 1 || stats.Refused != 1 {
				t.Errorf("stats %+v", stats)
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
		{"a set without a name", `{"token":"{{token}}","":[` + purchaseItem + `]}`, crmInvalidParameter, "purchase_customer_events_set is mandatory"},
		{"unknown key", one + `,"source":"x"}`, crmInvalidParameter, "source is not a parameter"},
		{"an item that is no object", `{"token":"{{token}}","purchase_customer_events_set":[1]}`, crmInvalidParameter, "must be of type JSONObject"},
		{"over the cap", `{"token":"{{token}}","purchase_customer_events_set":[` + strings.Join(many, ",") + `]}`, crmInvalidParameter, "more than 1000"},
		{"an item without id", `{"token":"{{token}}","purchase_customer_events_set":[{}]}`, crmInvalidParameter, "request_unique_identifier"},
		{"an id that is a number", `{"token":"{{token}}","purchase_customer_events_set":[{"request_unique_identifier":1}]}`, crmInvalidParameter, "request_unique_identifier"},
		{"an id twice", `{"token":"{{token}}","purchase_customer_events_set":[` + second + "," + second + `]}`, crmInvalidParameter, "unique in the call"},
		{"another currency", one + `,"intended_currency_identifier":{"code":"USD"}}`, crmCurrency, ""},
		{"a currency's name", one + `,"intended_currency_identifier":{"name":"Euro"}}`, crmInvalidParameter, "intended_currency_identifier.name is not a parameter"},
		{"two currencies", one + `,"intended_currency_identifier":{"code":"EUR","id":"1"}}`, crmInvalidParameter, "exactly one of id, code"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := New(Options{CRMCOM: CRMCOMOptions{Currency: "EUR"}})
			resp := postWithLogin(t, s, CRMCOM, crmPath("purchases"), tt.body)
			status, _ := resp.decodeJSON(t)["status"].(map[string]any)
			if resp.status != http.StatusOK || status["code"] != tt.code || !strings.Contains(fmt.Sprint(status["description"]), tt.says) {
				t.Errorf("got %d %s, want %s %q", resp.status, resp.body, tt.code, tt.says)
			}
			stats := s.Ledger().Calls("crmcom.purchases")
			if s.Ledger().Count("crmcom.purchases") != 0 || stats.EnvelopeFailures != 1 || stats.Accepted != 0 {
				t.Errorf("ledger: %+v", stats)
			}
		})
	}
	s := New(Options{CRMCOM: CRMCOMOptions{Currency: "EUR"}})
	postWithLogin(t, s, CRMCOM, crmPath("purchases"), one+`,"intended_currency_identifier":{"code":"EUR"},"fields_set":"id,number"}`)
	if s.Ledger().Count("crmcom.purchases") != 1 {
		t.Error("the unit's own currency is refused")
	}
	if resp := serveRequest(s.Handler(CRMCOM), newPost(crmPath("purchases"), "text/plain", one+"}")); resp.status != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d", resp.status)
	}
}

// The page prints the set of financial achievements, its later versions have one of its own.
func TestFinancialStatementsAreTakenByBothNamesOfTheirSet(t *testing.T) {
	const printed, later = `"financial_achievement_customer_events_set":[`, `"financial_statement_customer_events_set":[`
	s := New(Options{})
	one := crmItems["financial_statements"]
	for i, set := range []string{printed + one + "]", later + one + "]"} {
		resp := postWithLogin(t, s, CRMCOM, crmPath("financial_statements"), `{"token":"{{token}}",`+set+`}`)
		if count := s.Ledger().Count("crmcom.financial_statements"); count != i+1 {
			t.Errorf("%s: %d accepted, %s", set, count, resp.body)
		}
	}
	resp := postWithLogin(t, s, CRMCOM, crmPath("financial_statements"), `{"token":"{{token}}",`+printed+one+"],"+later+one+`]}`)
	if !strings.Contains(resp.body, "financial_achievement_customer_events_set is not a parameter") {
		t.Errorf("both at once: %s", resp.body)
	}
	resp = postWithLogin(t, s, CRMCOM, crmPath("financial_achievements"), `{"token":"{{token}}",`+later+one+`]}`)
	if !strings.Contains(resp.body, crmInvalidParameter) {
		t.Errorf("financial achievements by the name of statements: %s", resp.body)
	}
}

func TestAParticipantIsReferredOnce(t *testing.T) {
	s := New(Options{})
	token := loginCRM(t, s)
	again := withChanges(referralItem, fields{"request_unique_identifier": "r-0-2", "referred_by_rewards_participant_identifier": fields{"number": "RP11"}})
	resp := postCRMItems(t, s, "referrals", token, referralItem, again)
	if !strings.Contains(resp.body, `"error_code":"ReferredByAnotherParticipantException","error_description":"Error:Participant RP17 Was Already Referred by Another Participant.`) {
		t.Errorf("got %s", resp.body)
	}
	if e := s.Ledger().AcceptedEntries("crmcom.referrals"); len(e) != 1 || e[0].ID != "r-0-1" {
		t.Errorf("ledger has %+v", e)
	}
}
