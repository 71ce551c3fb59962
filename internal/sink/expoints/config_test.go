package expoints

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/config"
)

func validConfig() Config {
	cfg := Default()
	cfg.BaseURL = "https://tenant.expoints.nl"
	cfg.Auth = Auth{TokenURL: "https://login.example.org/token", ClientID: "id", ClientSecret: config.NewSecret("secret")}
	return cfg
}

// violatedPaths returns the path of each violation that Check reports.
func violatedPaths(cfg Config) (paths []string) {
	cfg.Check(func(path, _ string, _ ...any) { paths = append(paths, path) })
	return paths
}

func TestDefaultsRequireOnlyBaseURLAndLogin(t *testing.T) {
	if got := violatedPaths(validConfig()); got != nil {
		t.Errorf("got violations of %v, want none", got)
	}
}

func TestCheckNamesTheInvalidSetting(t *testing.T) {
	for _, tt := range []struct {
		want   string
		change func(*Config)
	}{
		{"base_url", func(c *Config) { c.BaseURL = "" }},
		{"base_url", func(c *Config) { c.BaseURL = "ftp://x" }},
		{"base_url", func(c *Config) { c.BaseURL = "https://u:p@x" }},
		{"auth", func(c *Config) { c.Auth = Auth{} }},
		{"auth", func(c *Config) { c.Auth.BearerToken = config.NewSecret("t") }},
		{"auth.token_url", func(c *Config) { c.Auth.TokenURL = "login" }},
		{"auth.client_id", func(c *Config) { c.Auth.ClientID = "" }},
		{"auth.client_secret", func(c *Config) { c.Auth.ClientSecret = config.Secret{} }},
		{"time_zone", func(c *Config) { c.TimeZone = "Europe/Atlantis" }},
		{"time_zone", func(c *Config) { c.TimeZone = "" }},
		{"timeout", func(c *Config) { c.Timeout = 0 }},
		{"requests_per_second", func(c *Config) { c.RequestsPerSecond = -1 }},
		{"columns_refresh", func(c *Config) { c.ColumnsRefresh = time.Second }},
		{"batch.type_batch", func(c *Config) { c.Batch.TypeBatch = "sms" }},
		{"batch.end_after", func(c *Config) { c.Batch.EndAfter = -1 }},
		{"batch.send_time", func(c *Config) { c.Batch.SendTime = "half past" }},
	} {
		cfg := validConfig()
		tt.change(&cfg)
		if got := violatedPaths(cfg); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("got violations of %v, want %s", got, tt.want)
		}
		if _, err := New("expoints", cfg, nil); err == nil || !strings.Contains(err.Error(), " "+tt.want+": ") {
			t.Errorf("got error %v from New, want one that names %s", err, tt.want)
		}
	}
}

func TestCheckReportsAllViolationsAtOnce(t *testing.T) {
	want := []string{"base_url", "time_zone", "timeout", "columns_refresh", "batch.type_batch", "auth"}
	if got := violatedPaths(Config{}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPrintedConfigShowsNoSecret(t *testing.T) {
	cfg := validConfig()
	cfg.Auth.ClientSecret, cfg.Auth.BearerToken = config.NewSecret("canary"), config.NewSecret("canary")
	encoded, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if printed := fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, encoded); strings.Contains(printed, "canary") {
		t.Errorf("the secret is in %s", printed)
	}
}
