package crmcom

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// newTestAccount returns an account that classifies responses with these error codes.
func newTestAccount(t testing.TB, codes map[string]Meaning) *account {
	t.Helper()
	op, ok := newUncalledOperations(t, func(c *Config) { c.ErrorCodes = codes })["purchases"].(*operation)
	if !ok {
		t.Fatal("got another package's operation")
	}
	return op.account
}

func exchangeWith(status int, body string) vendorhttp.Exchange {
	return vendorhttp.Exchange{Status: status, Header: http.Header{}, Body: []byte(body), RequestWritten: true}
}

func processedRows(ids ...string) string {
	return joinRows(ids, func(id string) string {
		return `{"number":"1","id":"F00","request_unique_identifier":"` + id +
			`"}`
	})
}

func unprocessedRows(code string, ids ...string) string {
	return joinRows(ids, func(id string) string {
		return `{"error_description":"Error:Account (X) Not Found.","error_code":"` + code +
			`","request_unique_identifier":"` + id + `"}`
	})
}

func joinRows(ids []string, element func(string) string) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = element(id)
	}
	return "[" + strings.Join(list, ",") + "]"
}

func bulkResponse(processed, unprocessed string) string {
	return `{"data":{"unprocessed_customer_events_set":` + unprocessed + `,"processed_customer_events_set":` +
		processed +
		`},"status":{"code":"OK","description":null,"message":""}}`
}

func TestEachItemGetsItsOwnResult(t *testing.T) {
	const d, x, r, u = sink.Delivered, sink.Rejected, sink.Retryable, sink.Unknown
	a, b, c := "events-0-0", "events-0-1", "events-0-2"
	for _, test := range []struct {
		name, body string
		want       [3]sink.ResultClass
	}{
		{"all processed, in any order", bulkResponse(processedRows(c, a, b), "[]"), [3]sink.ResultClass{d, d, d}},
		{"sets that are null", bulkResponse("null", "null"), [3]sink.ResultClass{u, u, u}},
		{"no data", `{"status":{"code":"ok"}}`, [3]sink.ResultClass{u, u, u}},
		{"data null", `{"data":null,"status":{"code":"OK"}}`, [3]sink.ResultClass{u, u, u}},
		{"not found is retryable", bulkResponse(processedRows(a), unprocessedRows("NotFoundAPIValueException", b, c)),
			[3]sink.ResultClass{d, r, r}},
		{"referred by another is rejected", bulkResponse(processedRows(a, b),
			unprocessedRows("ReferredByAnotherParticipantException", c)), [3]sink.ResultClass{d, d, x}},
		{"a failure of the vendor is retryable", bulkResponse(processedRows(a),
			unprocessedRows("LockTimeoutException", b, c)), [3]sink.ResultClass{d, r, r}},
		{"blocked is not locked", bulkResponse(processedRows(a, b), unprocessedRows("AccountBlockedException", c)),
			[3]sink.ResultClass{d, d, x}},
		{"an unknown code is rejected", bulkResponse(processedRows(a, b), unprocessedRows("SomethingException", c)),
			[3]sink.ResultClass{d, d, x}},
		{"a code that is not a string is rejected",
			bulkResponse(processedRows(a, b), strings.Replace(unprocessedRows("?", c), `"?"`, "17", 1)),
			[3]sink.ResultClass{d, d, x}},
		{"a configured code", bulkResponse(processedRows(a), unprocessedRows("SeenException", b, c)),
			[3]sink.ResultClass{d, d, d}},
		{"the configuration overrides the defaults",
			bulkResponse(processedRows(a, b), unprocessedRows("DeadlockException", c)), [3]sink.ResultClass{d, d, x}},
		{"in neither set", bulkResponse(processedRows(a), unprocessedRows("SomethingException", c)),
			[3]sink.ResultClass{d, u, x}},
		{"in both sets", bulkResponse(processedRows(a, b), unprocessedRows("SomethingException", b, c)),
			[3]sink.ResultClass{d, u, x}},
		{"processed twice", bulkResponse(processedRows(a, b, a), unprocessedRows("SomethingException", c)),
			[3]sink.ResultClass{u, d, x}},
		{"unprocessed twice", bulkResponse(processedRows(a), unprocessedRows("SomethingException", b, b, c)),
			[3]sink.ResultClass{d, u, x}},
		{"processed three times", bulkResponse(processedRows(a, a, a, b), unprocessedRows("SomethingException", c)),
			[3]sink.ResultClass{u, d, x}},
		{"identifiers of no item", bulkResponse(processedRows("", "other-0-1", a),
			unprocessedRows("SomethingException", "", "events-0-22")), [3]sink.ResultClass{d, u, u}},
		{"identifiers that are not strings", bulkResponse(`[{"request_unique_identifier":["events-0-0"]},{"request_unique_identifier":0}]`, "[]"), [3]sink.ResultClass{u, u, u}},
		{"other members, of any kind and order",
			bulkResponse(` [ { "x" : {"y":["]}\\\"",1e3,{}],"z":[]} , "request_unique_identifier" : "events-0-\u0030" , "n":null,"t":true } ] `, " [ ] "), [3]sink.ResultClass{d, u, u}},
		{"an identifier within another member",
			bulkResponse(`[{"x":{"request_unique_identifier":"events-0-0"}}]`, "[]"), [3]sink.ResultClass{u, u, u}},
		{"elements that are null", bulkResponse("[null]", "[null]"), [3]sink.ResultClass{u, u, u}},
	} {
		t.Run(test.name, func(t *testing.T) {
			codes := map[string]Meaning{"SeenException": MeansDelivered, "DeadlockException": MeansRejected}
			got := newTestAccount(t, codes).readResponse(exchangeWith(200, test.body), newTestItems(3), "tok")
			if got.Class != sink.Delivered || got.Err != nil || len(got.ItemResults) != 3 {
				t.Fatalf("got %+v", got)
			}
			for i, r := range got.ItemResults {
				if r.Class != test.want[i] || r.Status != 200 {
					t.Errorf("item %d: got %v, want %v", i, r, test.want[i])
				}
			}
		})
	}
}

