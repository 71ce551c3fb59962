package expoints

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

func TestStatusDecidesTheResultClass(t *testing.T) {
	for _, tt := range []struct {
		name     string
		exchange vendorhttp.Exchange
		want     sink.ResultClass
	}{
		{"200, the only documented success", vendorhttp.Exchange{Status: 200}, sink.Delivered},
		{"200 with JSON", vendorhttp.Exchange{Status: 200, Body: []byte(`[{"Id":1}]`)}, sink.Delivered},
		{"200 with text", vendorhttp.Exchange{Status: 200, Body: []byte(`OK`)}, sink.Delivered},
		{"200 with XML", vendorhttp.Exchange{Status: 200, Body: []byte(`<?xml version="1.0"?><ok/>`)}, sink.Delivered},
		{"200 with a maintenance page",
			vendorhttp.Exchange{Status: 200, Body: []byte("\r\n<!DOCTYPE html><html>We are back soon")}, sink.Unknown},
		{"200 with a login page", vendorhttp.Exchange{Status: 200, Body: []byte(`<html>Please log in</html>`)}, sink.Unknown},
		{"200 with truncated JSON", vendorhttp.Exchange{Status: 200, Body: []byte(`{"data": {`)}, sink.Unknown},
		{"200 with a body that could not be read", vendorhttp.Exchange{Status: 200, Err: errors.New("reset")}, sink.Unknown},
		{"200 with binary data", vendorhttp.Exchange{Status: 200, Body: []byte("\x1f\x8b\x08\x00\xff")}, sink.Unknown},
		{"201", vendorhttp.Exchange{Status: 201}, sink.Delivered},
		{"202", vendorhttp.Exchange{Status: 202}, sink.Delivered},
		{"204", vendorhttp.Exchange{Status: 204}, sink.Delivered},
		{"302", vendorhttp.Exchange{Status: 302}, sink.Misconfigured},
		{"400, request needs modification", vendorhttp.Exchange{Status: 400}, sink.Rejected},
		{"401, missing or invalid authentication token", vendorhttp.Exchange{Status: 401}, sink.Unauthorized},
		{"403, refuses to authorize", vendorhttp.Exchange{Status: 403}, sink.Unauthorized},
		{"404", vendorhttp.Exchange{Status: 404}, sink.Misconfigured},
		{"405", vendorhttp.Exchange{Status: 405}, sink.Misconfigured},
		{"408, timed out waiting for the request", vendorhttp.Exchange{Status: 408}, sink.Unavailable},
		{"413", vendorhttp.Exchange{Status: 413}, sink.TooLarge},
		{"415", vendorhttp.Exchange{Status: 415}, sink.Misconfigured},
		{"422", vendorhttp.Exchange{Status: 422}, sink.Rejected},
		{"429, too many requests", vendorhttp.Exchange{Status: 429}, sink.Throttled},
		{"500, unexpected condition", vendorhttp.Exchange{Status: 500}, sink.Unavailable},
		{"502", vendorhttp.Exchange{Status: 502}, sink.Unknown},
		{"503, try again later", vendorhttp.Exchange{Status: 503}, sink.Unavailable},
		{"504", vendorhttp.Exchange{Status: 504}, sink.Unknown},
		{"reset before the request was written", vendorhttp.Exchange{Err: errors.New("reset")}, sink.Unavailable},
		{"reset after the request was written",
			vendorhttp.Exchange{RequestWritten: true, Err: errors.New("reset")}, sink.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parseResponse(tt.exchange, 2)
			if got.Class != tt.want || got.Status != tt.exchange.Status {
				t.Fatalf("got %v with status %d, want %v", got.Class, got.Status, tt.want)
			}
			if got.Class == sink.Delivered {
				delivered := sink.Result{Class: sink.Delivered, Status: tt.exchange.Status}
				wantEqual(t, got.ItemResults, []sink.Result{delivered, delivered})
				if got.Err != nil {
					t.Errorf("got error %v, want none when delivered", got.Err)
				}
			} else if got.ItemResults != nil {
				t.Errorf("got item results %v, want none", got.ItemResults)
			}
			if want := tt.exchange.Status == 500; got.MayHaveActed != want {
				t.Errorf("got MayHaveActed %v, want %v", got.MayHaveActed, want)
			}
		})
	}
}

