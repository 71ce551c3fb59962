package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// FuzzCall holds the answer against the ledger: what was accepted is exactly what the answer calls accepted, and stands in the body sent.
func FuzzCall(f *testing.F) {
	for _, operation := range []string{"purchases", "referrals", "achievements", "social_media", "web", "financial_achievements"} {
		f.Add(readTestdata(f, "crmcom."+operation+".request.json"), "crmcom."+operation)
	}
	for _, operation := range []string{"add", "addfinished", "addlock"} {
		f.Add(readTestdata(f, "expoints."+operation+".request.json"), "expoints."+operation)
	}
	f.Add(customerBatch(feedbackItem, otherFeedbackItem), "expoints.add")
	f.Add(`{"customers":[`+customerItem+`,`+customerItem+`]}`, "propel.customers")
	f.Add(`{"username":"sandbox-user","password":"sandbox-password","organisation":"sandbox-organisation"}`, "crmcom.login")
	f.Add(grantForm, "propel.token")
	f.Add(`{"a":[{"`, "crmcom.web")
	f.Add("", "expoints.columns")
	f.Fuzz(func(t *testing.T, body, operation string) {
		for _, instant := range []bool{true, false} {
			s := New(Options{Instant: instant, KeepBodies: true, Expoints: ExpointsOptions{Columns: testColumns, BearerToken: "static"}})
			for _, vendor := range []Vendor{CRMCOM, Expoints, Propel} {
				for _, endpoint := range endpointsOf(s, vendor) {
					if endpoint.operation == operation {
						checkFuzzedCall(t, s, vendor, endpoint, body)
					}
				}
			}
		}
	})
}

func endpointsOf(s *Server, vendor Vendor) []*endpoint {
	for _, page := range BuiltinPages(Options{}) {
		if page.Vendor == vendor {
			return page.newEndpoints(s)
		}
	}
	return nil
}

func checkFuzzedCall(t *testing.T, s *Server, vendor Vendor, target *endpoint, body string) {
	token := "static"
	switch vendor {
	case CRMCOM:
		token = loginCRM(t, s)
	case Propel:
		token = loginOAuth(t, s, Propel)
	}
	body = strings.ReplaceAll(body, "{{token}}", token)
	r := newBearerPost(target.path, token, body)
	r.Method = target.method
	if target.formBody {
		r.Header.Set("Content-Type", formMedia)
	}
	resp := serveRequest(s.Handler(vendor), r)
	entries := s.Ledger().AcceptedEntries(target.operation)
	if s.opts.Instant {
		if len(entries) != 0 {
			t.Error("Instant keeps a ledger")
		}
		return
	}
	for _, entry := range entries {
		if !json.Valid(entry.Body) || !strings.Contains(body, string(entry.Body)) {
			t.Errorf("the ledger has %q, which was not sent", entry.Body)
		}
	}
	stats := s.Ledger().Calls(target.operation)
	if got := countConfirmed(t, resp, stats.Items); got != len(entries) || stats.Accepted != got || stats.Accepted+stats.Refused > stats.Items {
		t.Errorf("%d %s confirms %d, the ledger has %d, stats %+v", resp.status, resp.body, got, len(entries), stats)
	}
}

// countConfirmed is the number of items that an answer calls accepted; a whole batch's answer is a 200 without a body.
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
		t.Fatalf("the answer %q: %v", resp.body, err)
	}
	var crm struct {
		Processed []any `json:"processed_customer_events_set"`
	}
	var rows []struct{ Success bool }
	if json.Unmarshal(rep.Data, &rows) != nil {
		_ = json.Unmarshal(rep.Data, &crm) // a login's data has no rows
	}
	count := len(crm.Processed)
	for _, row := range rows {
		if row.Success {
			count++
		}
	}
	return count
}

// FuzzParseObject holds the parser against encoding/json, which it must agree with wherever no key occurs twice.
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
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if got := plainValue(object); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if !json.Valid(object.raw) {
			t.Errorf("raw is %q", object.raw)
		}
	})
}

// plainValue is a value as encoding/json gives it.
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