func TestItemResultHasTheVendorsCodeAndText(t *testing.T) {
	body := bulkResponse("[]", strings.Replace(unprocessedRows("SomethingException", "events-0-0"), "(X)",
		"(jo@example.com)", 1))
	got := newTestAccount(t, nil).readResponse(exchangeWith(200, body), newTestItems(1), "tok").ItemResults[0]
	want := sink.Result{Class: sink.Rejected, Status: 200, Code: "SomethingException",
		Message: "Error:Account (***) Not Found."}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// An account may be identified by its holder's name, and a token may be any text, so neither can be
// recognized by its form.
func TestNoResultRepeatsValuesOfTheRequest(t *testing.T) {
	const token = "a4340ac3f973495e81f69a75d2d32bd3"
	for text, want := range map[string]string{
		"Account (Maria Georgiou) Not Found.":        "Account (***) Not Found.",
		"Account (Maria (home) Georgiou) Not Found.": "Account (***) Not Found.",
		"Account (Maria":                                 "Account (***",
		`Account "Maria Georgiou" Not Found.`:            `Account "***" Not Found.`,
		"Account 'Maria Georgiou' Not Found.":            "Account '***' Not Found.",
		"The unit's account isn't the user's.":           "The unit's account isn't the user's.",
		"Error:No session of " + token + ". - Try later": "Error:No session of ***. - Try later",
	} {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		row := `[{"error_code":"A` + token + `","error_description":` + string(quoted) +
			`,"request_unique_identifier":"events-0-0"}]`
		call := `{"status":{"code":"A` + token + `","message":` + string(quoted) + `}}`
		account := newTestAccount(t, nil)
		item := account.readResponse(exchangeWith(200, bulkResponse("[]", row)), newTestItems(1), token).ItemResults[0]
		whole := account.readResponse(exchangeWith(200, call), newTestItems(1), token).Result
		for of, got := range map[string]sink.Result{"an item": item, "a call": whole} {
			if got.Message != want || got.Code != "A***" {
				t.Errorf("%s: got the result of %s with message %q and code %q, want %q", text, of, got.Message,
					got.Code, want)
			}
		}
	}
}

func refusedResponse(code, message string) string {
	return fmt.Sprintf(`{"data":{},"status":{"code":%q,"description":"","message":%q}}`, code, message)
}

func TestRefusedCallIsClassifiedByItsCodeAndText(t *testing.T) {
	codes := map[string]Meaning{"VoucherExpiredException": MeansRejected, "BusyException": MeansRetryable}
	for _, test := range []struct {
		name   string
		status int
		body   string
		items  int
		want   sink.ResultClass
		named  []int
	}{
		{"a code that means login", 200, refusedResponse("InvalidTokenException", ""), 3, sink.Unauthorized, nil},
		{"a text that means login", 200, refusedResponse("ERROR", "Session has expired"), 3, sink.Unauthorized, nil},
		{"a text that means login, with apostrophes", 200, refusedResponse("ERROR", "User's session isn't valid"), 3,
			sink.Unauthorized, nil},
		{"login with 400", 400, refusedResponse("TokenNotFoundException", ""), 3, sink.Unauthorized, nil},
		{"a code that refuses a permission", 200, refusedResponse("AccessDeniedException", ""), 3, sink.Unauthorized,
			nil},
		{"a text that refuses a permission", 200, refusedResponse("ERROR", "User is not authorised for this unit"), 3,
			sink.Unauthorized, nil},
		{"a text about data", 200, refusedResponse("MandatoryFieldException", "the token field is missing"), 3,
			sink.Rejected, nil},
		{"a value that only looks like login", 200,
			refusedResponse("ERROR", `Product (Login token) is wrong, so is "session"`), 3, sink.Rejected, nil},
		{"a configured code is never login", 200, refusedResponse("VoucherExpiredException", "expired"), 3,
			sink.Rejected, nil},
		{"an item named is never login", 200, refusedResponse("ERROR", "events-0-1: token expired"), 3, sink.Rejected,
			[]int{1}},
		{"no item named", 200, refusedResponse("ERROR", "bad"), 3, sink.Rejected, nil},
		{"named only as whole words", 200, refusedResponse("ERROR",
			"events-0-1, xevents-0-0 and events-0-22 are bad."), 3, sink.Rejected, []int{1}},
		{"two named, one at the end of a sentence", 200, refusedResponse("ERROR", "Bad: (events-0-2), events-0-0."), 3,
			sink.Rejected, []int{0, 2}},
		{"named with 422", 422, refusedResponse("ERROR", "events-0-2"), 3, sink.Rejected, []int{2}},
		{"a failure of the vendor", 200, refusedResponse("DeadlockException", ""), 3, sink.Unavailable, nil},
		{"retryable, with other items", 200, refusedResponse("NotFoundAPIValueException", "events-0-0"), 3,
			sink.Rejected,
			nil},
		{"retryable as configured, with other items", 200, refusedResponse("BusyException", ""), 3, sink.Rejected, nil},
		{"400 without an envelope", 400, "<html>", 3, sink.Rejected, nil},
		{"400 without a status", 400, "{}", 3, sink.Rejected, nil},
		{"refused, but with processed items", 200,
			strings.Replace(bulkResponse(processedRows("events-0-0"), "[]"), `"OK"`,
				`"ERROR"`, 1), 3, sink.Unknown, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newTestAccount(t, codes).readResponse(exchangeWith(test.status, test.body), newTestItems(test.items),
				"tok")
			if got.Class != test.want || got.ItemResults != nil || got.Status != test.status {
				t.Errorf("got %+v, want %v", got, test.want)
			}
			var named []int
			for _, n := range got.ItemErrors {
				named = append(named, n.Index)
				if n.Class != sink.Rejected {
					t.Errorf("got item %d named with class %v, want rejected", n.Index, n.Class)
				}
			}
			if !slices.Equal(named, test.named) {
				t.Errorf("got items %v named, want %v", named, test.named)
			}
			if got.MayHaveActed != (got.Class == sink.Unavailable) {
				t.Errorf("got MayHaveActed %v with class %v", got.MayHaveActed, got.Class)
			}
		})
	}
}

