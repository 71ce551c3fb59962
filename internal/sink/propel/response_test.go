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

// newTestOperation returns the operation for tests of its parsing, which never call the vendor.
func newTestOperation(t testing.TB, cfg Config) *operation {
	t.Helper()
	cfg.Auth.ClientID, cfg.Auth.ClientSecret = "id", config.NewSecret("secret")
	ops, err := New("propel", cfg, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return ops[0].(*operation)
}

func itemsWithIDs(ids ...string) []sink.Item {
	items := make([]sink.Item, len(ids))
	for i, id := range ids {
		items[i].ID = id
	}
	return items
}

func newExchange(status int, body string) vendorhttp.Exchange {
	return vendorhttp.Exchange{
		Status: status, Header: http.Header{"X-Request-Id": {"r-1"}}, Body: []byte(body), RequestWritten: true,
	}
}

// The example in section 200 of the vendor's page "Bulk Customers by source id".
func TestDocumentedSuccessIsDelivered(t *testing.T) {
	body := string(readGolden(t, "bulk-customers-by-source-id-200.json"))
	response := newTestOperation(t, Default()).parseResponse(newExchange(200, body), itemsWithIDs("3002196"))
	delivered := sink.Result{Class: sink.Delivered, Status: 200, RequestID: "r-1"}
	wantEqual(t, response, sink.Response{Result: delivered, ItemResults: []sink.Result{delivered}})
}

// The example in section 400 (invalid schema) of the vendor's page "Bulk Customers by source id".
func TestDocumentedRefusalNamesTheCustomer(t *testing.T) {
	body := string(readGolden(t, "bulk-customers-by-source-id-400-invalid-schema.json"))
	response := newTestOperation(t, Default()).parseResponse(newExchange(400, body), itemsWithIDs("a", "b"))
	rejected := sink.Result{
		Class: sink.Rejected, Status: 400, Code: "10007", RequestID: "r-1",
		Message: "#/customers/0: extraneous key [company] is not permitted",
	}
	wantEqual(t, response, sink.Response{Result: rejected, ItemErrors: []sink.ItemError{{Index: 0, Result: rejected}}})
}

func TestItemResultsAreMatchedByKey(t *testing.T) {
	const long1, long2 = "12345678901234567890", "12345678901234567891"
	const d, r, y, u = sink.Delivered, sink.Rejected, sink.Retryable, sink.Unknown
	for _, tt := range []struct {
		name string
		ids  []string
		data string
		want []sink.ResultClass
	}{
		{"number and string keys, in any order", []string{"3002196", "K72334000"},
			`{"key":"K72334000","success":true},{"key":3002196,"success":true}`, []sink.ResultClass{d, d}},
		{"number as a string", []string{"7"}, `{"key":"7","success":true}`, []sink.ResultClass{d}},
		{"permanently rejected", []string{"a", "b"},
			`{"key":"a","success":true},{"key":"b","success":false,"error":"Customer group with id [800] not found."}`,
			[]sink.ResultClass{d, r}},
		{"temporarily rejected", []string{"a"},
			`{"key":"a","success":false,"error":"Lock wait timeout exceeded; try again"}`, []sink.ResultClass{y}},
		{"rejected with a message instead of an error", []string{"a"},
			`{"key":"a","success":false,"message":"temporarily out of order"}`, []sink.ResultClass{y}},
		{"rejected without a text", []string{"a"}, `{"key":"a","success":false}`, []sink.ResultClass{r}},
		{"error that is not a string", []string{"a"},
			`{"key":"a","success":false,"error":{"code":1}}`, []sink.ResultClass{r}},
		{"missing", []string{"a", "b"}, `{"key":"a","success":true}`, []sink.ResultClass{d, u}},
		{"two results for one item", []string{"a", "b"},
			`{"key":"a","success":true},{"key":"a","success":true}`, []sink.ResultClass{u, u}},
		{"two contradicting results for one item", []string{"a"},
			`{"key":"a","success":true},{"key":"a","success":false}`, []sink.ResultClass{u}},
		{"additional result of an unknown key", []string{"a"},
			`{"key":"a","success":true},{"key":"x","success":true}`, []sink.ResultClass{d}},
		{"only a result of an unknown key", []string{"a"}, `{"key":"x","success":true}`, []sink.ResultClass{u}},
		{"no key", []string{"a"}, `{"success":true}`, []sink.ResultClass{u}},
		{"null key", []string{"a"}, `{"key":null,"success":true}`, []sink.ResultClass{u}},
		{"key of another type", []string{"a"}, `{"key":["a"],"success":true}`, []sink.ResultClass{u}},
		{"no success", []string{"a"}, `{"key":"a"}`, []sink.ResultClass{u}},
		{"success that is not a boolean", []string{"a", "b", "c"},
			`{"key":"a","success":"true"},{"key":"b","success":1},{"key":"c","success":null}`,
			[]sink.ResultClass{u, u, u}},
		{"not an object", []string{"a"}, `"a"`, []sink.ResultClass{u}},
		{"no results", []string{"a"}, ``, []sink.ResultClass{u}},
		{"leading zeros lost", []string{"007", "8"},
			`{"key":7,"success":true},{"key":8,"success":true}`, []sink.ResultClass{d, d}},
		{"a string keeps its zeros", []string{"007"}, `{"key":"7","success":true}`, []sink.ResultClass{u}},
		{"precision lost, in order", []string{long1, long2},
			`{"key":1.2345678901234567e19,"success":true},{"key":1.2345678901234567e19,"success":false}`,
			[]sink.ResultClass{d, r}},
		{"precision lost, fewer results than items", []string{long1, long2},
			`{"key":1.2345678901234567e19,"success":true}`, []sink.ResultClass{u, u}},
		{"one ID twice, in order", []string{"a", "a"},
			`{"key":"a","success":true},{"key":"a","success":false}`, []sink.ResultClass{d, r}},
		{"NaN is not a JSON number", []string{"0"}, `{"key":NaN,"success":true}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := `{"data":[` + tt.data + `],"messages":["Completed"],"total":1}`
			response := newTestOperation(t, Default()).parseResponse(newExchange(200, body), itemsWithIDs(tt.ids...))
			var got []sink.ResultClass
			for _, item := range response.ItemResults {
				got = append(got, item.Class)
				if item.RequestID != "r-1" || item.Status != 200 {
					t.Errorf("got %+v, want status 200 and request ID r-1", item)
				}
			}
			wantEqual(t, got, tt.want)
		})
	}
}

func TestTransientErrorPatternsAreConfigurable(t *testing.T) {
	cfg := Default()
	cfg.TransientErrors = []string{`^busy`}
	body := `{"data":[{"key":"a","success":false,"error":"busy with jane@example.org"},
		{"key":"b","success":false,"error":"timeout"}]}`
	response := newTestOperation(t, cfg).parseResponse(newExchange(200, body), itemsWithIDs("a", "b"))
	if response.ItemResults[0].Class != sink.Retryable || response.ItemResults[1].Class != sink.Rejected {
		t.Errorf("got %+v, want retryable and rejected", response.ItemResults)
	}
	if got := response.ItemResults[0].Message; !strings.HasPrefix(got, "busy") || strings.Contains(got, "jane") {
		t.Errorf("got message %q, want one that begins with busy and has no address", got)
	}
}

func TestUnreadableSuccessIsAnUnknownOutcome(t *testing.T) {
	for _, body := range []string{
		``, `<html>`, `{}`, `[]`, `null`, `{"data":null}`, `{"data":{}}`, `{"data":[{"key":"a","success":true}]`,
		`{"messages":["Completed"],"total":1}`,
	} {
		response := newTestOperation(t, Default()).parseResponse(newExchange(200, body), itemsWithIDs("a"))
		if response.Class != sink.Unknown || response.ItemResults != nil || response.Err == nil {
			t.Errorf("body %s: got %+v, want an unknown outcome with an error", body, response)
		}
	}
}

func errorBody(code string, messages ...string) string {
	list, _ := json.Marshal(messages)
	return fmt.Sprintf(`{"error":{"code":%s,"messages":%s,"status":400,"type":"T"}}`, code, list)
}

func TestStatusAndCodeDecideTheResultClass(t *testing.T) {
	const (
		expired = `{"fault":{"faultstring":"Access Token expired",
			"detail":{"errorcode":"keymanagement.service.access_token_expired"}}}`
		quota = `{"fault":{"detail":{"errorcode":"policies.ratelimit.QuotaViolation"}}}`
	)
	for _, tt := range []struct {
		status int
		body   string
		want   sink.ResultClass
		code   string
	}{
		{400, errorBody(`10005`), sink.Misconfigured, "10005"},
		{400, errorBody(`"10006"`), sink.Misconfigured, "10006"},
		{400, `{"error":{"code":10005,"messages":"one text","status":400}}`, sink.Misconfigured, "10005"},
		{400, errorBody(`10007`), sink.Rejected, "10007"},
		{400, errorBody(`"10007"`), sink.Rejected, "10007"},
		{400, errorBody(`10016`), sink.Rejected, "10016"},
		{400, errorBody(`10017`), sink.Rejected, "10017"},
		{400, errorBody(`60004`), sink.Rejected, "60004"},
		{400, ``, sink.Rejected, ""},
		{400, `<html>`, sink.Rejected, ""},
		{422, errorBody(`10017`), sink.Rejected, "10017"},
		{401, ``, sink.Unauthorized, ""},
		{401, expired, sink.Unauthorized, "keymanagement.service.access_token_expired"},
		{403, ``, sink.Unauthorized, ""},
		{404, ``, sink.Misconfigured, ""},
		{404, errorBody(`10008`), sink.Misconfigured, "10008"},
		{404, errorBody(`60006`), sink.Rejected, "60006"},
		{404, errorBody(`60007`), sink.Rejected, "60007"},
		{405, errorBody(`60008`), sink.Rejected, "60008"},
		{405, errorBody(`10008`), sink.Misconfigured, "10008"},
		{415, errorBody(`60006`), sink.Misconfigured, "60006"},
		{302, ``, sink.Misconfigured, ""},
		{408, ``, sink.Unavailable, ""},
		{413, ``, sink.TooLarge, ""},
		{429, quota, sink.Throttled, "policies.ratelimit.QuotaViolation"},
		{500, ``, sink.Unavailable, ""},
		{502, ``, sink.Unknown, ""},
		{503, ``, sink.Unavailable, ""},
		{504, ``, sink.Unknown, ""},
	} {
		t.Run(strconv.Itoa(tt.status)+" "+tt.code, func(t *testing.T) {
			response := newTestOperation(t, Default()).parseResponse(newExchange(tt.status, tt.body), itemsWithIDs("a"))
			if response.Class != tt.want || response.Code != tt.code {
				t.Errorf("got %+v, want %v with code %q", response.Result, tt.want, tt.code)
			}
			if response.Status != tt.status || response.RequestID != "r-1" {
				t.Errorf("got %+v, want status %d and request ID r-1", response.Result, tt.status)
			}
			if response.ItemResults != nil {
				t.Errorf("got item results %v, want none", response.ItemResults)
			}
		})
	}
	reset := vendorhttp.Exchange{RequestWritten: true, Err: errors.New("reset")}
	if got := newTestOperation(t, Default()).parseResponse(reset, itemsWithIDs("a")).Class; got != sink.Unknown {
		t.Errorf("reset after the request: got class %v, want %v", got, sink.Unknown)
	}
}

func TestRetryAfterIsPartOfTheResponse(t *testing.T) {
	exchange := newExchange(429, ``)
	exchange.Header.Set("Retry-After", "7")
	response := newTestOperation(t, Default()).parseResponse(exchange, itemsWithIDs("a"))
	if response.RetryAfter != 7*time.Second {
		t.Errorf("got RetryAfter %v, want 7s", response.RetryAfter)
	}
}

func TestErrorCodesAreConfigurable(t *testing.T) {
	cfg := Default()
	cfg.ErrorCodes = map[string]string{"10017": "misconfigured", "10005": "rejected"}
	cfg.DataCodes = []string{"10008"}
	operation := newTestOperation(t, cfg)
	for _, tt := range []struct {
		status int
		code   string
		want   sink.ResultClass
	}{
		{400, "10017", sink.Misconfigured}, {400, "10005", sink.Rejected}, {404, "10008", sink.Rejected},
		{404, "60006", sink.Misconfigured}, {400, "10006", sink.Misconfigured},
	} {
		got := operation.parseResponse(newExchange(tt.status, errorBody(tt.code)), itemsWithIDs("a")).Class
		if got != tt.want {
			t.Errorf("status %d with code %s: got %v, want %v", tt.status, tt.code, got, tt.want)
		}
	}
}

func TestItemErrorsPointToTheCustomers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		messages []string
		want     map[int]string
	}{
		{"the customer itself", []string{"#/customers/3: required key [source] not found"},
			map[int]string{3: "#/customers/3: required key [source] not found"}},
		{"a field of the customer", []string{"#/customers/0/addresses/1/type: no such type"},
			map[int]string{0: "#/customers/0/addresses/1/type: no such type"}},
		{"several customers",
			[]string{"#: 2 schema violations found", "#/customers/3: x", "#/customers/1: y", "#/customers/3/email: z"},
			map[int]string{1: "#/customers/1: y", 3: "#/customers/3: x; #/customers/3/email: z"}},
		{"the pointer alone", []string{"#/customers/2"}, map[int]string{2: "#/customers/2"}},
		{"out of range", []string{"#/customers/4: x", "#/customers/99999999999999999999: x"}, nil},
		{"the whole array", []string{"#/customers: expected minimum item count: 1"}, nil},
		{"no customer", []string{"#: 2 schema violations found"}, nil},
		{"pointer not at the beginning", []string{"see #/customers/1: x"}, nil},
		{"no message", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			exchange := newExchange(400, errorBody(`10007`, tt.messages...))
			response := newTestOperation(t, Default()).parseResponse(exchange, itemsWithIDs("a", "b", "c", "d"))
			var got map[int]string
			for _, itemError := range response.ItemErrors {
				if got == nil {
					got = map[int]string{}
				}
				got[itemError.Index] = itemError.Message
				if itemError.Class != sink.Rejected || itemError.Code != "10007" || itemError.RequestID != "r-1" {
					t.Errorf("got %+v, want rejected with code 10007 and request ID r-1", itemError.Result)
				}
			}
			wantEqual(t, got, tt.want)
		})
	}
	single := newExchange(400, `{"error":{"code":10007,"messages":"#/customers/1: x"}}`)
	got := newTestOperation(t, Default()).parseResponse(single, itemsWithIDs("a", "b")).ItemErrors
	if len(got) != 1 || got[0].Index != 1 {
		t.Errorf("single message outside a list: got item errors %+v, want one with index 1", got)
	}
	misconfigured := newExchange(400, errorBody(`10005`, "#/customers/0: x"))
	if got := newTestOperation(t, Default()).parseResponse(misconfigured, itemsWithIDs("a")).ItemErrors; got != nil {
		t.Errorf("misconfigured: got item errors %v, want none", got)
	}
}

func TestMessageContainsNoSentValue(t *testing.T) {
	const pointer = "#/customers/0/x: "
	for in, want := range map[string]string{
		pointer + "Jane is not a valid enum value":                 pointer + "*** is not a valid enum value",
		pointer + "string [Ja[n]e] does not match pattern ^[a-z]$": pointer + "string [***] does not match pattern ^[a-z]$",
		pointer + "[jane] is not a valid email address":            pointer + "[***] is not a valid email address",
		pointer + "extraneous key [company] is not permitted":      pointer + "extraneous key [company] is not permitted",
		pointer + "expected type: String, found: Integer":          pointer + "expected type: String, found: Integer",
	} {
		exchange := newExchange(400, errorBody(`10007`, in))
		response := newTestOperation(t, Default()).parseResponse(exchange, itemsWithIDs("a"))
		if response.Message != want || response.ItemErrors[0].Message != want {
			t.Errorf("got %q and %q, want %q", response.Message, response.ItemErrors[0].Message, want)
		}
	}
}

func TestRequestIDIsKeptOnlyIfItFitsAHeader(t *testing.T) {
	for in, want := range map[string]string{
		"5f2b-1": "5f2b-1", "two words": "", "ünique": "", strings.Repeat("x", 129): "",
	} {
		exchange := newExchange(200, `{"data":[]}`)
		exchange.Header.Set("X-Request-Id", in)
		got := newTestOperation(t, Default()).parseResponse(exchange, itemsWithIDs("a")).RequestID
		if got != want {
			t.Errorf("X-Request-Id %q: got request ID %q, want %q", in, got, want)
		}
	}
}

func BenchmarkParseResponse(b *testing.B) {
	operation := newTestOperation(b, Default())
	ids := make([]string, 100)
	rows := make([]string, 100)
	for i := range ids {
		ids[i] = strconv.Itoa(3002196 + i)
		rows[i] = fmt.Sprintf(`{"action":"update","id":%d,"key":%s,"lookupKey":"sourceId","success":true}`, i, ids[i])
	}
	body := `{"data":[` + strings.Join(rows, ",") + `],"messages":["Completed"],"total":100}`
	exchange, items := newExchange(200, body), itemsWithIDs(ids...)
	b.ReportAllocs()
	for b.Loop() {
		if response := operation.parseResponse(exchange, items); response.ItemResults[99].Class != sink.Delivered {
			b.Fatal(response.Class)
		}
	}
}
