package config

import "time"

// postConfig is the settings struct of an example vendor.
type postConfig struct {
	BaseURL           string            `yaml:"base_url" allow:"url" doc:"the API's address"`
	TimeZone          string            `yaml:"time_zone" allow:"zone" doc:"time zone of the instants sent"`
	Timeout           time.Duration     `yaml:"timeout" allow:"1s.." doc:"maximum duration of one call"`
	RequestsPerSecond float64           `yaml:"requests_per_second" allow:"0.." doc:"rate limit of the account; 0: none"`
	MaxItems          int               `yaml:"max_items" allow:"1..100" doc:"items per call"`
	Auth              postAuth          `yaml:"auth"`
	ErrorCodes        map[string]string `yaml:"error_codes" allow:"rejected|retryable" doc:"vendor code -> meaning; overrides the defaults"`
}

type postAuth struct {
	APIKey   Secret `yaml:"api_key" doc:"the key"`
	Password Secret `yaml:"password"`
}

func (c postConfig) checkSettings(report ReportFunc) {
	if c.BaseURL == "" {
		report("base_url", "is mandatory")
	}
	if !c.Auth.APIKey.IsSet() {
		report("auth.api_key", "is mandatory")
	}
	if c.TimeZone == "Asia/Tokyo" {
		report("time_zone", "must be in Europe")
	}
}

func exampleVendors() map[string]VendorType {
	post := NewVendorType(
		func() postConfig {
			return postConfig{TimeZone: "UTC", Timeout: time.Minute, MaxItems: 50, ErrorCodes: map[string]string{"1": "retryable"}}
		},
		postConfig.checkSettings,
		func(c postConfig) []OperationSpec {
			return []OperationSpec{
				{Name: "letters", Event: "sluice.post.Letter", MaxItems: 100, DefaultItems: c.MaxItems, Unknown: UnknownOutcome{Policy: UnknownDeadLetter}},
				{Name: "parcels", Event: "sluice.post.Parcel", MaxItems: 1, Unknown: UnknownOutcome{Policy: UnknownRetry, Resends: 3}},
			}
		})
	// The operations of shop have default pipelines.
	shop := NewVendorType(
		func() postConfig { return postConfig{TimeZone: "UTC", Timeout: time.Minute} },
		postConfig.checkSettings,
		func(postConfig) []OperationSpec {
			return []OperationSpec{
				{Name: "purchases", Event: "sluice.crmcom.Purchase", MaxItems: 1000, Unknown: UnknownOutcome{Policy: UnknownRetry}, DefaultPipeline: "purchases"},
				{Name: "customers", Event: "sluice.propel.CustomerChange", MaxItems: 1000, DefaultItems: 100, Repeatable: true, DefaultPipeline: "customer-changes", KeepOrder: true},
			}
		})
	return map[string]VendorType{"post": post, "shop": shop}
}
