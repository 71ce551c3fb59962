package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// FuzzCall compares the response with the ledger: the accepted items are exactly those that the
// response reports as accepted, and their bodies are part of the request.
func FuzzCall(f *testing.F) {
	for _, operation := range []string{
		"purchases", "referrals", "achievements", "social_media", "web", "financial_achievements",
	} {
		f.Add(readTestdata(f, "crmcom."+operation+".request.json"), "crmcom."+operation)
	}
	for _, operation := range []string{"add", "addfinished", "addlock"} {
		f.Add(readTestdata(f, "expoints."+operation+".request.json"), "expoints."+operation)
	}
	f.Add(customerBatch(feedbackItem, otherFeedbackItem), "expoints.add")
	f.Add(`{"customers":[`+customerItem+`,`+customerItem+`]}`, "propel.customers")
	f.Add(
		`{"username":"sandbox-user","password":"sandbox-password","organisation":"sandbox-organisation"}`,
		"crmcom.login",
	)
	f.Add(grantForm, "propel.token")
	f.Add(`{"a":[{"`, "crmcom.web")
	f.Add("", "expoints.columns")
	f.Fuzz(func(t *testing.T, body, operation string) {
		for _, instant := range []bool{true, false} {
			server := New(Options{
				Instant: instant, KeepBodies: true,
				Expoints: ExpointsOptions{Columns: testColumns, BearerToken: "static"},
			})
			for _, vendor := range []Vendor{CRMCOM, Expoints, Propel} {
				for _, endpoint := range endpointsOf(server, vendor) {
					if endpoint.operation == operation {
						checkFuzzedCall(t, server, vendor, endpoint, body)
					}
				}
			}
		}
	})
}

func endpointsOf(server *Server, vendor Vendor) []*endpoint {
	for _, page := range BuiltinPages(Options{}) {
		if page.Vendor == vendor {
			return page.newEndpoints(server)
		}
	}
	return nil
}

func checkFuzzedCall(t *testing.T, server *Server, vendor Vendor, target *endpoint, body string) {
	token := "static"
	switch vendor {
	case CRMCOM:
		token = loginCRM(t, server)
	case Expoints: // static
	case Propel:
		token = loginOAuth(t, server, Propel)
	}
	body = strings.ReplaceAll(body, "{{token}}", token)
	req := newBearerPost(target.path, token, body)
	req.Method = target.method
	if target.formBody {
		req.Header.Set("Content-Type", formMedia)
	}
	resp := serveRequest(server.Handler(vendor), req)
	entries := server.Ledger().AcceptedEntries(target.operation)
	if server.opts.Instant {
		if len(entries) != 0 {
			t.Error("the ledger has entries, want none with Instant")
		}
		return
	}
	for _, entry := range entries {
		if !json.Valid(entry.Body) || !strings.Contains(body, string(entry.Body)) {
			t.Errorf("the ledger contains %q, which was not sent", entry.Body)
		}
	}
	stats := server.Ledger().Calls(target.operation)
	if got := countConfirmed(t, resp, stats.Items); got != len(entries) || stats.Accepted != got ||
		stats.Accepted+stats.Refused > stats.Items {
		t.Errorf("%d %s: got %d confirmed items, want the ledger's %d; stats %+v",
			resp.status, resp.body, got, len(entries), stats)
	}
}

// countConfirmed returns the number of items that a response reports as accepted. The response to
// an accepted batch without results per item is a 200 without a body.
func countConfirmed(t *testing.T, resp clientResponse, items int) int {
	if resp.status != http.StatusOK {
		return 0
	}
	if resp.body == "" {
		return items
	}
	var rep struct {
		Data json.RawMessage
	}
	if err := json.Unmarshal([]byte(resp.body), &rep); err != nil {
		t.Fatalf("decoding the response %q: %v", resp.body, err)
	}
	var crm struct {
		Processed []any `json:"processed_customer_events_set"`
	}
	var rows []struct{ Success bool }
	if json.Unmarshal(rep.Data, &rows) != nil {
		_ = json.Unmarshal(rep.Data, &crm) // the data of a login has no rows
	}
	count := len(crm.Processed)
	for _, row := range rows {
		if row.Success {
			count++
		}
	}
	return count
}

// FuzzParseObject compares the parser with encoding/json. They must agree unless a key is
// duplicated.
func FuzzParseObject(f *testing.F) {
	f.Add([]byte(purchaseItem))
	f.Add([]byte(` { "a\u00e9" : [ 1.50 , -2e3 , true , false , null , { } , [ ] , "\"\\" ] } `))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"a":"\ud800"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		object, err := parseObject(body)
		if err != nil {
			return
		}
		var want any
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("got no error, encoding/json has %v", err)
		}
		if got := plainValue(object); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if !json.Valid(object.raw) {
			t.Errorf("raw: got %q, want valid JSON", object.raw)
		}
	})
}

// plainValue converts a value to the types of encoding/json.
func plainValue(v any) any {
	switch v := v.(type) {
	case *jsonObject:
		fields := make(map[string]any, len(v.fields))
		for key, value := range v.fields {
			fields[key] = plainValue(value)
		}
		return fields
	case []any:
		elements := make([]any, len(v))
		for i := range v {
			elements[i] = plainValue(v[i])
		}
		return elements
	default:
		return v
	}
}