// The vendor documents no body, so the usual ways to report a failure are recognized.
func TestBodyOfASuccessMayReportAFailure(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		items      int
		want       sink.ResultClass
	}{
		{"failure with errors", `{"Success":false,"Errors":["Questionnaire not found"]}`, 2, sink.Rejected},
		{"failure after a byte order mark", "\ufeff" + `{"Success":false}`, 2, sink.Rejected},
		{"failure alone, in lower case", `{"success":false}`, 2, sink.Rejected},
		{"failure in upper case with an underscore", `{"IS_SUCCESS":false}`, 2, sink.Rejected},
		{"failure as text", `{"Success":"False"}`, 2, sink.Rejected},
		{"failure as a number", `{"ok":0}`, 2, sink.Rejected},
		{"errors alone", `{"errors":[{"message":"refused"}]}`, 2, sink.Rejected},
		{"errors by field", `{"Errors":{"Email":["is required"]}}`, 2, sink.Rejected},
		{"one error", `{"error":"invalid_request"}`, 2, sink.Rejected},
		{"error code", `{"errorCode":17}`, 2, sink.Rejected},
		{"model state",
			`{"Message":"The request is invalid.","ModelState":{"request.Customers[1].Email":["bad"]}}`, 2, sink.Rejected},
		{"exception", `{"ExceptionMessage":"Object reference not set","StackTrace":"at"}`, 2, sink.Rejected},
		{"status in words", `{"status":"error"}`, 2, sink.Rejected},
		{"wrapped", `{"d":{"Result":{"Succeeded":false}}}`, 2, sink.Rejected},
		{"failure of the only item", `[{"Success":false}]`, 1, sink.Rejected},
		{"status of the request", `{"statusCode":400,"message":"bad"}`, 2, sink.Rejected},
		{"status of the login",
			`{"statusCode":401,"message":"Access denied due to missing subscription key"}`, 2, sink.Unauthorized},
		{"status of the vendor", `{"title":"Down","status":"503"}`, 2, sink.Unavailable},
		{"status of a gateway", `{"code":504}`, 2, sink.Unknown},

		{"failure of one of two", `[{"Success":true},{"Success":false}]`, 2, sink.Unknown},
		{"error of one of two", `{"Customers":[{"Id":1},{"Error":"refused"}]}`, 2, sink.Unknown},
		{"success and failure", `{"Success":true,"Errors":["refused"]}`, 2, sink.Unknown},
		{"success and a status", `{"Success":true,"Status":500}`, 2, sink.Unknown},

		{"success", `{"Success":true,"Errors":[]}`, 2, sink.Delivered},
		{"success without errors",
			`{"success":true,"error":null,"ErrorCode":0,"ErrorMessage":"","HasErrors":"no"}`, 2, sink.Delivered},
		{"empty errors by field", `{"ModelState":{"Email":[]},"Errors":{"Count":0}}`, 2, sink.Delivered},
		{"neither success nor failure", `{"Success":null,"Message":"Customers were added"}`, 2, sink.Delivered},
		{"status of a success", `{"StatusCode":200,"status":"OK","code":"7"}`, 2, sink.Delivered},
		{"status of a customer's address",
			`{"Customers":[{"Id":1,"Status":"Fault","StatusCode":404}]}`, 2, sink.Delivered},
		{"numbers", `{"Id":500,"Count":2}`, 2, sink.Delivered},
		{"JSON string", `"added"`, 2, sink.Delivered},
		{"JSON true", `true`, 2, sink.Delivered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			exchange := vendorhttp.Exchange{Status: 200, Body: []byte(tt.body), RequestWritten: true}
			got := parseResponse(exchange, tt.items)
			if got.Class != tt.want || got.Status != 200 {
				t.Fatalf("got %v with status %d, want %v", got.Class, got.Status, tt.want)
			}
			isDelivered := got.Class == sink.Delivered
			if isDelivered != (len(got.ItemResults) == tt.items) || isDelivered && got.Err != nil {
				t.Errorf("%v: got %d item results with error %v", got.Class, len(got.ItemResults), got.Err)
			}
		})
	}
}

func TestFailureInASuccessHasItemErrors(t *testing.T) {
	const body = `{"Success":false,"Errors":["Customers[1].Email of jane@example.org is taken"]}`
	got := parseResponse(vendorhttp.Exchange{Status: 200, Body: []byte(body)}, 3)
	if len(got.ItemErrors) != 1 || got.ItemErrors[0].Index != 1 || got.ItemErrors[0].Class != sink.Rejected {
		t.Fatalf("got item errors %+v, want a rejection of index 1", got.ItemErrors)
	}
	if want := "Errors: Customers[1].Email of *** is taken"; got.Message != want {
		t.Errorf("got message %q, want %q", got.Message, want)
	}
}

