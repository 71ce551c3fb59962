package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestPropelCreatesThenUpdates(t *testing.T) {
	server := New(Options{Propel: PropelOptions{VersionField: "title"}})
	full := `{"customers":[{"source":"MBC","sourceId":"3002196","debtorId":7,"firstName":"A","middleName":"b","lastName":"C","abbreviation":"A.","title":"v1",
		"dateOfBirth":"1980-02-29","gender":"F","ssn":"1","phone":"1","email":"a@example.com","primaryLanguage":"NL","parent":{"id":1},
		"addresses":[{"type":"delivery","code":"D1","street":"S","city":"C","country":"NL","icp":"N","isDefault":"Y","gender":"U"}]}]}`
	for _, action := range []string{"create", "update"} {
		resp := postWithLogin(t, server, Propel, propelPath, full)
		want := `{"data":[{"action":"` + action +
			`","id":25494,"key":3002196,"lookupKey":"sourceId","success":true}],"messages":["Completed"],"total":1}`
		if resp.status != http.StatusOK || resp.body != want {
			t.Errorf("got %d %s, want %s", resp.status, resp.body, want)
		}
		if resp.header.Get("x-request-id") == "" {
			t.Error("the response has no x-request-id")
		}
	}
	entries := server.Ledger().AcceptedEntries("propel.customers")
	if len(entries) != 2 || entries[0].ID != "MBC/3002196" || entries[0].Version != "v1" || entries[1].Times != 2 {
		t.Errorf("ledger: got %+v, want two entries of MBC/3002196", entries)
	}
}

func TestPropelReproducesTheDocumentedRefusal(t *testing.T) {
	server := New(Options{})
	resp := postWithLogin(
		t, server, Propel, propelPath, `{"customers":[{"source":"MBC","sourceId":"1","company":"x"}]}`,
	)
	want := `{"error":{"code":10007,"messages":["#/customers/0: extraneous key [company] is not permitted"],"moreInfo":"https://www.propel.us/docs/errors/10007","status":400,"type":"SchemaValidationException"}}`
	if resp.status != http.StatusBadRequest || resp.body != want {
		t.Errorf("got %d %s, want 400 %s", resp.status, resp.body, want)
	}
	if server.Ledger().Count("propel.customers") != 0 {
		t.Error("the ledger contains a refused item")
	}
}

func TestPropelRefusesAnInvalidCallBeforeWriting(t *testing.T) {
	address := func(changes fields) fields {
		return fields{"addresses": []json.RawMessage{json.RawMessage(withChanges(
			`{"type":"invoice","code":"I","street":"S","city":"C","country":"NL"}`, changes))}}
	}
	tests := []struct {
		change fields
		text   string
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
		{fields{"email": "two words@example.org"}, "#/customers/1/email: must be a valid email address"},
		{fields{"email": "nobody"}, "#/customers/1/email: must be a valid email address"},
		{fields{"debtorId": 1.5}, "#/customers/1/debtorId: must be an integer"},
		{fields{"parent": fields{"source": "x"}}, "#/customers/1/parent: must be exactly one of id, sourceId"},
		{
			fields{"parent": fields{"id": 1, "source": "x", "sourceId": "y"}},
			"#/customers/1/parent: must be exactly one of id, source",
		},
		{fields{"addresses": fields{}}, "#/customers/1/addresses: expected type: JSONArray, found: JSONObject"},
		{address(fields{"code": absent}), "#/customers/1/addresses/0: required key [code] not found"},
		{address(fields{"street": absent}), "#/customers/1/addresses/0: required key [street] not found"},
		{address(fields{"city": absent}), "#/customers/1/addresses/0: required key [city] not found"},
		{address(fields{"type": absent}), "#/customers/1/addresses/0: required key [type] not found"},
		{address(fields{"type": "home"}), "#/customers/1/addresses/0/type: must be one of delivery, invoice"},
		{
			address(fields{"country": "Netherlands"}),
			"#/customers/1/addresses/0/country: must be an ISO 3166-1 alpha-2 code",
		},
		{address(fields{"icp": true}), "#/customers/1/addresses/0/icp: expected type: String, found: Boolean"},
		{address(fields{"isDefault": "yes"}), "#/customers/1/addresses/0/isDefault: must be one of Y, N"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			server := New(Options{})
			checkPropelRefusal(
				t, server, `{"customers":[`+customerItem+`,`+withChanges(customerItem, tt.change)+`]}`,
				"SchemaValidationException", tt.text,
			)
		})
	}
	checkPropelRefusal(t, New(Options{}), `{`, "InvalidJSONPayload", "not valid JSON")
	checkPropelRefusal(
		t, New(Options{}), `{"customers":[]}`, "SchemaValidationException", "#/customers: must have at least 1",
	)
	checkPropelRefusal(
		t, New(Options{}), `{"customers":[`+customerItem+`],"source":"x"}`, "SchemaValidationException",
		"#: extraneous key [source]",
	)
	checkPropelRefusal(
		t, New(Options{Propel: PropelOptions{MaxItems: 1}}), `{"customers":[`+customerItem+`,`+customerItem+`]}`,
		"PayloadValidationError", "more than 1",
	)
}

func TestPropelAcceptsBothDocumentedFormsOfAField(t *testing.T) {
	for _, change := range []fields{
		{"parent": fields{"source": "MBC", "sourceId": "1"}}, {"parent": fields{"id": "1"}},
		{"parent": fields{"id": 1 << 40}}, {"gender": "u"}, {"debtorId": "D1"}, {"ssn": 1}, {"ssn": 93051822361},
		{"sourceId": "007"}, {"addresses": []int{}},
	} {
		server := New(Options{})
		resp := postWithLogin(t, server, Propel, propelPath, `{"customers":[`+withChanges(customerItem, change)+`]}`)
		if resp.status != http.StatusOK || server.Ledger().Count("propel.customers") != 1 {
			t.Errorf("%v: got %d %s, want 200 and one ledger entry", change, resp.status, resp.body)
		}
		if strings.Contains(resp.body, `"key":007`) || strings.Contains(resp.body, `"key":7`) {
			t.Errorf("key: got %s, want the leading zeros kept", resp.body)
		}
	}
}

func checkPropelRefusal(t *testing.T, server *Server, body, kind, text string) {
	t.Helper()
	resp := postWithLogin(t, server, Propel, propelPath, body)
	e, _ := resp.decodeJSON(t)["error"].(map[string]any)
	if resp.status != http.StatusBadRequest || e["type"] != kind || !strings.Contains(fmt.Sprint(e["messages"]), text) {
		t.Errorf("got %d %s, want 400 with %s and %q", resp.status, resp.body, kind, text)
	}
	if server.Ledger().Count("propel.customers") != 0 {
		t.Error("the ledger contains a refused item")
	}
}
