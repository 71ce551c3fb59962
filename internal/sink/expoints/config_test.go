package expoints

import (
	"strings"
	"testing"
	"time"
)

func valid() Config {
	cfg := Default()
	cfg.BaseURL = "https://tenant.expoints.nl"
	cfg.Auth = Auth{TokenURL: "https://login.example.org/token", ClientID: "id", ClientSecret: "secret"}
	return cfg
}

func TestDefaultsNeedOnlyAddressAndLogin(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesTheSetting(t *testing.T) {
	for _, tt := range []struct {
		want   string
		change func(*Config)
	}{
		{"base_url", func(c *Config) { c.BaseURL = "" }},
		{"base_url", func(c *Config) { c.BaseURL = "ftp://x" }},
		{"base_url", func(c *Config) { c.BaseURL = "https://u:p@x" }},
		{"auth:", func(c *Config) { c.Auth = Auth{} }},
		{"auth:", func(c *Config) { c.Auth.BearerToken = "t" }},
		{"auth.token_url", func(c *Config) { c.Auth.TokenURL = "login" }},
		{"auth.client_id", func(c *Config) { c.Auth.ClientID = "" }},
		{"auth.client_secret", func(c *Config) { c.Auth.ClientSecret = "" }},
		{"time_zone", func(c *Config) { c.TimeZone = "Europe/Atlantis" }},
		{"time_zone", func(c *Config) { c.TimeZone = "" }},
		{"timeout", func(c *Config) { c.Timeout = 0 }},
		{"requests_per_second", func(c *Config) { c.RequestsPerSecond = -1 }},
		{"columns_refresh", func(c *Config) { c.ColumnsRefresh = time.Second }},
		{"batch.type_batch", func(c *Config) { c.Batch.TypeBatch = "sms" }},
		{"batch.end_after", func(c *Config) { c.Batch.EndAfter = -1 }},
		{"batch.send_time", func(c *Config) { c.Batch.SendTime = "half past" }},
	} {
		cfg := valid()
		tt.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one fault of %s", err, tt.want)
		}
		if _, err := New("expoints", cfg, nil); err == nil {
			t.Errorf("%s: New took the account", tt.want)
		}
	}
}

func TestValidateNamesAllFaultsAtOnce(t *testing.T) {
	err := Config{}.Validate()
	for _, want := range []string{"base_url", "auth", "time_zone", "timeout", "columns_refresh", "batch.type_batch"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