func TestHTMLPageIsNeverADelivery(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	const xhtml = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"><html><head><title>Log in</title></head></html>`
	for name, exchange := range map[string]vendorhttp.Exchange{
		"XHTML login page":        {Body: []byte(xhtml)},
		"after a byte order mark": {Body: []byte("\ufeff<!DOCTYPE html>\n<html><body>Under maintenance</body></html>")},
		"meta refresh":            {Body: []byte(`<meta http-equiv="refresh" content="0;url=/login">`)},
		"plain text of type HTML": {Header: html, Body: []byte("Under maintenance")},
		"JSON of type HTML":       {Header: html, Body: []byte(`{}`)},
		"empty body of type HTML": {Header: html},
	} {
		for _, status := range []int{200, 201, 203} {
			exchange.Status = status
			if got := parseResponse(exchange, 2); got.Class != sink.Unknown || got.ItemResults != nil || got.Err == nil {
				t.Errorf("%s, status %d: got %+v, want an unknown outcome with an error", name, status, got)
			}
		}
	}
}

func TestRetryAfterIsPartOfTheResponse(t *testing.T) {
	for _, status := range []int{429, 503} {
		exchange := vendorhttp.Exchange{Status: status, Header: http.Header{"Retry-After": {"7"}}}
		if got := parseResponse(exchange, 1).RetryAfter; got != 7*time.Second {
			t.Errorf("status %d: got RetryAfter %v, want 7s", status, got)
		}
	}
}

func TestItemErrorsAreParsedFromAnyBody(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       map[int]string
	}{
		{"model state",
			`{"Message":"The request is invalid.","ModelState":{"request.Customers[3].Email":["Email is required."],` +
				`"request.Customers[0].Data":["Too few."]}}`,
			map[int]string{
				3: "ModelState: request.Customers[3].Email: Email is required.",
				0: "ModelState: request.Customers[0].Data: Too few.",
			}},
		{"two messages for one customer", `{"ModelState":{"m.Customers[1].A":["x","y"]}}`,
			map[int]string{1: "ModelState: m.Customers[1].A: x; ModelState: m.Customers[1].A: y"}},
		{"another prefix and case", `{"ModelState":{"model.customers[2].email":["bad"]}}`,
			map[int]string{2: "ModelState: model.customers[2].email: bad"}},
		{"no prefix", `{"ModelState":{"Customers[2]":["bad"]}}`, map[int]string{2: "ModelState: Customers[2]: bad"}},
		{"problem details", `{"title":"Bad","errors":{"$.Customers[2].SendDate":["no date"]}}`,
			map[int]string{2: "errors: $.Customers[2].SendDate: no date"}},
		{"JSON string", `"Customers[1].Email is not valid"`,
			map[int]string{1: "Customers[1].Email is not valid"}},
		{"plain text", "bad request\r\nCustomers[1].Email is not valid\r\nCustomers[3] too",
			map[int]string{1: "Customers[1].Email is not valid", 3: "Customers[3] too"}},
		{"two customers in one line", `Customers[1] and Customers[3] are twins`,
			map[int]string{1: "Customers[1] and Customers[3] are twins", 3: "Customers[1] and Customers[3] are twins"}},
		{"out of range", `{"ModelState":{"request.Customers[4].Email":["bad"]}}`, nil},
		{"index beyond any integer", `Customers[99999999999999999999]`, nil},
		{"another member", `{"ModelState":{"OldCustomers[1].Email":["bad"]}}`, nil},
		{"no customer", `{"Message":"The request is invalid."}`, nil},
		{"empty", ``, nil},
		{"HTML", `<html><body>400</body></html>`, nil},
	} {
		for _, status := range []int{400, 422} {
			t.Run(tt.name, func(t *testing.T) {
				itemErrors := parseResponse(vendorhttp.Exchange{Status: status, Body: []byte(tt.body)}, 4).ItemErrors
				var got map[int]string
				for i, itemError := range itemErrors {
					if got == nil {
						got = map[int]string{}
					}
					got[itemError.Index] = itemError.Message
					if itemError.Class != sink.Rejected || itemError.Status != status {
						t.Errorf("got %+v, want rejected with status %d", itemError, status)
					}
					if i > 0 && itemErrors[i-1].Index >= itemError.Index {
						t.Errorf("got item errors %v, want them in the order of the call", itemErrors)
					}
				}
				wantEqual(t, got, tt.want)
			})
		}
	}
}

