package expoints

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

func encode(t *testing.T, op sink.Operation, ev any) sink.Item {
	t.Helper()
	item, err := op.Encode(t.Context(), ev, origin)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

func TestSendMakesTheDocumentedCall(t *testing.T) {
	v := newTenant(t, noColumns)
	add, finished, lock := open(t, v.config())
	for _, tt := range []struct {
		op    sink.Operation
		items []sink.Item
		path  string
		body  string
	}{
		{add, []sink.Item{encode(t, add, &event.FeedbackRequest{Email: new("a@example.org")}), encode(t, add, &event.FeedbackRequest{Email: new("b@example.org")})},
			"/external/api/v3/customer/add",
			`{"ApproveAutomatically":true,"IsTest":false,"TypeBatch":"email","AllowDuplicateEmail":false,"IsConcept":false,"Customers":[{"Email":"a@example.org"},{"Email":"b@example.org"}]}`},
		{finished, []sink.Item{encode(t, finished, &event.FeedbackFinished{Email: new("a@example.org")})},
			"/external/api/v3/customer/addfinished", `{"IsTest":false,"Customer":{"Email":"a@example.org"}}`},
		{lock, []sink.Item{encode(t, lock, &event.FeedbackLock{Email: new("a@example.org")})},
			"/external/api/v3/customer/addlock", `{"Email":"a@example.org"}`},
	} {
		answer := tt.op.Send(t.Context(), tt.items)
		if answer.Class != sink.Delivered || len(answer.ItemResults) != len(tt.items) {
			t.Fatalf("%s: got %v with %d results", tt.path, answer.Class, len(answer.ItemResults))
		}
		got := v.calls[len(v.calls)-1]
		if got.path != tt.path || string(got.body) != tt.body {
			t.Errorf("got %s\n%s\nwant %s\n%s", got.path, got.body, tt.path, tt.body)
		}
		if got.length != int64(len(tt.body)) {
			t.Errorf("%s: Content-Length is %d, want %d", tt.path, got.length, len(tt.body))
		}
		if got.header.Get("Authorization") != "Bearer static" || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: wrong header %v", tt.path, got.header)
		}
	}
}

func TestGroupKeepsTestAndConceptApart(t *testing.T) {
	for _, tt := range []struct {
		name          string
		isTest, isCon *bool
		byDefault     bool
		test, concept bool
	}{
		{"the account's default: live", nil, nil, false, false, false},
		{"the account's default: test", nil, nil, true, true, false},
		{"the event says test", new(true), nil, false, true, false},
		{"the event says live", new(false), nil, true, false, false},
		{"concept", nil, new(true), false, false, true},
		{"both", new(true), new(true), false, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newTenant(t, noColumns).config()
			cfg.Batch.IsTest = tt.byDefault
			add, _, _ := open(t, cfg)
			item := encode(t, add, &event.FeedbackRequest{IsTest: tt.isTest, IsConcept: tt.isCon})
			got := object(t, body(accountOf(t, cfg), time.Now(), item))
			if got["IsTest"] != tt.test || got["IsConcept"] != tt.concept {
				t.Errorf("IsTest %v, IsConcept %v in group %q", got["IsTest"], got["IsConcept"], item.EnvelopeKey)
			}
		})
	}
}

func TestOneAddressIsOneEntityUnlessDuplicatesAreAllowed(t *testing.T) {
	cfg := newTenant(t, noColumns).config()
	add, _, _ := open(t, cfg)
	one := encode(t, add, &event.FeedbackRequest{Email: new("Jane@Example.org ")})
	two := encode(t, add, &event.FeedbackRequest{Email: new("jane@example.org")})
	if one.EntityKey == "" || one.EntityKey != two.EntityKey {
		t.Errorf("spellings of one address are the entities %q and %q", one.EntityKey, two.EntityKey)
	}
	for _, none := range []*string{nil, new("")} {
		if item := encode(t, add, &event.FeedbackRequest{Email: none}); item.EntityKey != "" {
			t.Errorf("a customer without an address is the entity %q", item.EntityKey)
		}
	}
	if item := encode(t, add, &event.FeedbackRequest{Email: new(" ")}); item.EntityKey == "" {
		t.Error("an address of spaces, which two customers may share, is no entity")
	}
	cfg.Batch.AllowDuplicateEmail = true
	add, _, _ = open(t, cfg)
	if item := encode(t, add, &event.FeedbackRequest{Email: new("jane@example.org")}); item.EntityKey != "" {
		t.Errorf("with duplicates allowed the entity is %q", item.EntityKey)
	}
}

