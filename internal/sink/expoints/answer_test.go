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

func TestStatusDecidesWhatACallCameTo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply vendorhttp.Exchange
		want  sink.ResultClass
	}{
		{"200, the page's only success", vendorhttp.Exchange{Status: 200}, sink.Delivered},
		{"200 with any body of an API", vendorhttp.Exchange{Status: 200, Body: []byte(`[{"Id":1}]`)}, sink.Delivered},
		{"200 with text", vendorhttp.Exchange{Status: 200, Body: []byte(`OK`)}, sink.Delivered},
		{"200 with XML", vendorhttp.Exchange{Status: 200, Body: []byte(`<?xml version="1.0"?><ok/>`)}, sink.Delivered},
		{"200 with a page for people, of something before the API", vendorhttp.Exchange{Status: 200, Body: []byte("\r\n<!DOCTYPE html><html>We are back soon")}, sink.Unknown},
		{"200 with a page to log in at", vendorhttp.Exchange{Status: 200, Body: []byte(`<html>Please log in</html>`)}, sink.Unknown},
		{"200 with half a body", vendorhttp.Exchange{Status: 200, Body: []byte(`{"data": {`)}, sink.Unknown},
		{"200 whose body was cut off", vendorhttp.Exchange{Status: 200, Err: errors.New("reset")}, sink.Unknown},
		{"200 that is no text", vendorhttp.Exchange{Status: 200, Body: []byte("\x1f\x8b\x08\x00\xff")}, sink.Unknown},
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
		{"reset after the request was written", vendorhttp.Exchange{RequestWritten: true, Err: errors.New("reset")}, sink.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := readAnswer(tt.reply, 2)
			if answer.Class != tt.want || answer.Status != tt.reply.Status {
				t.Fatalf("got %v with status %d, want %v", answer.Class, answer.Status, tt.want)
			}
			if answer.Class == sink.Delivered {
				one := sink.Result{Class: sink.Delivered, Status: tt.reply.Status}
				wantEqual(t, answer.ItemResults, []sink.Result{one, one})
				if answer.Err != nil {
					t.Errorf("a call that was taken has the error %v", answer.Err)
				}
			} else if answer.ItemResults != nil {
				t.Errorf("items have results of their own: %v", answer.ItemResults)
			}
			if mayHave := tt.reply.Status == 500; answer.MayHaveActed != mayHave {
				t.Errorf("MayHaveActed is %v", answer.MayHaveActed)
			}
		})
	}
}

// The page documents no body, so the usual ways to say that a call failed are looked for.
func TestBodyOfASuccessMayStateOtherwise(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		items      int
		want       sink.ResultClass
	}{
		{"failure with errors", `{"Success":false,"Errors":["Questionnaire not found"]}`, 2, sink.Rejected},
		{"failure behind a byte order mark", "\ufeff" + `{"Success":false}`, 2, sink.Rejected},
		{"failure alone, in lower case", `{"success":false}`, 2, sink.Rejected},
		{"failure in upper case with a line", `{"IS_SUCCESS":false}`, 2, sink.Rejected},
		{"failure as text", `{"Success":"False"}`, 2, sink.Rejected},
		{"failure as a number", `{"ok":0}`, 2, sink.Rejected},
		{"errors alone", `{"errors":[{"message":"refused"}]}`, 2, sink.Rejected},
		{"errors by field", `{"Errors":{"Email":["is required"]}}`, 2, sink.Rejected},
		{"one error", `{"error":"invalid_request"}`, 2, sink.Rejected},
		{"error code", `{"errorCode":17}`, 2, sink.Rejected},
		{"model state", `{"Message":"The request is invalid.","ModelState":{"request.Customers[1].Email":["bad"]}}`, 2, sink.Rejected},
		{"exception", `{"ExceptionMessage":"Object reference not set","StackTrace":"at"}`, 2, sink.Rejected},
		{"status in words", `{"status":"error"}`, 2, sink.Rejected},
		{"wrapped", `{"d":{"Result":{"Succeeded":false}}}`, 2, sink.Rejected},
		{"of the one item there is", `[{"Success":false}]`, 1, sink.Rejected},
		{"status of the request", `{"statusCode":400,"message":"bad"}`, 2, sink.Rejected},
		{"status of the login", `{"statusCode":401,"message":"Access denied due to missing subscription key"}`, 2, sink.Unauthorized},
		{"status of the vendor", `{"title":"Down","status":"503"}`, 2, sink.Unavailable},
		{"status of a gateway", `{"code":504}`, 2, sink.Unknown},

		{"failure of one of two", `[{"Success":true},{"Success":false}]`, 2, sink.Unknown},
		{"error of one of two", `{"Customers":[{"Id":1},{"Error":"refused"}]}`, 2, sink.Unknown},
		{"success and failure", `{"Success":true,"Errors":["refused"]}`, 2, sink.Unknown},
		{"success and a status", `{"Success":true,"Status":500}`, 2, sink.Unknown},

		{"success", `{"Success":true,"Errors":[]}`, 2, sink.Delivered},
		{"success without errors", `{"success":true,"error":null,"ErrorCode":0,"ErrorMessage":"","HasErrors":"no"}`, 2, sink.Delivered},
		{"empty errors by field", `{"ModelState":{"Email":[]},"Errors":{"Count":0}}`, 2, sink.Delivered},
		{"nothing said", `{"Success":null,"Message":"Customers were added"}`, 2, sink.Delivered},
		{"status of a success", `{"StatusCode":200,"status":"OK","code":"7"}`, 2, sink.Delivered},
		{"fault status of a customer's address", `{"Customers":[{"Id":1,"Status":"Fault","StatusCode":404}]}`, 2, sink.Delivered},
		{"numbers", `{"Id":500,"Count":2}`, 2, sink.Delivered},
		{"JSON that is no object", `"added"`, 2, sink.Delivered},
		{"JSON true", `true`, 2, sink.Delivered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := readAnswer(vendorhttp.Exchange{Status: 200, Body: []byte(tt.body), RequestWritten: true}, tt.items)
			if answer.Class != tt.want || answer.Status != 200 {
				t.Fatalf("got %v with status %d, want %v", answer.Class, answer.Status, tt.want)
			}
			if delivered := answer.Class == sink.Delivered; delivered != (len(answer.ItemResults) == tt.items) || delivered && answer.Err != nil {
				t.Errorf("%v with %d results and the error %v", answer.Class, len(answer.ItemResults), answer.Err)
			}
		})
	}
}

