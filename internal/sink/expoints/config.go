package expoints

import (
	"net/http"
	"time"

	"sluice/internal/config"
	"sluice/internal/sink/vendorhttp"
)

// Config is an account's section of the configuration file. Its tags define which values a field
// may have, see [config.CheckTags].
type Config struct {
	BaseURL           string        `yaml:"base_url" allow:"url" required:"true" doc:"URL of the tenant, such as https://tenant.expoints.nl"`
	Auth              Auth          `yaml:"auth" doc:"OAuth2 client credentials, or bearer_token alone"`
	TimeZone          string        `yaml:"time_zone" allow:"zone" required:"true" doc:"zone in which instants are sent, as in the IANA time zone database"`
	EventIDColumn     string        `yaml:"event_id_column" doc:"data column for the event's ID, or for the record's origin if the event has no ID; empty: none; an event that has a value for the column keeps it"`
	Timeout           time.Duration `yaml:"timeout" allow:"1s.." doc:"maximum duration of a call, including the login if one is needed"`
	RequestsPerSecond float64       `yaml:"requests_per_second" allow:"0.." doc:"rate limit of the account; 0: none"`
	ColumnsRefresh    time.Duration `yaml:"columns_refresh" allow:"1m.." doc:"age at which the column catalogue is fetched again"`
	Batch             Batch         `yaml:"batch" doc:"settings of a batch of customer/add; is_test applies to addfinished as well"`
}

// Auth has the credentials of the account.
type Auth struct {
	TokenURL     string        `yaml:"token_url" allow:"url" doc:"OAuth2 token endpoint"`
	ClientID     string        `yaml:"client_id"`
	ClientSecret config.Secret `yaml:"client_secret"`
	Scope        string        `yaml:"scope" doc:"OAuth2 scope; empty: none is requested"`
	BearerToken  config.Secret `yaml:"bearer_token" doc:"a token that does not expire, instead of the other four"`
}

// Batch has the settings of a batch that the vendor documents. IsTest and IsConcept apply to events
// that do not set them.
type Batch struct {
	ApproveAutomatically       bool          `yaml:"approve_automatically" doc:"false: an experience manager approves each batch by hand"`
	IsTest                     bool          `yaml:"is_test" doc:"customers are test records: they get mail, but are not in the results"`
	IsConcept                  bool          `yaml:"is_concept" doc:"customers are concepts, and therefore tests: only for concept questionnaires"`
	TypeBatch                  string        `yaml:"type_batch" allow:"0|1|email|portal" doc:"0 is email, 1 is portal"`
	AllowDuplicateEmail        bool          `yaml:"allow_duplicate_email" doc:"a batch may have several customers with one email address; false: they are sent in separate batches"`
	EndAfter                   time.Duration `yaml:"end_after" allow:"0s.." doc:"EndDate, as the time after the call; 0: none"`
	SendTime                   string        `yaml:"send_time" doc:"earliest time of day for mail, such as 11:30 or 11:30:00, in time_zone; empty: none"`
	NotificationEmailAddresses []string      `yaml:"notification_email_addresses" doc:"addresses that are notified of a batch; empty: the default of the front office"`
	BatchName                  string        `yaml:"batch_name" doc:"name of each batch; empty: none"`
}

// Default returns a Config with the defaults. base_url and auth have none.
func Default() Config {
	return Config{
		TimeZone:       "Europe/Amsterdam",
		Timeout:        60 * time.Second,
		ColumnsRefresh: 10 * time.Minute,
		Batch:          Batch{ApproveAutomatically: true, TypeBatch: "email"},
	}
}

// tokenRefreshMargin is how long before its expiry a token is refreshed. The vendor's tokens are
// valid for about an hour.
const tokenRefreshMargin = 5 * time.Minute

// Check reports every invalid setting, with its path within the account's section and the rule that
// it violates.
func (c Config) Check(report config.ReportFunc) {
	config.CheckTags(c, report)
	c.Auth.checkLogin(report)
	if _, err := parseTimeOfDay(c.Batch.SendTime); err != nil {
		report("batch.send_time", "must be a time of day such as 11:30 or 11:30:00")
	}
}

// checkLogin reports what is missing for a login with client credentials, and whether neither or
// both ways to log in are configured.
func (a Auth) checkLogin(report config.ReportFunc) {
	hasCredentials := a.TokenURL != "" || a.ClientID != "" || a.ClientSecret.IsSet() || a.Scope != ""
	if hasCredentials == a.BearerToken.IsSet() {
		report("auth", "must have token_url, client_id and client_secret, or bearer_token alone")
	}
	if !hasCredentials {
		return
	}
	if a.TokenURL == "" {
		report("auth.token_url", "is mandatory")
	}
	if a.ClientID == "" {
		report("auth.client_id", "is mandatory")
	}
	if !a.ClientSecret.IsSet() {
		report("auth.client_secret", "is mandatory")
	}
}

func (a Auth) newTokenSource(client *http.Client) *vendorhttp.TokenSource {
	if a.BearerToken.IsSet() {
		return vendorhttp.StaticToken(a.BearerToken.Reveal())
	}
	fetch := vendorhttp.ClientCredentials(
		client, a.TokenURL, a.ClientID, a.ClientSecret.Reveal(), a.Scope, vendorhttp.AuthInBody)
	return vendorhttp.NewTokenSource(fetch, tokenRefreshMargin)
}

// parseTimeOfDay parses "15:04" or "15:04:05". The empty text means no time and returns the zero
// time.
func parseTimeOfDay(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse("15:04", text); err == nil {
		return t, nil
	}
	return time.Parse("15:04:05", text)
}
