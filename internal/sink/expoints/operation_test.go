package expoints

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sluice/internal/config"
	"sluice/internal/event"
	"sluice/internal/sink"
)

const noColumns = `{"CustomerDataColumns":[]}`

func encodeEvent(t *testing.T, op sink.Operation, ev any) sink.Item {
	t.Helper()
	item, err := op.Encode(t.Context(), ev, origin)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

func TestSendMakesTheDocumentedCall(t *testing.T) {
	v := newFakeVendor(t, noColumns)
	add, finished, lock := newTestOperations(t, v.accountConfig())
	for _, tt := range []struct {
		op    sink.Operation
		items []sink.Item
		path  string
		body  string
	}{
		{add, []sink.Item{
			encodeEvent(t, add, &event.FeedbackRequest{Email: new("a@example.org")}),
			encodeEvent(t, add, &event.FeedbackRequest{Email: new("b@example.org")}),
		},
			"/external/api/v3/customer/add",
			`{"ApproveAutomatically":true,"IsTest":false,"TypeBatch":"email","AllowDuplicateEmail":false,"IsConcept":false,` +
				`"Customers":[{"Email":"a@example.org"},{"Email":"b@example.org"}]}`},
		{finished, []sink.Item{encodeEvent(t, finished, &event.FeedbackFinished{Email: new("a@example.org")})},
			"/external/api/v3/customer/addfinished", `{"IsTest":false,"Customer":{"Email":"a@example.org"}}`},
		{lock, []sink.Item{encodeEvent(t, lock, &event.FeedbackLock{Email: new("a@example.org")})},
			"/external/api/v3/customer/addlock", `{"Email":"a@example.org"}`},
	} {
		response := tt.op.Send(t.Context(), tt.items)
		if response.Class != sink.Delivered || len(response.ItemResults) != len(tt.items) {
			t.Fatalf("%s: got %v with %d item results, want delivered with %d",
				tt.path, response.Class, len(response.ItemResults), len(tt.items))
		}
		got := v.calls[len(v.calls)-1]
		if got.path != tt.path || string(got.body) != tt.body {
			t.Errorf("got %s\n%s\nwant %s\n%s", got.path, got.body, tt.path, tt.body)
		}
		if got.length != int64(len(tt.body)) {
			t.Errorf("%s: got Content-Length %d, want %d", tt.path, got.length, len(tt.body))
		}
		authorization, contentType := got.header.Get("Authorization"), got.header.Get("Content-Type")
		if authorization != "Bearer static" || !strings.HasPrefix(contentType, "application/json") {
			t.Errorf("%s: got header %v, want the static token and JSON", tt.path, got.header)
		}
	}
}

func TestEnvelopeKeySeparatesTestAndConcept(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		isTest, isConcept       *bool
		defaultIsTest           bool
		wantTest, wantIsConcept bool
	}{
		{"account's default, live", nil, nil, false, false, false},
		{"account's default, test", nil, nil, true, true, false},
		{"test event", new(true), nil, false, true, false},
		{"live event", new(false), nil, true, false, false},
		{"concept event", nil, new(true), false, false, true},
		{"test and concept event", new(true), new(true), false, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newFakeVendor(t, noColumns).accountConfig()
			cfg.Batch.IsTest = tt.defaultIsTest
			add, _, _ := newTestOperations(t, cfg)
			item := encodeEvent(t, add, &event.FeedbackRequest{IsTest: tt.isTest, IsConcept: tt.isConcept})
			got := decodeObject(t, callBody(newTestAccount(t, cfg), time.Now(), item))
			if got["IsTest"] != tt.wantTest || got["IsConcept"] != tt.wantIsConcept {
				t.Errorf("envelope key %q: got IsTest %v and IsConcept %v, want %v and %v",
					item.EnvelopeKey, got["IsTest"], got["IsConcept"], tt.wantTest, tt.wantIsConcept)
			}
		})
	}
}

