package propel

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"sluice/internal/config"
	"sluice/internal/sink/vendorhttp"
)

// Config is an account's section of the configuration file.
type Config struct {
	BaseURL           string            `yaml:"base_url" allow:"url" doc:"the API's address with its version"`
	Auth              Auth              `yaml:"auth" doc:"OAuth2 client credentials (Backoffice > Admin > API Key Management; new keys are inactive)"`
	Timeout           time.Duration     `yaml:"timeout" allow:"1s.." doc:"longest time for one call, a login that it needs included"`
	RequestsPerSecond float64           `yaml:"requests_per_second" allow:"0.." doc:"limit of the account; 0: none"`
	MaxItems          int               `yaml:"max_items" allow:"1..1000" doc:"customers a call; the vendor states no limit"`
	GenderCase        string            `yaml:"gender_case" allow:"upper|lower" doc:"upper or lower: how a customer's gender is sent; the vendor's pages have both"`
	SSNType           string            `yaml:"ssn_type" allow:"string|integer" doc:"string or integer: how a customer's ssn is sent; the vendor's pages have both"`
	ErrorCodes        map[string]string `yaml:"error_codes" allow:"rejected|misconfigured" doc:"vendor code of a 400 -> rejected (the data is to blame) or misconfigured (the set-up is), over the defaults: 10005 and 10006 misconfigured, others rejected"`
	DataCodes         []string          `yaml:"data_codes" doc:"vendor codes with which a 404 or 405 blames the data and not the endpoint"`
	TransientErrors   []string          `yaml:"transient_errors" doc:"regular expressions; a customer refused with such a text is tried again later"`
}

// Auth is how the account logs in.
type Auth struct {
	TokenURL     string        `yaml:"token_url" allow:"url" doc:"OAuth2 token endpoint"`
	ClientID     string        `yaml:"client_id"`
	ClientSecret config.Secret `yaml:"client_secret"`
	Style        string        `yaml:"style" allow:"body|basic" doc:"body or basic: where client_id and client_secret stand in the login"`
}

const (
	genderUpper, genderLower              = "upper", "lower"
	ssnString, ssnInteger                 = "string", "integer"
	authStyleBody, authStyleBasic         = "body", "basic"
	meaningRejected, meaningMisconfigured = "rejected", "misconfigured"

	// maxItemsLimit bounds max_items. The vendor documents no limit.
	maxItemsLimit = 1000
	// tokenRefreshMargin is how long before its expiry a token is refreshed. The vendor's tokens are
	// valid for 30 minutes.
	tokenRefreshMargin = 2 * time.Minute
)

// defaultCodeMeanings has InvalidJSONPayload and InvalidLookupKey, which no customer can cause.
var defaultCodeMeanings = map[string]string{"10005": meaningMisconfigured, "10006": meaningMisconfigured}

// Default returns a Config with the defaults. The credentials have none.
func Default() Config {
	return Config{
		BaseURL:    "https://api.helice.cloud/v2",
		Auth:       Auth{TokenURL: "https://api.helice.cloud/oauth2/token", Style: authStyleBody},
		Timeout:    60 * time.Second,
		MaxItems:   100,
		GenderCase: genderUpper,
		SSNType:    ssnString,
		// CustomerNotFound, ParentCustomerNotFound, CustomerNotAllowed.
		DataCodes: []string{"60006", "60007", "60008"},
		TransientErrors: []string{
			`(?i)time-?out|timed out|dead-?lock|\block(ed)?\b|temporar|try again|unavailable|connection`,
		},
	}
}

// Check calls report for every invalid setting, with its path within the account's section and the
// rule that it violates, a format for args.
func (c Config) Check(report func(path, rule string, args ...any)) {
	must := func(ok bool, path, rule string, args ...any) {
		if !ok {
			report(path, rule, args...)
		}
	}
	must(isBaseURL(c.BaseURL), "base_url", urlRule)
	must(isBaseURL(c.Auth.TokenURL), "auth.token_url", urlRule)
	must(c.Auth.ClientID != "", "auth.client_id", "is mandatory")
	must(c.Auth.ClientSecret.IsSet(), "auth.client_secret", "is mandatory")
	must(c.Auth.Style == authStyleBody || c.Auth.Style == authStyleBasic, "auth.style", "must be body or basic")
	must(c.Timeout > 0, "timeout", "must be over 0")
	must(c.RequestsPerSecond >= 0, "requests_per_second", "must be 0 or more")
	must(c.MaxItems >= 1 && c.MaxItems <= maxItemsLimit, "max_items", "must be 1 to %d", maxItemsLimit)
	must(c.GenderCase == genderUpper || c.GenderCase == genderLower, "gender_case", "must be upper or lower")
	must(c.SSNType == ssnString || c.SSNType == ssnInteger, "ssn_type", "must be string or integer")
	for _, code := range slices.Sorted(maps.Keys(c.ErrorCodes)) {
		meaning := c.ErrorCodes[code]
		isKnown := meaning == meaningRejected || meaning == meaningMisconfigured
		must(isKnown, "error_codes."+code, "must be rejected or misconfigured")
	}
	for i, pattern := range c.TransientErrors {
		_, err := regexp.Compile(pattern)
		must(err == nil, fmt.Sprintf("transient_errors[%d]", i), "must be a regular expression (RE2)")
	}
}

const urlRule = "must be an absolute http or https URL without user, query and fragment"

func (a Auth) newTokenSource(client *http.Client) *vendorhttp.TokenSource {
	style := vendorhttp.AuthInBody
	if a.Style == authStyleBasic {
		style = vendorhttp.AuthInHeader
	}
	fetch := vendorhttp.ClientCredentials(client, a.TokenURL, a.ClientID, a.ClientSecret.Reveal(), "", style)
	return vendorhttp.NewTokenSource(fetch, tokenRefreshMargin)
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}