// Bisection ends with calls of one item, for which the code of the call is the code of the item.
func TestRefusalOfASingleItemIsItsResult(t *testing.T) {
	got := newTestAccount(t, nil).readResponse(exchangeWith(200,
		refusedResponse("NotFoundAPIValueException", "no such currency")), newTestItems(1), "tok")
	want := sink.Result{Class: sink.Retryable, Status: 200, Code: "NotFoundAPIValueException",
		Message: "no such currency"}
	if got.Class != sink.Delivered || len(got.ItemResults) != 1 || got.ItemResults[0] != want {
		t.Errorf("got %+v, want the item %+v", got, want)
	}
}

func TestUnreadableResponseIsUnknown(t *testing.T) {
	for _, body := range []string{
		"", "null", "[]", "<html>", `{}`, `{"status":{}}`, `{"status":"OK"}`,
		bulkResponse(processedRows("events-0-0"), "[]")[:60],
		`{"data":{"processed_customer_events_set":[{"request_unique_identifier":"events-0-0"}]}}`,
		bulkResponse(`{"events-0-0":1}`, "[]"), bulkResponse(`[7]`, "[]"),
		strings.Replace(bulkResponse(processedRows("events-0-0"), "[]"), "unprocessed_", "processed_", 1),
	} {
		got := newTestAccount(t, nil).readResponse(exchangeWith(200, body), newTestItems(1), "tok")
		if got.Class != sink.Unknown || got.ItemResults != nil || got.Err == nil {
			t.Errorf("%s: got %+v, want unknown", body, got)
		}
	}
}

