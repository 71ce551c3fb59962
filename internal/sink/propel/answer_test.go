package propel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/config"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

func reader(t testing.TB, cfg Config) *account {
	t.Helper()
	cfg.Auth.ClientID, cfg.Auth.ClientSecret = "id", config.NewSecret("secret")
	ops, err := New("propel", cfg, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return ops[0].(*account)
}

func itemsOf(ids ...string) []sink.Item {
	items := make([]sink.Item, len(ids))
	for i, id := range ids {
		items[i].ID = id
	}
	return items
}

func reply(status int, body string) vendorhttp.Exchange {
	return vendorhttp.Exchange{Status: status, Body: []byte(body), RequestWritten: true, Header: http.Header{"X-Request-Id": {"r-1"}}}
}

// Page "Bulk Customers by source id", section 200, Example.
func TestPagesSuccessIsDelivered(t *testing.T) {
	answer := reader(t, Default()).readAnswer(reply(200, string(golden(t, "bulk-customers-by-source-id-200.json"))), itemsOf("3002196"))
	delivered := sink.Result{Class: sink.Delivered, Status: 200, RequestID: "r-1"}
	wantEqual(t, answer, sink.Response{Result: delivered, ItemResults: []sink.Result{delivered}})
}

// Page "Bulk Customers by source id", section 400 (invalid schema), Example.
func TestPagesRefusalNamesTheCustomer(t *testing.T) {
	answer := reader(t, Default()).readAnswer(reply(400, string(golden(t, "bulk-customers-by-source-id-400-invalid-schema.json"))), itemsOf("a", "b"))
	refused := sink.Result{Class: sink.Rejected, Status: 400, Code: "10007", RequestID: "r-1", Message: "#/customers/0: extraneous key [company] is not permitted"}
	wantEqual(t, answer, sink.Response{Result: refused, ItemErrors: []sink.ItemError{{Index: 0, Result: refused}}})
}

func TestResultsAreFoundByKey(t *testing.T) {
	const long1, long2 = "12345678901234567890", "12345678901234567891"
	const d, r, y, u = sink.Delivered, sink.Rejected, sink.Retryable, sink.Unknown
	for _, tt := range []struct {
		name string
		ids  []string
		data string
		want []sink.ResultClass
	}{
		{"number and string keys, in any order", []string{"3002196", "K72334000"}, `{"key":"K72334000","success":true},{"key":3002196,"success":true}`, []sink.ResultClass{d, d}},
		{"a number as a string", []string{"7"}, `{"key":"7","success":true}`, []sink.ResultClass{d}},
		{"refused for good", []string{"a", "b"}, `{"key":"a","success":true},{"key":"b","success":false,"error":"Customer group with id [800] not found."}`, []sink.ResultClass{d, r}},
		{"refused for now", []string{"a"}, `{"key":"a","success":false,"error":"Lock wait timeout exceeded; try again"}`, []sink.ResultClass{y}},
		{"refused with a message instead of an error", []string{"a"}, `{"key":"a","success":false,"message":"temporarily out of order"}`, []sink.ResultClass{y}},
		{"refused without a word", []string{"a"}, `{"key":"a","success":false}`, []sink.ResultClass{r}},
		{"an error that is no text", []string{"a"}, `{"key":"a","success":false,"error":{"code":1}}`, []sink.ResultClass{r}},
		{"missing", []string{"a", "b"}, `{"key":"a","success":true}`, []sink.ResultClass{d, u}},
		{"answered twice", []string{"a", "b"}, `{"key":"a","success":true},{"key":"a","success":true}`, []sink.ResultClass{u, u}},
		{"answered twice, in two ways", []string{"a"}, `{"key":"a","success":true},{"key":"a","success":false}`, []sink.ResultClass{u}},
		{"one too many, of another", []string{"a"}, `{"key":"a","success":true},{"key":"x","success":true}`, []sink.ResultClass{d}},
		{"another's in its place", []string{"a"}, `{"key":"x","success":true}`, []sink.ResultClass{u}},
		{"no key", []string{"a"}, `{"success":true}`, []sink.ResultClass{u}},
		{"null key", []string{"a"}, `{"key":null,"success":true}`, []sink.ResultClass{u}},
		{"key of another kind", []string{"a"}, `{"key":["a"],"success":true}`, []sink.ResultClass{u}},
		{"no success", []string{"a"}, `{"key":"a"}`, []sink.ResultClass{u}},
		{"success that is no boolean", []string{"a", "b", "c"}, `{"key":"a","success":"true"},{"key":"b","success":1},{"key":"c","success":null}`, []sink.ResultClass{u, u, u}},
		{"no object", []string{"a"}, `"a"`, []sink.ResultClass{u}},
		{"none", []string{"a"}, ``, []sink.ResultClass{u}},
		{"leading zeros lost", []string{"007", "8"}, `{"key":7,"success":true},{"key":8,"success":true}`, []sink.ResultClass{d, d}},
		{"a string keeps its zeros", []string{"007"}, `{"key":"7","success":true}`, []sink.ResultClass{u}},
		{"precision lost, in order", []string{long1, long2}, `{"key":1.2345678901234567e19,"success":true},{"key":1.2345678901234567e19,"success":false}`, []sink.ResultClass{d, r}},
		{"precision lost, another number of results", []string{long1, long2}, `{"key":1.2345678901234567e19,"success":true}`, []sink.ResultClass{u, u}},
		{"one id twice, in order", []string{"a", "a"}, `{"key":"a","success":true},{"key":"a","success":false}`, []sink.ResultClass{d, r}},
		{"a word is no number", []string{"0"}, `{"key":NaN,"success":true}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := reader(t, Default()).readAnswer(reply(200, `{"data":[`+tt.data+`],"messages":["Completed"],"total":1}`), itemsOf(tt.ids...))
			var got []sink.ResultClass
			for _, item := range answer.ItemResults {
				got = append(got, item.Class)
				if item.RequestID != "r-1" || item.Status != 200 {
					t.Errorf("result without status or request id: %+v", item)
				}
			}
			wantEqual(t, got, tt.want)
		})
	}
}

func TestTransientPatternsAreConfigured(t *testing.T) {
	cfg := Default()
	cfg.TransientErrors = []string{`^busy`}
	body := `{"data":[{"key":"a","success":false,"error":"busy with jane@example.org"},{"key":"b","success":false,"error":"timeout"}]}`
	answer := reader(t, cfg).readAnswer(reply(200, body), itemsOf("a", "b"))
	if answer.ItemResults[0].Class != sink.Retryable || answer.ItemResults[1].Class != sink.Rejected {
		t.Errorf("got %+v", answer.ItemResults)
	}
	if m := answer.ItemResults[0].Message; !strings.HasPrefix(m, "busy") || strings.Contains(m, "jane") {
		t.Errorf("the message is %q", m)
	}
}

func TestUnreadableSuccessIsUnknown(t *testing.T) {
	for _, body := range []string{``, `<html>`, `{}`, `[]`, `null`, `{"data":null}`, `{"data":{}}`, `{"data":[{"key":"a","success":true}]`, `{"messages":["Completed"],"total":1}`} {
		answer := reader(t, Default()).readAnswer(reply(200, body), itemsOf("a"))
		if answer.Class != sink.Unknown || answer.ItemResults != nil || answer.Err == nil {
			t.Errorf("%s: got %+v", body, answer)
		}
	}
}

func envelope(code string, messages ...string) string {
	b, _ := json.Marshal(messages)
	return fmt.Sprintf(`{"error":{"code":%s,"messages":%s,"status":400,"type":"T"}}`, code, b)
}

func TestStatusAndCodeDecideWhatACallCameTo(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   sink.ResultClass
		code   string
	}{
		{400, envelope(`10005`), sink.Misconfigured, "10005"},
		{400, envelope(`"10006"`), sink.Misconfigured, "10006"},
		{400, `{"error":{"code":10005,"messages":"one text","status":400}}`, sink.Misconfigured, "10005"},
		{400, envelope(`10007`), sink.Rejected, "10007"},
		{400, envelope(`"10007"`), sink.Rejected, "10007"},
		{400, envelope(`10016`), sink.Rejected, "10016"},
		{400, envelope(`10017`), sink.Rejected, "10017"},
		{400, envelope(`60004`), sink.Rejected, "60004"},
		{400, ``, sink.Rejected, ""},
		{400, `<html>`, sink.Rejected, ""},
		{422, envelope(`10017`), sink.Rejected, "10017"},
		{401, ``, sink.Unauthorized, ""},
		{401, `{"fault":{"faultstring":"Access Token expired","detail":{"errorcode":"keymanagement.service.access_token_expired"}}}`, sink.Unauthorized, "keymanagement.service.access_token_expired"},
		{403, ``, sink.Unauthorized, ""},
		{404, ``, sink.Misconfigured, ""},
		{404, envelope(`10008`), sink.Misconfigured, "10008"},
		{404, envelope(`60006`), sink.Rejected, "60006"},
		{404, envelope(`60007`), sink.Rejected, "60007"},
		{405, envelope(`60008`), sink.Rejected, "60008"},
		{405, envelope(`10008`), sink.Misconfigured, "10008"},
		{415, envelope(`60006`), sink.Misconfigured, "60006"},
		{302, ``, sink.Misconfigured, ""},
		{408, ``, sink.Unavailable, ""},
		{413, ``, sink.TooLarge, ""},
		{429, `{"fault":{"detail":{"errorcode":"policies.ratelimit.QuotaViolation"}}}`, sink.Throttled, "policies.ratelimit.QuotaViolation"},
		{500, ``, sink.Unavailable, ""},
		{502, ``, sink.Unknown, ""},
		{503, ``, sink.Unavailable, ""},
		{504, ``, sink.Unknown, ""},
	} {
		t.Run(strconv.Itoa(tt.status)+" "+tt.code, func(t *testing.T) {
			answer := reader(t, Default()).readAnswer(reply(tt.status, tt.body), itemsOf("a"))
			if answer.Class != tt.want || answer.Code != tt.code || answer.Status != tt.status || answer.RequestID != "r-1" {
				t.Errorf("got %+v, want %v with code %q", answer.Result, tt.want, tt.code)
			}
			if answer.ItemResults != nil {
				t.Errorf("items have results of their own: %v", answer.ItemResults)
			}
		})
	}
	lost := reader(t, Default()).readAnswer(vendorhttp.Exchange{RequestWritten: true, Err: errors.New("reset")}, itemsOf("a"))
	if lost.Class != sink.Unknown {
		t.Errorf("reset after the request: %v", lost.Class)
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	r := reply(429, ``)
	r.Header.Set("Retry-After", "7")
	if answer := reader(t, Default()).readAnswer(r, itemsOf("a")); answer.RetryAfter != 7*time.Second {
		t.Errorf("waits %v, want 7s", answer.RetryAfter)
	}
}

func TestCodesAreConfigured(t *testing.T) {
	cfg := Default()
	cfg.ErrorCodes, cfg.DataCodes = map[string]string{"10017": "misconfigured", "10005": "rejected"}, []string{"10008"}
	a := reader(t, cfg)
	for _, tt := range []struct {
		status int
		code   string
		want   sink.ResultClass
	}{{400, "10017", sink.Misconfigured}, {400, "10005", sink.Rejected}, {404, "10008", sink.Rejected}, {404, "60006", sink.Misconfigured}, {400, "10006", sink.Misconfigured}} {
		if got := a.readAnswer(reply(tt.status, envelope(tt.code)), itemsOf("a")).Class; got != tt.want {
			t.Errorf("%d with %s: %v, want %v", tt.status, tt.code, got, tt.want)
		}
	}
}

func TestRefusalNamesTheCustomers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		messages []string
		want     map[int]string
	}{
		{"the customer itself", []string{"#/customers/3: required key [source] not found"}, map[int]string{3: "#/customers/3: required key [source] not found"}},
		{"a field of it", []string{"#/customers/0/addresses/1/type: no such type"}, map[int]string{0: "#/customers/0/addresses/1/type: no such type"}},
		{"several", []string{"#: 2 schema violations found", "#/customers/3: x", "#/customers/1: y", "#/customers/3/email: z"},
			map[int]string{1: "#/customers/1: y", 3: "#/customers/3: x; #/customers/3/email: z"}},
		{"the pointer alone", []string{"#/customers/2"}, map[int]string{2: "#/customers/2"}},
		{"out of range", []string{"#/customers/4: x", "#/customers/99999999999999999999: x"}, nil},
		{"the array", []string{"#/customers: expected minimum item count: 1"}, nil},
		{"nobody", []string{"#: 2 schema violations found"}, nil},
		{"not at the beginning", []string{"see #/customers/1: x"}, nil},
		{"no message", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := reader(t, Default()).readAnswer(reply(400, envelope(`10007`, tt.messages...)), itemsOf("a", "b", "c", "d"))
			var got map[int]string
			for _, n := range answer.ItemErrors {
				if got == nil {
					got = map[int]string{}
				}
				got[n.Index] = n.Message
				if n.Class != sink.Rejected || n.Code != "10007" || n.RequestID != "r-1" {
					t.Errorf("named with %+v", n.Result)
				}
			}
			wantEqual(t, got, tt.want)
		})
	}
	alone := reader(t, Default()).readAnswer(reply(400, `{"error":{"code":10007,"messages":"#/customers/1: x"}}`), itemsOf("a", "b"))
	if len(alone.ItemErrors) != 1 || alone.ItemErrors[0].Index != 1 {
		t.Errorf("a message that is no list blames %+v", alone.ItemErrors)
	}
	if answer := reader(t, Default()).readAnswer(reply(400, envelope(`10005`, "#/customers/0: x")), itemsOf("a")); answer.ItemErrors != nil {
		t.Errorf("a wrong set-up is blamed on %v", answer.ItemErrors)
	}
}

func TestMessageRepeatsNothingThatWasSent(t *testing.T) {
	const at = "#/customers/0/x: "
	for in, want := range map[string]string{
		at + "Jane is not a valid enum value":                 at + "*** is not a valid enum value",
		at + "string [Ja[n]e] does not match pattern ^[a-z]$": at + "string [***] does not match pattern ^[a-z]$",
		at + "[jane] is not a valid email address":            at + "[***] is not a valid email address",
		at + "extraneous key [company] is not permitted":      at + "extraneous key [company] is not permitted",
		at + "expected type: String, found: Integer":          at + "expected type: String, found: Integer",
	} {
		answer := reader(t, Default()).readAnswer(reply(400, envelope(`10007`, in)), itemsOf("a"))
		if answer.Message != want || answer.ItemErrors[0].Message != want {
			t.Errorf("got %q and %q, want %q", answer.Message, answer.ItemErrors[0].Message, want)
		}
	}
}

func TestRequestIDIsOneWord(t *testing.T) {
	for in, want := range map[string]string{"5f2b-1": "5f2b-1", "two words": "", "ünique": "", strings.Repeat("x", 129): ""} {
		r := reply(200, `{"data":[]}`)
		r.Header.Set("X-Request-Id", in)
		if got := reader(t, Default()).readAnswer(r, itemsOf("a")).RequestID; got != want {
			t.Errorf("%q is kept as %q, want %q", in, got, want)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	a := reader(b, Default())
	ids := make([]string, 100)
	rows := make([]string, 100)
	for i := range ids {
		ids[i] = strconv.Itoa(3002196 + i)
		rows[i] = fmt.Sprintf(`{"action":"update","id":%d,"key":%s,"lookupKey":"sourceId","success":true}`, i, ids[i])
	}
	r, items := reply(200, `{"data":[`+strings.Join(rows, ",")+`],"messages":["Completed"],"total":100}`), itemsOf(ids...)
	b.ReportAllocs()
	for b.Loop() {
		if answer := a.readAnswer(r, items); answer.ItemResults[99].Class != sink.Delivered {
			b.Fatal(answer.Class)
		}
	}
}