func TestEntityKeyIsTheEmailUnlessDuplicatesAreAllowed(t *testing.T) {
	cfg := newFakeVendor(t, noColumns).accountConfig()
	add, _, _ := newTestOperations(t, cfg)
	first := encodeEvent(t, add, &event.FeedbackRequest{Email: new("Jane@Example.org ")})
	second := encodeEvent(t, add, &event.FeedbackRequest{Email: new("jane@example.org")})
	if first.EntityKey == "" || first.EntityKey != second.EntityKey {
		t.Errorf("spellings of one address: got entity keys %q and %q, want one", first.EntityKey, second.EntityKey)
	}
	for _, email := range []*string{nil, new("")} {
		if item := encodeEvent(t, add, &event.FeedbackRequest{Email: email}); item.EntityKey != "" {
			t.Errorf("no address: got entity key %q, want none", item.EntityKey)
		}
	}
	if item := encodeEvent(t, add, &event.FeedbackRequest{Email: new(" ")}); item.EntityKey == "" {
		t.Error("address of spaces: got no entity key, want one")
	}
	cfg.Batch.AllowDuplicateEmail = true
	add, _, _ = newTestOperations(t, cfg)
	if item := encodeEvent(t, add, &event.FeedbackRequest{Email: new("jane@example.org")}); item.EntityKey != "" {
		t.Errorf("duplicates allowed: got entity key %q, want none", item.EntityKey)
	}
}

func TestEnvelopeSizeIsAnUpperBound(t *testing.T) {
	v := newFakeVendor(t, noColumns)
	rapid.Check(t, func(r *rapid.T) {
		cfg := v.accountConfig()
		cfg.TimeZone = rapid.SampledFrom([]string{"Europe/Amsterdam", "UTC", "Asia/Kathmandu"}).Draw(r, "zone")
		cfg.Batch.EndAfter = time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(r, "end"))
		cfg.Batch.SendTime = rapid.SampledFrom([]string{"", "11:30", "05:53:05.4618467"}).Draw(r, "send")
		cfg.Batch.BatchName = rapid.String().Draw(r, "name")
		cfg.Batch.NotificationEmailAddresses = rapid.SliceOf(rapid.String()).Draw(r, "addresses")
		a := newTestAccount(t, cfg)
		kind := envelopeKind{rapid.Bool().Draw(r, "test"), rapid.Bool().Draw(r, "concept")}
		prefix, suffix := a.addEnvelope(kind, time.Unix(0, rapid.Int64().Draw(r, "now")))
		if got := len(prefix) + len(suffix); got > a.maxEnvelopeSize() {
			r.Fatalf("got an envelope of %d bytes, want at most %d", got, a.maxEnvelopeSize())
		}
		if !json.Valid(append(prefix, suffix...)) {
			r.Fatalf("got envelope %s%s, want JSON", prefix, suffix)
		}
		if got := parseEnvelopeKey(kind.String()); got != kind {
			r.Fatalf("key %q: parsed %+v, want %+v", kind, got, kind)
		}
	})
}

func TestInstantsAreSentInTheZoneWithSevenDigits(t *testing.T) {
	add, _, _ := newTestOperations(t, newFakeVendor(t, noColumns).accountConfig())
	for in, want := range map[string]string{
		"2025-01-18T04:53:05Z":           "2025-01-18T05:53:05+01:00",
		"2025-07-18T04:53:05.5Z":         "2025-07-18T06:53:05.5+02:00",
		"2025-01-18T04:53:05.123456789Z": "2025-01-18T05:53:05.1234567+01:00",
		// In 1800 the zone had local mean time, whose offset has seconds. RFC 3339 has no such
		// offsets.
		"1800-01-01T12:00:00Z": "1800-01-01T12:00:00Z",
	} {
		item := encodeEvent(t, add, &event.FeedbackRequest{SendDate: parseInstant(t, in)})
		if got := decodeObject(t, item.Body)["SendDate"]; got != want {
			t.Errorf("%s: got %v, want %s", in, got, want)
		}
	}
}