func TestHTTPStatusOutside2xxDecidesTheClass(t *testing.T) {
	for status, want := range map[int]sink.ResultClass{
		302: sink.Misconfigured, 401: sink.Unauthorized, 403: sink.Unauthorized, 404: sink.Misconfigured,
		405: sink.Misconfigured,
		415: sink.Misconfigured, 408: sink.Unavailable, 413: sink.TooLarge, 429: sink.Throttled, 500: sink.Unavailable,
		502: sink.Unknown, 503: sink.Unavailable, 504: sink.Unknown,
	} {
		got := newTestAccount(t, nil).readResponse(exchangeWith(status,
			bulkResponse(processedRows("events-0-0"), "[]")), newTestItems(1), "tok")
		if got.Class != want || got.ItemResults != nil || got.Code != "OK" {
			t.Errorf("%d: got %+v, want %v", status, got, want)
		}
	}
	noBody := newTestAccount(t, nil).readResponse(vendorhttp.Exchange{Status: 200, Err: vendorhttp.ErrBodyTooLarge,
		RequestWritten: true}, newTestItems(1), "tok")
	if noBody.Class != sink.Unknown {
		t.Errorf("a body that could not be read: got %+v, want unknown", noBody)
	}
}

func TestLoginCodesCanBeConfigured(t *testing.T) {
	codes := []string{"SecurityKeyException", "NotFoundAPIValueException"}
	op, ok := newUncalledOperations(t, func(c *Config) { c.LoginCodes = codes })["purchases"].(*operation)
	if !ok {
		t.Fatal("got another package's operation")
	}
	for _, code := range codes {
		if got := op.account.readResponse(exchangeWith(200, refusedResponse(code, "refused")), newTestItems(1),
			"tok"); got.Class != sink.Unauthorized || got.ItemResults != nil {
			t.Errorf("%s: got %+v, want unauthorized", code, got)
		}
	}
	if got := op.account.readResponse(exchangeWith(200, bulkResponse("[]", unprocessedRows(codes[1], "events-0-0"))),
		newTestItems(1), "tok"); got.ItemResults[0].Class != sink.Retryable {
		t.Errorf("got item result %v, want retryable: login codes are about calls", got.ItemResults[0])
	}
}

func BenchmarkReadResponseOf1000Items(b *testing.B) {
	items := newTestItems(1000)
	ids := make([]string, len(items))
	for i := range items {
		ids[i] = items[i].ID
	}
	account := newTestAccount(b, nil)
	body := strings.ReplaceAll(bulkResponse(processedRows(ids...), "[]"), "F00", "C6F33A7C8A38446FA1A58ACDF105AFE8")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if got := account.readResponse(exchangeWith(200, body), items,
			"tok"); got.ItemResults[999].Class != sink.Delivered {
			b.Fatal(got)
		}
	}
}