func TestStatedFailureNamesTheCustomersAsARefusalDoes(t *testing.T) {
	answer := readAnswer(vendorhttp.Exchange{Status: 200, Body: []byte(`{"Success":false,"Errors":["Customers[1].Email of jane@example.org is taken"]}`)}, 3)
	if len(answer.ItemErrors) != 1 || answer.ItemErrors[0].Index != 1 || answer.ItemErrors[0].Class != sink.Rejected {
		t.Fatalf("got %+v", answer.ItemErrors)
	}
	if want := "Errors: Customers[1].Email of *** is taken"; answer.Message != want {
		t.Errorf("got %q, want %q", answer.Message, want)
	}
}

func TestPageIsNeverADelivery(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	for name, r := range map[string]vendorhttp.Exchange{
		"XHTML to log in at":        {Body: []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"><html><head><title>Log in</title></head></html>`)},
		"behind a byte order mark":  {Body: []byte("\ufeff<!DOCTYPE html>\n<html><body>Under maintenance</body></html>")},
		"meta refresh":              {Body: []byte(`<meta http-equiv="refresh" content="0;url=/login">`)},
		"plain text that is HTML":   {Header: html, Body: []byte("Under maintenance")},
		"JSON that says it is HTML": {Header: html, Body: []byte(`{}`)},
		"nothing that is HTML":      {Header: html},
	} {
		for _, status := range []int{200, 201, 203} {
			r.Status = status
			if a := readAnswer(r, 2); a.Class != sink.Unknown || a.ItemResults != nil || a.Err == nil {
				t.Errorf("%s, status %d: got %+v", name, status, a)
			}
		}
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	for _, status := range []int{429, 503} {
		answer := readAnswer(vendorhttp.Exchange{Status: status, Header: http.Header{"Retry-After": {"7"}}}, 1)
		if answer.RetryAfter != 7*time.Second {
			t.Errorf("status %d: waits %v, want 7s", status, answer.RetryAfter)
		}
	}
}

func TestRefusalNamesTheCustomersInAnyBody(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       map[int]string
	}{
		{"model state", `{"Message":"The request is invalid.","ModelState":{"request.Customers[3].Email":["Email is required."],"request.Customers[0].Data":["Too few."]}}`,
			map[int]string{3: "ModelState: request.Customers[3].Email: Email is required.", 0: "ModelState: request.Customers[0].Data: Too few."}},
		{"two messages for one customer", `{"ModelState":{"m.Customers[1].A":["x","y"]}}`,
			map[int]string{1: "ModelState: m.Customers[1].A: x; ModelState: m.Customers[1].A: y"}},
		{"another prefix and case", `{"ModelState":{"model.customers[2].email":["bad"]}}`, map[int]string{2: "ModelState: model.customers[2].email: bad"}},
		{"no prefix", `{"ModelState":{"Customers[2]":["bad"]}}`, map[int]string{2: "ModelState: Customers[2]: bad"}},
		{"problem details", `{"title":"Bad","errors":{"$.Customers[2].SendDate":["no date"]}}`, map[int]string{2: "errors: $.Customers[2].SendDate: no date"}},
		{"a JSON string", `"Customers[1].Email is not valid"`, map[int]string{1: "Customers[1].Email is not valid"}},
		{"plain text", "bad request\r\nCustomers[1].Email is not valid\r\nCustomers[3] too", map[int]string{1: "Customers[1].Email is not valid", 3: "Customers[3] too"}},
		{"two in one line", `Customers[1] and Customers[3] are twins`, map[int]string{1: "Customers[1] and Customers[3] are twins", 3: "Customers[1] and Customers[3] are twins"}},
		{"out of range", `{"ModelState":{"request.Customers[4].Email":["bad"]}}`, nil},
		{"index beyond any integer", `Customers[99999999999999999999]`, nil},
		{"another word", `{"ModelState":{"OldCustomers[1].Email":["bad"]}}`, nil},
		{"nobody", `{"Message":"The request is invalid."}`, nil},
		{"empty", ``, nil},
		{"HTML", `<html><body>400</body></html>`, nil},
	} {
		for _, status := range []int{400, 422} {
			t.Run(tt.name, func(t *testing.T) {
				answer := readAnswer(vendorhttp.Exchange{Status: status, Body: []byte(tt.body)}, 4)
				var got map[int]string
				for i, n := range answer.ItemErrors {
					if got == nil {
						got = map[int]string{}
					}
					got[n.Index] = n.Message
					if n.Class != sink.Rejected || n.Status != status {
						t.Errorf("customer %d has %v with status %d", n.Index, n.Class, n.Status)
					}
					if i > 0 && answer.ItemErrors[i-1].Index >= n.Index {
						t.Errorf("customers are not in the order of the call: %v", answer.ItemErrors)
					}
				}
				wantEqual(t, got, tt.want)
			})
		}
	}
}

func TestOnlyARefusalNamesAnybody(t *testing.T) {
	for _, status := range []int{401, 404, 413, 429, 500, 502, 503} {
		if answer := readAnswer(vendorhttp.Exchange{Status: status, Body: []byte("Customers[0]")}, 1); answer.ItemErrors != nil {
			t.Errorf("status %d blames %v", status, answer.ItemErrors)
		}
	}
}

func TestMessageRepeatsNothingThatWasSent(t *testing.T) {
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
		answer := readAnswer(vendorhttp.Exchange{Status: 400, Body: body}, 1)
		want = "ModelState: request.Customers[0].X: " + want
		if answer.Message != want || answer.ItemErrors[0].Message != want {
			t.Errorf("got %q and %q, want %q", answer.Message, answer.ItemErrors[0].Message, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{}`), uint8(3))
	f.Add(200, []byte(`<html>`), uint8(3))
	f.Add(200, []byte(`{"Success":false,"Errors":["Customers[0]"]}`), uint8(3))
	f.Add(400, []byte(`{"Message":"The request is invalid.","ModelState":{"request.Customers[3].Email":["Email is required."]}}`), uint8(200))
	f.Add(422, []byte(`"Customers[0]"`), uint8(1))
	f.Add(500, []byte("[[[[[[[["), uint8(2))
	f.Fuzz(func(t *testing.T, status int, body []byte, items uint8) {
		n := int(items)
		answer := readAnswer(vendorhttp.Exchange{Status: status, Body: body, RequestWritten: true}, n)
		taken := answer.Class == sink.Delivered
		text := vendorhttp.DecodeBodyText(body)
		silent := len(bytes.TrimSpace(text)) == 0 || json.Valid(text) && !bytes.ContainsAny(text, "{}")
		if ok := status >= 200 && status < 300; taken && !ok || ok && silent && utf8.Valid(text) && !taken {
			t.Fatalf("status %d is %v", status, answer.Class)
		}
		if taken && vendorhttp.IsHTMLPage(vendorhttp.Exchange{Body: body}) {
			t.Fatal("a page is taken for a delivery")
		}
		if taken && len(answer.ItemResults) != n || !taken && answer.ItemResults != nil {
			t.Fatalf("status %d gives %d results to %d items", status, len(answer.ItemResults), n)
		}
		if answer.Class != sink.Rejected && answer.ItemErrors != nil {
			t.Fatalf("%v blames %v", answer.Class, answer.ItemErrors)
		}
		last := -1
		for _, named := range answer.ItemErrors {
			if named.Index <= last || named.Index >= n || named.Class != sink.Rejected {
				t.Fatalf("%d customers: wrong blame %+v", n, answer.ItemErrors)
			}
			last = named.Index
		}
		if len(answer.Message) > 512 || !utf8.ValidString(answer.Message) {
			t.Fatalf("message of %d bytes: %q", len(answer.Message), answer.Message)
		}
	})
}
