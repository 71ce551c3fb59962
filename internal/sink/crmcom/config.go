package crmcom

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	// The zone database is in the binary: images without one are common, and a wrong zone moves every date that is sent.
	_ "time/tzdata"
)

// Config is one CRM.COM account. Fields left zero take the values of [Config.WithDefaults].
type Config struct {
	// BaseURL is the root of the Web API, such as https://crm.example.com/crmapi/rest/v2.
	BaseURL string `yaml:"base_url"`
	// Auth is a web API key or a user's login, not both.
	Auth Auth `yaml:"auth"`
	// TimeZone is the IANA zone in which dates are sent; the vendor's dates have none. Default UTC.
	TimeZone string `yaml:"time_zone"`
	// Timeout bounds one call. It is the caller's to apply, by the context of Send. Default 60s.
	Timeout time.Duration `yaml:"timeout"`
	// RequestsPerSecond is the account's limit, 0 for none. It is the caller's to apply.
	RequestsPerSecond float64 `yaml:"requests_per_second"`
	// ErrorCodes says what the vendor's error codes mean, over the defaults.
	ErrorCodes map[string]Meaning `yaml:"error_codes"`
	// Release is the vendor's release, such as R11 or R10.1. Default R11.
	Release string `yaml:"release"`
	// TokenTTL is how long a token is used at most; the vendor says no time with it. Default 50m, within the hour that the oldest releases give.
	TokenTTL time.Duration `yaml:"token_ttl"`
	// ExternalSystem goes out with every event that names none. Default "sluice".
	ExternalSystem string `yaml:"external_system"`
	// FinancialStatementsSet is the member that holds financial statements. The vendor's page had financial_achievement_customer_events_set
	// before it was corrected. Default financial_statement_customer_events_set.
	FinancialStatementsSet string `yaml:"financial_statements_set"`
}

// Auth is how the account logs in. Unit is optional: the default unit of the key's user otherwise.
type Auth struct {
	WebAPIKey    string `yaml:"web_api_key"`
	Username     string `yaml:"username"`
	Password     string `yaml:"password"`
	Organisation string `yaml:"organisation"`
	Unit         string `yaml:"unit"`
}

// Meaning is what an error code says of an item.
type Meaning string

// The meanings.
const (
	MeansRejected  Meaning = "rejected"
	MeansRetryable Meaning = "retryable"
	MeansDelivered Meaning = "delivered"
)

const (
	statementsSet    = "financial_statement_customer_events_set"
	oldStatementsSet = "financial_achievement_customer_events_set"
)

// WithDefaults is c with a value for each field left zero that has one.
func (c Config) WithDefaults() Config {
	setDefault(&c.TimeZone, "UTC")
	setDefault(&c.Timeout, 60*time.Second)
	setDefault(&c.Release, "R11")
	setDefault(&c.TokenTTL, 50*time.Minute)
	setDefault(&c.ExternalSystem, "sluice")
	setDefault(&c.FinancialStatementsSet, statementsSet)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate names every fault at once, joined, each with its key, the value unless it is a secret, and what is allowed.
func (c Config) Validate() error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
	}
	if !isBaseURL(c.BaseURL) {
		// The value may hold a password.
		fault("base_url", "must be an absolute http or https URL without user, query and fragment")
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil || c.TimeZone == "Local" {
		fault("time_zone", "%q must be an IANA zone such as Europe/Nicosia", c.TimeZone)
	}
	if c.Timeout <= 0 {
		fault("timeout", "%v must be over 0", c.Timeout)
	}
	if !(c.RequestsPerSecond >= 0) {
		fault("requests_per_second", "%v must be 0 or more", c.RequestsPerSecond)
	}
	for _, code := range slices.Sorted(maps.Keys(c.ErrorCodes)) {
		if m := c.ErrorCodes[code]; !slices.Contains([]Meaning{MeansRejected, MeansRetryable, MeansDelivered}, m) {
			fault("error_codes."+code, "%q must be rejected, retryable or delivered", string(m))
		}
	}
	if _, err := parseRelease(c.Release); err != nil {
		fault("release", "%w", err)
	}
	if c.TokenTTL < tokenMargin {
		fault("token_ttl", "%v must be %v or more", c.TokenTTL, tokenMargin)
	}
	if s := c.FinancialStatementsSet; s != statementsSet && s != oldStatementsSet {
		fault("financial_statements_set", "%q must be %s or %s", s, statementsSet, oldStatementsSet)
	}
	return errors.Join(append(faults, c.Auth.validate())...)
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func (a Auth) validate() error {
	var faults []error
	user := a.Username != "" || a.Password != "" || a.Organisation != ""
	switch {
	case a.WebAPIKey == "" && !user:
		faults = append(faults, errors.New("auth: web_api_key, or username, password and organisation, is mandatory"))
	case a.WebAPIKey != "" && user:
		faults = append(faults, errors.New("auth: web_api_key excludes username, password and organisation"))
	case a.WebAPIKey != "":
	default:
		for _, m := range [...]struct{ key, value string }{
			{"username", a.Username}, {"password", a.Password}, {"organisation", a.Organisation},
		} {
			if m.value == "" {
				faults = append(faults, fmt.Errorf("auth.%s: is mandatory without web_api_key", m.key))
			}
		}
	}
	return errors.Join(faults...)
}
