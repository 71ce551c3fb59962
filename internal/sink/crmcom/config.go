package crmcom

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	// The zone database is in the binary: images without one are common, and a wrong zone moves every date that is sent.
	_ "time/tzdata"
)

// Config is an account's section of the configuration. Default gives it with its defaults. Timeout and RequestsPerSecond are the caller's to apply.
type Config struct {
	BaseURL                string             `yaml:"base_url" allow:"url" doc:"the Web API's address, such as https://crm.example.com/crmapi/rest/v2"`
	Auth                   Auth               `yaml:"auth" doc:"web_api_key, or username, password and organisation"`
	TimeZone               string             `yaml:"time_zone" allow:"zone" doc:"zone of the dates that are sent, as in the IANA time zone database; the vendor's dates have none"`
	Timeout                time.Duration      `yaml:"timeout" allow:"1s.." doc:"longest time for one call, a login that it needs included"`
	RequestsPerSecond      float64            `yaml:"requests_per_second" allow:"0.." doc:"limit of the account; 0: none"`
	ErrorCodes             map[string]Meaning `yaml:"error_codes" allow:"rejected|retryable|delivered" doc:"vendor's error code -> rejected, retryable or delivered, over the defaults: NotFoundAPIValueException retryable, names that tell of a timeout, lock, connection or unavailability retryable, others rejected; a code listed here is never taken for a refused login"`
	LoginCodes             []string           `yaml:"login_codes" doc:"codes of a refused call that mean a refused login, besides those whose words tell of one"`
	Release                string             `yaml:"release" doc:"the vendor's release, R10 or newer, such as R11 or R10.1; it decides what may be sent"`
	TokenTTL               time.Duration      `yaml:"token_ttl" allow:"5m.." doc:"age at which a token is renewed at the latest; the vendor gives no expiry before R12"`
	ExternalSystem         string             `yaml:"external_system" doc:"external_system of events that name none"`
	FinancialStatementsSet string             `yaml:"financial_statements_set" allow:"financial_statement_customer_events_set|financial_achievement_customer_events_set" doc:"member that holds financial statements: financial_statement_customer_events_set, or financial_achievement_customer_events_set as the vendor's page had it before"`
}

// Auth is how the account logs in.
type Auth struct {
	WebAPIKey    string `yaml:"web_api_key" doc:"the vendor's recommendation"`
	Username     string `yaml:"username"`
	Password     string `yaml:"password"`
	Organisation string `yaml:"organisation"`
	Unit         string `yaml:"unit" doc:"id of the unit to work as; empty: the user's default"`
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

// Default is a Config with its defaults; base_url and auth have none. The token's 50 minutes are within the hour that the oldest releases give.
func Default() Config {
	return Config{
		TimeZone:               "UTC",
		Timeout:                60 * time.Second,
		Release:                "R11",
		TokenTTL:               50 * time.Minute,
		ExternalSystem:         "sluice",
		FinancialStatementsSet: statementsSet,
	}
}

// Check calls fault for every setting that cannot be used, with its path in the account's section and what is allowed.
func (c Config) Check(fault func(path, rule string, args ...any)) {
	must := func(ok bool, path, rule string, args ...any) {
		if !ok {
			fault(path, rule, args...)
		}
	}
	must(isBaseURL(c.BaseURL), "base_url", "must be an absolute http or https URL without user, query and fragment")
	c.Auth.check(must)
	_, err := time.LoadLocation(c.TimeZone)
	must(err == nil && c.TimeZone != "" && c.TimeZone != "Local", "time_zone", "must be an IANA zone such as Europe/Nicosia")
	must(c.Timeout > 0, "timeout", "must be over 0")
	must(c.RequestsPerSecond >= 0, "requests_per_second", "must be 0 or more")
	for _, code := range slices.Sorted(maps.Keys(c.ErrorCodes)) {
		m := c.ErrorCodes[code]
		must(m == MeansRejected || m == MeansRetryable || m == MeansDelivered, "error_codes."+code, "must be rejected, retryable or delivered")
	}
	for i, code := range c.LoginCodes {
		_, both := c.ErrorCodes[code]
		must(code != "" && !both, fmt.Sprintf("login_codes[%d]", i), "must be a code, and not one of error_codes")
	}
	_, ok := parseRelease(c.Release)
	must(ok, "release", "must be R10 or newer, such as R11 or R10.1")
	must(c.TokenTTL >= tokenMargin, "token_ttl", "must be 5m or more")
	must(c.ExternalSystem != "", "external_system", "must not be empty")
	s := c.FinancialStatementsSet
	must(s == statementsSet || s == oldStatementsSet, "financial_statements_set", "must be %s or %s", statementsSet, oldStatementsSet)
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func (a Auth) check(must func(ok bool, path, rule string, args ...any)) {
	user := a.Username != "" || a.Password != "" || a.Organisation != ""
	must(user != (a.WebAPIKey != ""), "auth", "must have web_api_key, or username, password and organisation")
	if !user || a.WebAPIKey != "" {
		return
	}
	must(a.Username != "", "auth.username", "is mandatory")
	must(a.Password != "", "auth.password", "is mandatory")
	must(a.Organisation != "", "auth.organisation", "is mandatory")
}
