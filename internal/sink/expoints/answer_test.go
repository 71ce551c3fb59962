package expoints

import (
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
		{"200 with half a body", vendorhttp.Exchange{Status: 200, Body: []byte(`{"data": {`)}, sink.Delivered},
		{"200 with text", vendorhttp.Exchange{Status: 200, Body: []byte(`OK`)}, sink.Delivered},
		{"200 with XML", vendorhttp.Exchange{Status: 200, Body: []byte(`<?xml version="1.0"?><ok/>`)}, sink.Delivered},
		{"200 with a page for people, of something before the API", vendorhttp.Exchange{Status: 200, Body: []byte("\r\n<!DOCTYPE html><html>We are back soon")}, sink.Unknown},
		{"200 with a page to log in at", vendorhttp.Exchange{Status: 200, Body: []byte(`<html>Please log in</html>`)}, sink.Unknown},
		{"200 whose body was cut off", vendorhttp.Exchange{Status: 200, Err: errors.New("reset")}, sink.Delivered},
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
	f.Add(400, []byte(`{"Message":"The request is invalid.","ModelState":{"request.Customers[3].Email":["Email is required."]}}`), uint8(200))
	f.Add(422, []byte(`"Customers[0]"`), uint8(1))
	f.Add(500, []byte("[[[[[[[["), uint8(2))
	f.Fuzz(func(t *testing.T, status int, body []byte, items uint8) {
		n := int(items)
		answer := readAnswer(vendorhttp.Exchange{Status: status, Body: body, RequestWritten: true}, n)
		taken := status >= 200 && status < 300 && !isPage(body)
		if (answer.Class == sink.Delivered) != taken {
			t.Fatalf("status %d is %v", status, answer.Class)
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
