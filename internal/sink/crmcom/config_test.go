package crmcom

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
)

func TestEveryFaultOfAConfigurationIsNamedAtOnce(t *testing.T) {
	_, err := New("crm2", Config{
		BaseURL: "https://jo:s3cret@crm.example.com", TimeZone: "Europe/Atlantis", Timeout: -time.Second, RequestsPerSecond: math.NaN(),
		ErrorCodes: map[string]Meaning{"AException": "dead", "BException": MeansDelivered}, Release: "11", TokenTTL: time.Second,
		FinancialStatementsSet: "sets", Auth: Auth{WebAPIKey: "k3y", Username: "jo"},
	}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	got := strings.Split(err.Error(), "\n")
	want := []string{
		"configuring the CRM.COM account crm2: base_url: must be an absolute http or https URL without user, query and fragment",
		`time_zone: "Europe/Atlantis" must be an IANA zone such as Europe/Nicosia`,
		"timeout: -1s must be over 0",
		"requests_per_second: NaN must be 0 or more",
		`error_codes.AException: "dead" must be rejected, retryable or delivered`,
		`release: "11" must be a release such as R11 or R10.1`,
		"token_ttl: 1s must be 5m0s or more",
		`financial_statements_set: "sets" must be financial_statement_customer_events_set or financial_achievement_customer_events_set`,
		"auth: web_api_key excludes username, password and organisation",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestALoginIsAKeyOrAWholeUser(t *testing.T) {
	for _, c := range []struct {
		auth Auth
		want string
	}{
		{Auth{}, "auth: web_api_key, or username, password and organisation, is mandatory"},
		{Auth{Unit: "u"}, "auth: web_api_key, or username, password and organisation, is mandatory"},
		{Auth{WebAPIKey: "k", Unit: "u"}, ""},
		{Auth{Password: "s3cret"}, "auth.username: is mandatory without web_api_key\nauth.organisation: is mandatory without web_api_key"},
		{userLogin, ""},
	} {
		err := Config{BaseURL: "http://crm", Auth: c.auth}.WithDefaults().Validate()
		if got := fmt.Sprint(err); got != c.want && (c.want != "" || err != nil) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestReleasesBeforeR10AreRefused(t *testing.T) {
	for _, c := range []struct{ release, want string }{
		{"R9.1", `release: "R9.1" must be R10 or newer: older releases take no events in bulk`},
		{"R10.0.0", ""}, {"R18", ""}, {"R10.1.1.1", `release: "R10.1.1.1" must be a release such as R11 or R10.1`},
	} {
		err := Config{BaseURL: "http://crm", Auth: userLogin, Release: c.release}.WithDefaults().Validate()
		if got := fmt.Sprint(err); got != c.want && (c.want != "" || err != nil) {
			t.Errorf("%s: got %q, want %q", c.release, got, c.want)
		}
	}
}

func TestTheSevenOperationsAreNotRepeatableAndHaveAnEventEach(t *testing.T) {
	ops := unsent(t, nil)
	if len(ops) != 7 {
		t.Errorf("%d operations", len(ops))
	}
	events := map[string]bool{}
	for name, op := range ops {
		spec := op.Spec()
		if _, known := event.New(spec.Event); !known || events[spec.Event] {
			t.Errorf("%s: its event %s is unknown or another's", name, spec.Event)
		}
		events[spec.Event] = true
		if spec.MaxItems != 1000 || spec.Repeatable || spec.Unknown != sink.UnknownRetry || spec.Resends != 2 {
			t.Errorf("%s: got %+v", name, spec)
		}
	}
}
