package crmcom

import (
	"fmt"
	"time"

	"sluice/internal/config"
)

// Config is the section of a CRM.COM account in the configuration file. Default returns the default
// Config. The caller applies Timeout and RequestsPerSecond.
type Config struct {
	BaseURL                string             `yaml:"base_url" allow:"url" required:"true" doc:"URL of the Web API, such as https://crm.example.com/crmapi/rest/v2"`
	Auth                   Auth               `yaml:"auth" doc:"web_api_key, or username, password and organisation"`
	TimeZone               string             `yaml:"time_zone" allow:"zone" required:"true" doc:"IANA time zone of the dates that are sent, which have no zone of their own"`
	Timeout                time.Duration      `yaml:"timeout" allow:"1s.." doc:"longest duration of one call, including a login that it needs"`
	RequestsPerSecond      float64            `yaml:"requests_per_second" allow:"0.." doc:"rate limit of the account; 0: none"`
	ErrorCodes             map[string]Meaning `yaml:"error_codes" allow:"rejected|retryable|delivered" doc:"vendor error code -> what it means for an item; overrides the defaults: NotFoundAPIValueException and names about a timeout, lock, connection or unavailability are retryable, others rejected. A code listed here never means a refused login"`
	LoginCodes             []string           `yaml:"login_codes" doc:"error codes of a call that mean a refused login, besides those whose words say so"`
	Release                string             `yaml:"release" doc:"release of the vendor, R10 or newer, such as R11 or R10.1; it decides which members may be sent"`
	TokenTTL               time.Duration      `yaml:"token_ttl" allow:"5m.." doc:"age at which a token is replaced at the latest; releases before R12 state no expiry"`
	ExternalSystem         string             `yaml:"external_system" required:"true" doc:"external_system of events that have none"`
	FinancialStatementsSet string             `yaml:"financial_statements_set" allow:"financial_statement_customer_events_set|financial_achievement_customer_events_set" doc:"member of a call that holds financial statements; earlier versions of the vendor's page have financial_achievement_customer_events_set"`
}

// Auth is how the account logs in: with a web API key, or as a user.
type Auth struct {
	WebAPIKey    config.Secret `yaml:"web_api_key" doc:"web API key, which the vendor recommends"`
	Username     string        `yaml:"username"`
	Password     config.Secret `yaml:"password"`
	Organisation string        `yaml:"organisation"`
	Unit         string        `yaml:"unit" doc:"ID of the unit to act as; empty: the user's default"`
}

// Meaning is what an error code means for an item.
type Meaning string

// The meanings of error codes.
const (
	MeansRejected  Meaning = "rejected"
	MeansRetryable Meaning = "retryable"
	MeansDelivered Meaning = "delivered"
)

// statementsSet is the default name of the call's member for financial statements.
const statementsSet = "financial_statement_customer_events_set"

// Default returns the default Config. BaseURL and Auth have no default. TokenTTL is below the hour
// for which the oldest releases accept a token.
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

// Check reports every invalid setting with its path in the account's section and the rule that it
// breaks.
func (c Config) Check(report config.ReportFunc) {
	config.CheckTags(c, report)
	c.Auth.check(report)
	for i, code := range c.LoginCodes {
		if _, both := c.ErrorCodes[code]; code == "" || both {
			report(fmt.Sprintf("login_codes[%d]", i), "must be a code, and not one of error_codes")
		}
	}
	if _, ok := parseRelease(c.Release); !ok {
		report("release", "must be R10 or newer, such as R11 or R10.1")
	}
}

// check reports the settings that either login lacks, or that both logins are configured.
func (a Auth) check(report config.ReportFunc) {
	asUser := a.Username != "" || a.Password.IsSet() || a.Organisation != ""
	if asUser == a.WebAPIKey.IsSet() {
		report("auth", "must have web_api_key, or username, password and organisation")
		return
	}
	if a.WebAPIKey.IsSet() {
		return
	}
	if a.Username == "" {
		report("auth.username", "is mandatory")
	}
	if !a.Password.IsSet() {
		report("auth.password", "is mandatory")
	}
	if a.Organisation == "" {
		report("auth.organisation", "is mandatory")
	}
}
