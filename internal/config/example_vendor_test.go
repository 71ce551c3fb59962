package config

import "time"

// postConfig is an example vendor's struct.
type postConfig struct {
	BaseURL           string            `yaml:"base_url" allow:"url" doc:"the API's address"`
	TimeZone          string            `yaml:"time_zone" allow:"zone" doc:"zone of the instants that are sent"`
	Timeout           time.Duration     `yaml:"timeout" allow:"1s.." doc:"longest time for one call"`
	RequestsPerSecond float64           `yaml:"requests_per_second" allow:"0.." doc:"limit of the account; 0: none"`
	MaxItems          int               `yaml:"max_items" allow:"1..100" doc:"items a call"`
	Auth              postAuth          `yaml:"auth"`
	ErrorCodes        map[string]string `yaml:"error_codes" allow:"rejected|retryable" doc:"vendor code -> meaning, over the defaults"`
}

type postAuth struct {
	APIKey   Secret `yaml:"api_key" doc:"the key"`
	Password Secret `yaml:"password"`
}

func (c postConfig) check(fault func(path, rule string, args ...any)) {
	if c.BaseURL == "" {
		fault("base_url", "must be given")
	}
	if !c.Auth.APIKey.IsSet() {
		fault("auth.api_key", "must be given")
	}
	if c.TimeZone == "Asia/Tokyo" {
		fault("time_zone", "must be in Europe")
	}
}

func exampleVendors() map[string]VendorType {
	post := Vendor(
		func() postConfig {
			return postConfig{TimeZone: "UTC", Timeout: time.Minute, MaxItems: 50, ErrorCodes: map[string]string{"1": "retryable"}}
		},
		postConfig.check,
		func(c postConfig) []OperationSpec {
			return []OperationSpec{
				{Name: "letters", Event: "sluice.post.Letter", MaxItems: 100, DefaultItems: c.MaxItems, Unknown: Unknown{Policy: UnknownDeadLetter}},
				{Name: "parcels", Event: "sluice.post.Parcel", MaxItems: 1, Unknown: Unknown{Policy: UnknownRetry, Resends: 3}},
			}
		})
	// shop has operations with a default pipeline.
	shop := Vendor(
		func() postConfig { return postConfig{TimeZone: "UTC", Timeout: time.Minute} },
		postConfig.check,
		func(postConfig) []OperationSpec {
			return []OperationSpec{
				{Name: "purchases", Event: "sluice.crmcom.Purchase", MaxItems: 1000, Unknown: Unknown{Policy: UnknownRetry}, DefaultPipeline: "purchases"},
				{Name: "customers", Event: "sluice.propel.CustomerChange", MaxItems: 1000, DefaultItems: 100, Repeatable: true, DefaultPipeline: "customer-changes", KeepOrder: true},
			}
		})
	return map[string]VendorType{"post": post, "shop": shop}
}