func TestEnvelopeSizeBoundsTheEnvelope(t *testing.T) {
	v := newTenant(t, noColumns)
	rapid.Check(t, func(r *rapid.T) {
		cfg := v.config()
		cfg.TimeZone = rapid.SampledFrom([]string{"Europe/Amsterdam", "UTC", "Asia/Kathmandu"}).Draw(r, "zone")
		cfg.Batch.EndAfter = time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(r, "end"))
		cfg.Batch.SendTime = rapid.SampledFrom([]string{"", "11:30", "05:53:05.4618467"}).Draw(r, "send")
		cfg.Batch.BatchName = rapid.String().Draw(r, "name")
		cfg.Batch.NotificationEmailAddresses = rapid.SliceOf(rapid.String()).Draw(r, "addresses")
		a := accountOf(t, cfg)
		g := group{rapid.Bool().Draw(r, "test"), rapid.Bool().Draw(r, "concept")}
		prefix, suffix := a.envelope(g, time.Unix(0, rapid.Int64().Draw(r, "now")))
		if got := len(prefix) + len(suffix); got > a.envelopeSize() {
			r.Fatalf("%d bytes, bound %d", got, a.envelopeSize())
		}
		if !json.Valid(append(prefix, suffix...)) {
			r.Fatalf("not JSON: %s%s", prefix, suffix)
		}
		if parseGroup(g.String()) != g {
			r.Fatalf("group %+v comes back as %+v", g, parseGroup(g.String()))
		}
	})
}

func TestInstantsGoOutInTheZoneWithSevenDigits(t *testing.T) {
	add, _, _ := open(t, newTenant(t, noColumns).config())
	for in, want := range map[string]string{
		"2025-01-18T04:53:05Z":           "2025-01-18T05:53:05+01:00",
		"2025-07-18T04:53:05.5Z":         "2025-07-18T06:53:05.5+02:00",
		"2025-01-18T04:53:05.123456789Z": "2025-01-18T05:53:05.1234567+01:00",
		"1800-01-01T12:00:00Z":           "1800-01-01T12:00:00Z", // local mean time: an offset with seconds, which RFC 3339 lacks
	} {
		item := encode(t, add, &event.FeedbackRequest{SendDate: instant(t, in)})
		if got := object(t, item.Body)["SendDate"]; got != want {
			t.Errorf("%s goes out as %v, want %s", in, got, want)
		}
	}
}

// The vendor looks at the time of day alone, so it must be the configured one in summer and winter.
func TestBatchDatesKeepTheirTimeOfDayInTheZone(t *testing.T) {
	for _, tt := range []struct{ zone, now, send, end string }{
		{"Europe/Amsterdam", "2025-01-18T23:30:00Z", "2025-01-19T11:30:00+01:00", "2025-01-20T00:30:00+01:00"},
		{"Europe/Amsterdam", "2025-07-18T04:53:05Z", "2025-07-18T11:30:00+02:00", "2025-07-19T06:53:05+02:00"},
		{"Europe/Amsterdam", "2025-03-30T00:15:00Z", "2025-03-30T11:30:00+02:00", "2025-03-31T02:15:00+02:00"},
		{"UTC", "2025-07-18T04:53:05Z", "2025-07-18T11:30:00Z", "2025-07-19T04:53:05Z"},
	} {
		cfg := newTenant(t, noColumns).config()
		cfg.TimeZone, cfg.Batch.SendTime, cfg.Batch.EndAfter = tt.zone, "11:30", 24*time.Hour
		add, _, _ := open(t, cfg)
		got := object(t, body(accountOf(t, cfg), *instant(t, tt.now), encode(t, add, &event.FeedbackRequest{})))
		if got["SendTime"] != tt.send || got["EndDate"] != tt.end {
			t.Errorf("at %s in %s: SendTime %v and EndDate %v, want %s and %s", tt.now, tt.zone, got["SendTime"], got["EndDate"], tt.send, tt.end)
		}
	}
}

func TestEveryFaultOfAnEventIsNamedByItsPath(t *testing.T) {
	_, finished, _ := open(t, newTenant(t, noColumns).config())
	far := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err := finished.Encode(t.Context(), &event.FeedbackFinished{
		QuestionnaireId: new("2ec40570e56345eb9c254dec09dee46b"), FinishedDate: &far,
		Answers: []event.ExpointsFinishedAnswer{{QuestionId: new("d6de312c-7da4-483d-841c-25a046ea03cd")}, {QuestionId: new("d6de312c-7da4-483d-841c-25a046ea03cg"), DateAnswered: &far}},
		Data:    []event.ExpointsData{row("Nope")},
	}, origin)
	const guid, years = "must be a globally unique identifier, 8-4-4-4-12 hexadecimal digits", "must lie in the years 1 to 9999"
	wantFaults(t, err, []sink.Violation{
		{Path: "Data[0].Name", Rule: "must be a column of the account"},
		{Path: "QuestionnaireId", Rule: guid}, {Path: "FinishedDate", Rule: years},
		{Path: "Answers[1].QuestionId", Rule: guid}, {Path: "Answers[1].DateAnswered", Rule: years},
	})
}

