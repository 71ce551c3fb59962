package crmcom

import (
	"math"
	"slices"
	"testing"
	"time"

	"sluice/internal/config"
	"sluice/internal/event"
	"sluice/internal/sink"
)

func TestEveryInvalidSettingIsReportedAtOnce(t *testing.T) {
	_, err := New("crm2", Config{
		BaseURL: "https://jo:s3cret@crm.example.com", TimeZone: "Europe/Atlantis", Timeout: -time.Second,
		RequestsPerSecond: math.NaN(),
		ErrorCodes:        map[string]Meaning{"AException": "dead", "BException": MeansDelivered},
		LoginCodes:        []string{"CException", "BException", ""}, Release: "11", TokenTTL: time.Second,
		FinancialStatementsSet: "sets", Auth: Auth{WebAPIKey: config.NewSecret("k3y"), Username: "jo"},
	}, nil)
	if err == nil {
		t.Fatal("got no error, want every invalid setting")
	}
	want := `configuring the CRM.COM account crm2: base_url: must be an absolute http or https URL without user, query and fragment
time_zone: must be a time zone from the IANA database, such as Europe/Amsterdam
timeout: must be 1s or more
requests_per_second: must be 0 or more
error_codes.AException: must be rejected, retryable or delivered
token_ttl: must be 5m or more
external_system: is mandatory
financial_statements_set: must be financial_statement_customer_events_set or financial_achievement_customer_events_set
auth: must have web_api_key, or username, password and organisation
login_codes[1]: must be a code, and not one of error_codes
login_codes[2]: must be a code, and not one of error_codes
release: must be R10 or newer, such as R11 or R10.1`
	if err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func checkedPaths(c Config) []string {
	var paths []string
	c.Check(func(path, _ string, _ ...any) { paths = append(paths, path) })
	return paths
}

func TestAuthIsEitherAKeyOrACompleteUser(t *testing.T) {
	for _, c := range []struct {
		auth Auth
		want []string
	}{
		{Auth{}, []string{"auth"}},
		{Auth{Unit: "u"}, []string{"auth"}},
		{Auth{WebAPIKey: config.NewSecret("k"), Password: config.NewSecret("s3cret")}, []string{"auth"}},
		{Auth{WebAPIKey: config.NewSecret("k"), Unit: "u"}, nil},
		{Auth{Password: config.NewSecret("s3cret")}, []string{"auth.username", "auth.organisation"}},
		{Auth{Username: "jo", Organisation: "org"}, []string{"auth.password"}},
		{userLogin, nil},
	} {
		if got := checkedPaths(configFor("http://crm", c.auth)); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got violations at %q, want %q", c.auth, got, c.want)
		}
	}
}

func TestReleasesBeforeR10AreInvalid(t *testing.T) {
	for release, want := range map[string][]string{
		"R9.1": {"release"}, "R10.1.1.1": {"release"}, "": {"release"}, "r11": {"release"}, "R10": nil, "R10.0.0": nil,
		"R18": nil,
	} {
		cfg := configFor("http://crm", userLogin)
		cfg.Release = release
		if got := checkedPaths(cfg); !slices.Equal(got, want) {
			t.Errorf("%s: got violations at %q, want %q", release, got, want)
		}
	}
}

func TestSevenOperationsAreNotRepeatableAndHaveOneEventEach(t *testing.T) {
	ops := newUncalledOperations(t, nil)
	if len(ops) != 7 || len(Specs()) != 7 {
		t.Errorf("got %d operations and %d specs, want 7", len(ops), len(Specs()))
	}
	events := map[string]bool{}
	for name, op := range ops {
		spec := op.Spec()
		if _, known := event.NewEvent(spec.Event); !known || events[spec.Event] {
			t.Errorf("%s: got event %s, which is unknown or another operation's", name, spec.Event)
		}
		events[spec.Event] = true
		if spec.MaxItems != 1000 || spec.Repeatable || spec.UnknownPolicy != sink.UnknownRetry || spec.MaxResends != 2 {
			t.Errorf("%s: got %+v", name, spec)
		}
	}
}