// The vendor uses only the time of day, so it must be the configured one in summer and winter.
func TestBatchDatesKeepTheirTimeOfDayInTheZone(t *testing.T) {
	for _, tt := range []struct{ zone, now, send, end string }{
		{"Europe/Amsterdam", "2025-01-18T23:30:00Z", "2025-01-19T11:30:00+01:00", "2025-01-20T00:30:00+01:00"},
		{"Europe/Amsterdam", "2025-07-18T04:53:05Z", "2025-07-18T11:30:00+02:00", "2025-07-19T06:53:05+02:00"},
		{"Europe/Amsterdam", "2025-03-30T00:15:00Z", "2025-03-30T11:30:00+02:00", "2025-03-31T02:15:00+02:00"},
		{"UTC", "2025-07-18T04:53:05Z", "2025-07-18T11:30:00Z", "2025-07-19T04:53:05Z"},
	} {
		cfg := newFakeVendor(t, noColumns).accountConfig()
		cfg.TimeZone, cfg.Batch.SendTime, cfg.Batch.EndAfter = tt.zone, "11:30", 24*time.Hour
		add, _, _ := newTestOperations(t, cfg)
		item := encodeEvent(t, add, &event.FeedbackRequest{})
		got := decodeObject(t, callBody(newTestAccount(t, cfg), *parseInstant(t, tt.now), item))
		if got["SendTime"] != tt.send || got["EndDate"] != tt.end {
			t.Errorf("at %s in %s: got SendTime %v and EndDate %v, want %s and %s",
				tt.now, tt.zone, got["SendTime"], got["EndDate"], tt.send, tt.end)
		}
	}
}

func TestEveryViolationIsReportedWithItsPath(t *testing.T) {
	_, finished, _ := newTestOperations(t, newFakeVendor(t, noColumns).accountConfig())
	year12000 := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err := finished.Encode(t.Context(), &event.FeedbackFinished{
		QuestionnaireId: new("2ec40570e56345eb9c254dec09dee46b"), FinishedDate: &year12000,
		Answers: []event.ExpointsFinishedAnswer{
			{QuestionId: new("d6de312c-7da4-483d-841c-25a046ea03cd")},
			{QuestionId: new("d6de312c-7da4-483d-841c-25a046ea03cg"), DateAnswered: &year12000},
		},
		Data: []event.ExpointsData{namedRow("Nope")},
	}, origin)
	const (
		guid  = "must be a globally unique identifier, 8-4-4-4-12 hexadecimal digits"
		years = "must be in the years 1 to 9999"
	)
	wantViolations(t, err, []sink.Violation{
		{Path: "Data[0].Name", Rule: "must be a column of the account"},
		{Path: "QuestionnaireId", Rule: guid}, {Path: "FinishedDate", Rule: years},
		{Path: "Answers[1].QuestionId", Rule: guid}, {Path: "Answers[1].DateAnswered", Rule: years},
	})
}

func TestAnyTextBecomesValidJSON(t *testing.T) {
	v := newFakeVendor(t, `{"CustomerDataColumns":[{"Id":1,"Name":"c"}]}`)
	add, _, _ := newTestOperations(t, v.accountConfig())
	rapid.Check(t, func(r *rapid.T) {
		anyBytes := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
		text := rapid.OneOf(rapid.String(), anyBytes).Draw(r, "text")
		item, err := add.Encode(t.Context(), &event.FeedbackRequest{
			Email: &text, Data: []event.ExpointsData{{Name: "c", Value: text}},
			Answers: []event.ExpointsAnswer{{Text: &text}},
		}, origin)
		if !utf8.ValidString(text) { // it cannot be sent unchanged
			if !errors.As(err, new(*sink.ValidationError)) {
				r.Fatalf("text %q: got error %v, want a ValidationError", text, err)
			}
			return
		}
		if err != nil {
			r.Fatal(err)
		}
		var got struct {
			Email string
			Data  []struct{ Value string }
		}
		if err := json.Unmarshal(item.Body, &got); err != nil {
			r.Fatalf("%v: %s", err, item.Body)
		}
		if got.Email != text || got.Data[0].Value != text {
			r.Fatalf("text %q: decoded %q and %q", text, got.Email, got.Data[0].Value)
		}
	})
}