func TestOnlyARejectionHasItemErrors(t *testing.T) {
	for _, status := range []int{401, 404, 413, 429, 500, 502, 503} {
		exchange := vendorhttp.Exchange{Status: status, Body: []byte("Customers[0]")}
		if got := parseResponse(exchange, 1).ItemErrors; got != nil {
			t.Errorf("status %d: got item errors %v, want none", status, got)
		}
	}
}

func TestMessageContainsNoSentValue(t *testing.T) {
	for in, want := range map[string]string{
		`jane@example.org is taken`:                                                   `*** is taken`,
		`The value 'Jane' is not valid for Priority.`:                                 `The value *** is not valid for Priority.`,
		`Error converting value "Jane" to type 'System.Int32'.`:                       `Error converting value *** to type 'System.Int32'.`,
		`Error converting value {null} to type 'System.Int32'.`:                       `Error converting value *** to type 'System.Int32'.`,
		`Could not convert string to integer: Jane Doe. Path 'Customers[0].Priority'`: `Could not convert string to integer: ***. Path 'Customers[0].Priority'`,
		`Could not convert string to DateTime: Jane`:                                  `Could not convert string to DateTime: ***`,
		`The Email field is required.`:                                                `The Email field is required.`,
	} {
		body, _ := json.Marshal(map[string]any{"ModelState": map[string]any{"request.Customers[0].X": []string{in}}})
		got := parseResponse(vendorhttp.Exchange{Status: 400, Body: body}, 1)
		want = "ModelState: request.Customers[0].X: " + want
		if got.Message != want || got.ItemErrors[0].Message != want {
			t.Errorf("got messages %q and %q, want %q", got.Message, got.ItemErrors[0].Message, want)
		}
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add(200, []byte(`{}`), uint8(3))
	f.Add(200, []byte(`<html>`), uint8(3))
	f.Add(200, []byte(`{"Success":false,"Errors":["Customers[0]"]}`), uint8(3))
	f.Add(400, []byte(`{"ModelState":{"request.Customers[3].Email":["Email is required."]}}`), uint8(200))
	f.Add(422, []byte(`"Customers[0]"`), uint8(1))
	f.Add(500, []byte("[[[[[[[["), uint8(2))
	f.Fuzz(func(t *testing.T, status int, body []byte, items uint8) {
		itemCount := int(items)
		got := parseResponse(vendorhttp.Exchange{Status: status, Body: body, RequestWritten: true}, itemCount)
		isDelivered, isSuccess := got.Class == sink.Delivered, status >= 200 && status < 300
		text := vendorhttp.DecodeBodyText(body)
		hasNoClaims := len(bytes.TrimSpace(text)) == 0 || json.Valid(text) && !bytes.ContainsAny(text, "{}")
		if isDelivered && !isSuccess || isSuccess && hasNoClaims && utf8.Valid(text) && !isDelivered {
			t.Fatalf("status %d: got class %v", status, got.Class)
		}
		if isDelivered && vendorhttp.IsHTMLPage(vendorhttp.Exchange{Body: body}) {
			t.Fatal("an HTML page is delivered")
		}
		if isDelivered && len(got.ItemResults) != itemCount || !isDelivered && got.ItemResults != nil {
			t.Fatalf("status %d: got %d results for %d items", status, len(got.ItemResults), itemCount)
		}
		if got.Class != sink.Rejected && got.ItemErrors != nil {
			t.Fatalf("%v: got item errors %v, want none", got.Class, got.ItemErrors)
		}
		last := -1
		for _, itemError := range got.ItemErrors {
			if itemError.Index <= last || itemError.Index >= itemCount || itemError.Class != sink.Rejected {
				t.Fatalf("%d items: got item errors %+v, want rejections with ascending indices", itemCount, got.ItemErrors)
			}
			last = itemError.Index
		}
		if len(got.Message) > 512 || !utf8.ValidString(got.Message) {
			t.Fatalf("got message %q of %d bytes, want UTF-8 of at most 512", got.Message, len(got.Message))
		}
	})
}
