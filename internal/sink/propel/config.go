package propel

import (
	"fmt"
	"net/http"
	"regexp"
	"time"

	"sluice/internal/config"
	"sluice/internal/sink/vendorhttp"
)

// Config is an account's section of the configuration file. Its tags define which values a field
// may have, see [config.CheckTags].
type Config struct {
	BaseURL           string            `yaml:"base_url" allow:"url" required:"true" doc:"URL of the API, with its version"`
	Auth              Auth              `yaml:"auth" doc:"OAuth2 client credentials (Backoffice > Admin > API Key Management; new keys are inactive)"`
	Timeout           time.Duration     `yaml:"timeout" allow:"1s.." doc:"maximum duration of a call, including the login if one is needed"`
	RequestsPerSecond float64           `yaml:"requests_per_second" allow:"0.." doc:"rate limit of the account; 0: none"`
	MaxItems          int               `yaml:"max_items" allow:"1..1000" doc:"maximum number of customers in a call; the vendor documents no limit"`
	GenderCase        string            `yaml:"gender_case" allow:"upper|lower" doc:"upper or lower: case in which a gender is sent; the vendor's documentation has both"`
	SSNType           string            `yaml:"ssn_type" allow:"string|integer" doc:"string or integer: JSON type of the ssn that is sent; the vendor's documentation has both"`
	ErrorCodes        map[string]string `yaml:"error_codes" allow:"rejected|misconfigured" doc:"vendor code of a 400 -> rejected (the data is invalid) or misconfigured (the connector's settings are), in addition to the defaults: 10005 and 10006 misconfigured, all others rejected"`
	DataCodes         []string          `yaml:"data_codes" doc:"vendor codes with which a 404 or 405 means invalid data instead of a wrong endpoint"`
	TransientErrors   []string          `yaml:"transient_errors" doc:"regular expressions; a customer refused with a matching text is retried later"`
}

// Auth has the credentials of the account.
type Auth struct {
	TokenURL     string        `yaml:"token_url" allow:"url" required:"true" doc:"OAuth2 token endpoint"`
	ClientID     string        `yaml:"client_id" required:"true"`
	ClientSecret config.Secret `yaml:"client_secret" required:"true"`
	Style        string        `yaml:"style" allow:"body|basic" doc:"body or basic: whether client_id and client_secret are sent in the body or in the Authorization header"`
}

// Values of gender_case, ssn_type, auth.style and error_codes.
const (
	genderUpper, genderLower = "upper", "lower"
	ssnString                = "string"
	authStyleBody            = "body"
	authStyleBasic           = "basic"
	meaningMisconfigured     = "misconfigured"
)

// tokenRefreshMargin is how long before its expiry a token is refreshed. The vendor's tokens are
// valid for 30 minutes.
const tokenRefreshMargin = 2 * time.Minute

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

// Check reports every invalid setting, with its path within the account's section and the rule that
// it violates.
func (c Config) Check(report config.ReportFunc) {
	config.CheckTags(c, report)
	for i, pattern := range c.TransientErrors {
		if _, err := regexp.Compile(pattern); err != nil {
			report(fmt.Sprintf("transient_errors[%d]", i), "must be a regular expression (RE2)")
		}
	}
}

func (a Auth) newTokenSource(client *http.Client) *vendorhttp.TokenSource {
	style := vendorhttp.AuthInBody
	if a.Style == authStyleBasic {
		style = vendorhttp.AuthInHeader
	}
	fetch := vendorhttp.ClientCredentials(client, a.TokenURL, a.ClientID, a.ClientSecret.Reveal(), "", style)
	return vendorhttp.NewTokenSource(fetch, tokenRefreshMargin)
}