func TestEncodeRejectsAnotherEventType(t *testing.T) {
	add, _, _ := newTestOperations(t, newFakeVendor(t, noColumns).accountConfig())
	if _, err := add.Encode(t.Context(), &event.FeedbackLock{}, origin); err == nil {
		t.Error("got no error for an event of addlock, want one")
	}
}

// withLogin replaces the bearer token of a configuration by client credentials, for a token
// endpoint that issues token-1, token-2, and so on.
func withLogin(t *testing.T, cfg Config) Config {
	t.Helper()
	wantForm := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"id"}, "client_secret": {"secret"}, "scope": {"api://x"},
	}
	logins := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for field := range wantForm {
			if r.FormValue(field) != wantForm.Get(field) {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"error":"invalid_client"}`)
				return
			}
		}
		logins++
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":"3599","access_token":"token-%d"}`, logins)
	}))
	t.Cleanup(server.Close)
	cfg.Auth = Auth{TokenURL: server.URL, ClientID: "id", ClientSecret: config.NewSecret("secret"), Scope: "api://x"}
	return cfg
}

func TestRefusedTokenIsRefreshed(t *testing.T) {
	v := newFakeVendor(t, noColumns)
	v.respond = func(w http.ResponseWriter, _ *http.Request) {
		if v.calls[len(v.calls)-1].header.Get("Authorization") != "Bearer token-2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	_, _, lock := newTestOperations(t, withLogin(t, v.accountConfig()))
	items := []sink.Item{encodeEvent(t, lock, &event.FeedbackLock{})}
	refused := lock.Send(t.Context(), items)
	if refused.Class != sink.Unauthorized || refused.TokenVersion == 0 {
		t.Fatalf("got %v with token version %d, want unauthorized with a version", refused.Class, refused.TokenVersion)
	}
	if err := lock.(sink.TokenRefresher).RefreshToken(t.Context(), refused.TokenVersion); err != nil {
		t.Fatal(err)
	}
	if again := lock.Send(t.Context(), items); again.Class != sink.Delivered {
		t.Errorf("with the new token: got class %v, want delivered", again.Class)
	}
}

func TestRefusedLoginBecomesTheResponse(t *testing.T) {
	v := newFakeVendor(t, noColumns)
	cfg := withLogin(t, v.accountConfig())
	cfg.Auth.ClientSecret = config.NewSecret("hunter2")
	_, _, lock := newTestOperations(t, cfg)
	response := lock.Send(t.Context(), []sink.Item{encodeEvent(t, lock, &event.FeedbackLock{})})
	if response.Class != sink.Unauthorized || response.TokenVersion != 0 || len(v.calls) != 0 {
		t.Errorf("got %v with token version %d after %d calls, want unauthorized without a token or call",
			response.Class, response.TokenVersion, len(v.calls))
	}
	if response.Err == nil || strings.Contains(response.Err.Error(), "hunter2") {
		t.Errorf("got error %v, want one without the secret", response.Err)
	}
}

func TestStaticTokenIsNotRefreshed(t *testing.T) {
	add, _, _ := newTestOperations(t, newFakeVendor(t, noColumns).accountConfig())
	used := add.(sink.Prober).Probe(t.Context()).TokenVersion
	wantDependencyError(t, add.(sink.TokenRefresher).RefreshToken(t.Context(), used), sink.Unauthorized)
}

func TestContextEndIsUnavailableBeforeAndUnknownAfterTheRequest(t *testing.T) {
	v := newFakeVendor(t, noColumns)
	_, _, lock := newTestOperations(t, v.accountConfig())
	items := []sink.Item{encodeEvent(t, lock, &event.FeedbackLock{})}
	ctx, cancel := context.WithCancel(t.Context())
	v.respond = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // a response could still overtake the cancellation
	}
	if got := lock.Send(ctx, items); got.Class != sink.Unknown || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("after the request: got %v with error %v, want unknown with context.Canceled", got.Class, got.Err)
	}
	if got := lock.Send(ctx, items); got.Class != sink.Unavailable || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("before the request: got %v with error %v, want unavailable with context.Canceled", got.Class, got.Err)
	}
}
