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
		f.Add(golden(f, "crmcom."+operation+".request.json"), "crmcom."+operation)
	}
	for _, operation := range []string{"add", "addfinished", "addlock"} {
		f.Add(golden(f, "expoints."+operation+".request.json"), "expoints."+operation)
	}
	f.Add(batch(feedbackItem, other), "expoints.add")
	f.Add(`{"customers":[`+customerItem+`,`+customerItem+`]}`, "propel.customers")
	f.Add(`{"username":"sandbox-user","password":"sandbox-password","organisation":"sandbox-organisation"}`, "crmcom.login")
	f.Add(grantForm, "propel.token")
	f.Add(`{"a":[{"`, "crmcom.web")
	f.Add("", "expoints.columns")
	f.Fuzz(func(t *testing.T, body, operation string) {
		for _, instant := range []bool{true, false} {
			s := New(Options{Instant: instant, KeepBodies: true, Expoints: ExpointsOptions{Columns: columns, BearerToken: "static"}})
			for _, vendor := range []Vendor{CRMCOM, Expoints, Propel} {
				for _, e := range endpointsOf(s, vendor) {
					if e.operation == operation {
						fuzzCall(t, s, vendor, e, body)
					}
				}
			}
		}
	})
}

func endpointsOf(s *Server, v Vendor) []*endpoint {
	return map[Vendor][]*endpoint{
		CRMCOM:   newCRMCOM(s, CRMCOMOptions{}).endpoints(),
		Expoints: newExpoints(s, ExpointsOptions{}).endpoints(),
		Propel:   newPropel(s, PropelOptions{}).endpoints(),
	}[v]
}

func fuzzCall(t *testing.T, s *Server, vendor Vendor, e *endpoint, body string) {
	token := "static"
	switch vendor {
	case CRMCOM:
		token = crmToken(t, s)
	case Propel:
		token = oauthToken(t, s, Propel)
	}
	body = strings.ReplaceAll(body, "{{token}}", token)
	r := bearing(e.path, token, body)
	r.Method = e.method
	if e.form {
		r.Header.Set("Content-Type", formMedia)
	}
	a := do(s.Handler(vendor), r)
	entries := s.Ledger().AcceptedEntries(e.operation)
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
	stats := s.Ledger().Calls(e.operation)
	if got := confirmed(t, a, stats.Items); got != len(entries) || stats.Accepted != got || stats.Accepted+stats.Refused > stats.Items {
		t.Errorf("%d %s confirms %d, the ledger has %d, stats %+v", a.status, a.body, got, len(entries), stats)
	}
}

// confirmed is the number of items that an answer calls accepted; a whole batch's answer is a 200 without a body.
func confirmed(t *testing.T, a answer, items int) int {
	if a.status != http.StatusOK {
		return 0
	}
	if a.body == "" {
		return items
	}
	var rep struct {
		Data json.RawMessage
	}
	if err := json.Unmarshal([]byte(a.body), &rep); err != nil {
		t.Fatalf("the answer %q: %v", a.body, err)
	}
	var crm struct {
		Processed []any `json:"processed_customer_events_set"`
	}
	var rows []struct{ Success bool }
	if json.Unmarshal(rep.Data, &rows) != nil {
		_ = json.Unmarshal(rep.Data, &crm) // a login's data has no rows
	}
	n := len(crm.Processed)
	for _, row := range rows {
		if row.Success {
			n++
		}
	}
	return n
}

// FuzzParseObject holds the parser against encoding/json, which it must agree with wherever no key occurs twice.
func FuzzParseObject(f *testing.F) {
	f.Add([]byte(purchaseItem))
	f.Add([]byte(` { "a\u00e9" : [ 1.50 , -2e3 , true , false , null , { } , [ ] , "\"\\" ] } `))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"a":"\ud800"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseObject(body)
		if err != nil {
			return
		}
		var want any
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if got := plainValue(o); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if !json.Valid(o.raw) {
			t.Errorf("raw is %q", o.raw)
		}
	})
}

// plainValue is a value as encoding/json gives it.
func plainValue(v any) any {
	switch v := v.(type) {
	case *object:
		m := make(map[string]any, len(v.fields))
		for key, value := range v.fields {
			m[key] = plainValue(value)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i := range v {
			l[i] = plainValue(v[i])
		}
		return l
	default:
		return v
	}
}
