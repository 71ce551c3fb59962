package expoints

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	// The zone database is in the binary: images without one are common.
	_ "time/tzdata"

	"sluice/internal/config"
	"sluice/internal/sink/vendorhttp"
)

// Config is an account's section of the configuration. Default gives it with its defaults.
type Config struct {
	BaseURL           string        `yaml:"base_url" allow:"url" doc:"the tenant's address, such as https://tenant.expoints.nl"`
	Auth              Auth          `yaml:"auth" doc:"OAuth2 client credentials, or bearer_token alone"`
	TimeZone          string        `yaml:"time_zone" allow:"zone" doc:"zone of the instants that are sent, as in the IANA time zone database"`
	EventIDColumn     string        `yaml:"event_id_column" doc:"data column that takes the event's id, or the record's origin where it has none; empty: none; an event that fills the column itself is left as it is"`
	Timeout           time.Duration `yaml:"timeout" allow:"1s.." doc:"longest time for one call, a login that it needs included"`
	RequestsPerSecond float64       `yaml:"requests_per_second" allow:"0.." doc:"limit of the account; 0: none"`
	ColumnsRefresh    time.Duration `yaml:"columns_refresh" allow:"1m.." doc:"age at which the column catalogue is read anew"`
	Batch             Batch         `yaml:"batch" doc:"settings of a batch of customer/add; is_test holds for addfinished too"`
}

// Auth is how the account logs in.
type Auth struct {
	TokenURL     string        `yaml:"token_url" allow:"url" doc:"OAuth2 token endpoint"`
	ClientID     string        `yaml:"client_id"`
	ClientSecret config.Secret `yaml:"client_secret"`
	Scope        string        `yaml:"scope" doc:"OAuth2 scope; empty: none is asked for"`
	BearerToken  config.Secret `yaml:"bearer_token" doc:"a token that does not expire, in place of the other four"`
}

// Batch is what the page documents of a batch besides its customers. IsTest and IsConcept hold for events that do not say otherwise.
type Batch struct {
	ApproveAutomatically       bool          `yaml:"approve_automatically" doc:"false: an experience manager approves each batch by hand"`
	IsTest                     bool          `yaml:"is_test" doc:"customers are test records: mailed, but not in the results"`
	IsConcept                  bool          `yaml:"is_concept" doc:"customers are concept, and so test: only for concept questionnaires"`
	TypeBatch                  string        `yaml:"type_batch" allow:"0|1|email|portal" doc:"0 is email, 1 is portal"`
	AllowDuplicateEmail        bool          `yaml:"allow_duplicate_email" doc:"one batch may hold an e-mail address twice; false: the second one goes in another batch"`
	EndAfter                   time.Duration `yaml:"end_after" allow:"0s.." doc:"EndDate, as time from the call on; 0: none"`
	SendTime                   string        `yaml:"send_time" doc:"earliest time of day for mail, such as 11:30 or 11:30:00, in time_zone; empty: none"`
	NotificationEmailAddresses []string      `yaml:"notification_email_addresses" doc:"who is told of a batch; empty: the front office's default"`
	BatchName                  string        `yaml:"batch_name" doc:"name of each batch; empty: none"`
}

// Default is a Config with its defaults; base_url and auth have none.
func Default() Config {
	return Config{
		TimeZone:       "Europe/Amsterdam",
		Timeout:        60 * time.Second,
		ColumnsRefresh: 10 * time.Minute,
		Batch:          Batch{ApproveAutomatically: true, TypeBatch: "email"},
	}
}

// tokenMargin: the vendor's tokens hold for about an hour.
const tokenMargin = 5 * time.Minute

// Check calls fault for every setting that cannot be used, with its path in the account's section and what is allowed.
func (c Config) Check(fault func(path, rule string, args ...any)) {
	must := func(ok bool, path, rule string) {
		if !ok {
			fault(path, rule)
		}
	}
	must(isBaseURL(c.BaseURL), "base_url", urlRule)
	c.Auth.check(must)
	_, err := time.LoadLocation(c.TimeZone)
	must(err == nil && c.TimeZone != "" && c.TimeZone != "Local", "time_zone", "must be an IANA zone such as Europe/Amsterdam")
	must(c.Timeout >= time.Second, "timeout", "must be 1s or more")
	must(c.RequestsPerSecond >= 0, "requests_per_second", "must be 0 or more")
	must(c.ColumnsRefresh >= verdictAge, "columns_refresh", "must be 1m or more")
	must(slices.Contains([]string{"0", "1", "email", "portal"}, c.Batch.TypeBatch), "batch.type_batch", "must be 0, 1, email or portal")
	must(c.Batch.EndAfter >= 0, "batch.end_after", "must be 0 or more")
	_, err = parseTimeOfDay(c.Batch.SendTime)
	must(err == nil, "batch.send_time", "must be a time of day such as 11:30 or 11:30:00")
}

const urlRule = "must be an absolute http or https URL without user, query and fragment"

func (a Auth) check(must func(ok bool, path, rule string)) {
	credentials := a.TokenURL != "" || a.ClientID != "" || a.ClientSecret.IsSet() || a.Scope != ""
	must(credentials != a.BearerToken.IsSet(), "auth", "must have token_url, client_id and client_secret, or bearer_token alone")
	if !credentials {
		return
	}
	must(isBaseURL(a.TokenURL), "auth.token_url", urlRule)
	must(a.ClientID != "", "auth.client_id", "is mandatory")
	must(a.ClientSecret.IsSet(), "auth.client_secret", "is mandatory")
}

func (a Auth) source(client *http.Client) *vendorhttp.TokenSource {
	if a.BearerToken.IsSet() {
		return vendorhttp.StaticToken(a.BearerToken.Reveal())
	}
	return vendorhttp.NewTokenSource(vendorhttp.ClientCredentials(client, a.TokenURL, a.ClientID, a.ClientSecret.Reveal(), a.Scope, vendorhttp.AuthInBody), tokenMargin)
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// parseTimeOfDay reads "15:04" or "15:04:05"; empty is midnight, and not sent.
func parseTimeOfDay(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse("15:04", s); err == nil {
		return t, nil
	}
	return time.Parse("15:04:05", s)
}