func TestAnyTextBecomesValidJSON(t *testing.T) {
	v := newTenant(t, `{"CustomerDataColumns":[{"Id":1,"Name":"c"}]}`)
	add, _, _ := open(t, v.config())
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(r, "text")
		item, err := add.Encode(t.Context(), &event.FeedbackRequest{
			Email: &text, Data: []event.ExpointsData{{Name: "c", Value: text}}, Answers: []event.ExpointsAnswer{{Text: &text}},
		}, origin)
		if !utf8.ValidString(text) {
			if !errors.As(err, new(*sink.ValidationError)) {
				r.Fatalf("%q: %v, want it to be invalid, for it cannot be sent unchanged", text, err)
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
			r.Fatalf("%q came out as %q and %q", text, got.Email, got.Data[0].Value)
		}
	})
}

func TestAnotherEventIsAnError(t *testing.T) {
	add, _, _ := open(t, newTenant(t, noColumns).config())
	if _, err := add.Encode(t.Context(), &event.FeedbackLock{}, origin); err == nil {
		t.Error("add took an event of addlock")
	}
}

// login is an OAuth2 token endpoint that gives token-1, token-2, ...
func login(t *testing.T, cfg Config) Config {
	t.Helper()
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != "id" || r.FormValue("client_secret") != "secret" || r.FormValue("scope") != "api://x" {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"invalid_client"}`)
			return
		}
		n++
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":"3599","access_token":"token-%d"}`, n)
	}))
	t.Cleanup(srv.Close)
	cfg.Auth = Auth{TokenURL: srv.URL, ClientID: "id", ClientSecret: config.NewSecret("secret"), Scope: "api://x"}
	return cfg
}

func TestRefusedTokenIsRenewed(t *testing.T) {
	v := newTenant(t, noColumns)
	v.answer = func(w http.ResponseWriter, _ *http.Request) {
		if v.calls[len(v.calls)-1].header.Get("Authorization") != "Bearer token-2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	_, _, lock := open(t, login(t, v.config()))
	items := []sink.Item{encode(t, lock, &event.FeedbackLock{})}
	refused := lock.Send(t.Context(), items)
	if refused.Class != sink.Unauthorized || refused.TokenVersion == 0 {
		t.Fatalf("got %v with token %d, want unauthorized with the token's name", refused.Class, refused.TokenVersion)
	}
	if err := lock.(sink.TokenRefresher).RefreshToken(t.Context(), refused.TokenVersion); err != nil {
		t.Fatal(err)
	}
	if again := lock.Send(t.Context(), items); again.Class != sink.Delivered {
		t.Errorf("with the new token: %v", again.Class)
	}
}

func TestRefusedLoginIsTheAnswer(t *testing.T) {
	v := newTenant(t, noColumns)
	cfg := login(t, v.config())
	cfg.Auth.ClientSecret = config.NewSecret("hunter2")
	_, _, lock := open(t, cfg)
	answer := lock.Send(t.Context(), []sink.Item{encode(t, lock, &event.FeedbackLock{})})
	if answer.Class != sink.Unauthorized || answer.TokenVersion != 0 || len(v.calls) != 0 {
		t.Errorf("got %v with token %d after %d calls, want unauthorized without any", answer.Class, answer.TokenVersion, len(v.calls))
	}
	if answer.Err == nil || strings.Contains(answer.Err.Error(), "hunter2") {
		t.Errorf("the error is %v", answer.Err)
	}
}

func TestStaticTokenIsNotRenewed(t *testing.T) {
	add, _, _ := open(t, newTenant(t, noColumns).config())
	used := add.(sink.Prober).Probe(t.Context()).TokenVersion
	wantUnready(t, add.(sink.TokenRefresher).RefreshToken(t.Context(), used), sink.Unauthorized)
}

func TestContextThatEndsIsUnavailableBeforeAndUnknownAfterTheRequest(t *testing.T) {
	v := newTenant(t, noColumns)
	_, _, lock := open(t, v.config())
	items := []sink.Item{encode(t, lock, &event.FeedbackLock{})}
	ctx, cancel := context.WithCancel(t.Context())
	v.answer = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // an answer could still overtake the cancellation
	}
	answer := lock.Send(ctx, items)
	if answer.Class != sink.Unknown || !errors.Is(answer.Err, context.Canceled) {
		t.Errorf("after the request: %v, %v", answer.Class, answer.Err)
	}
	answer = lock.Send(ctx, items)
	if answer.Class != sink.Unavailable || !errors.Is(answer.Err, context.Canceled) {
		t.Errorf("before the request: %v, %v", answer.Class, answer.Err)
	}
}
