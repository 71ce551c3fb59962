package propel

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/internal/config"
)

// violatedPaths returns the path of each violation that Check reports.
func violatedPaths(cfg Config) (paths []string) {
	cfg.Check(func(path, _ string, _ ...any) { paths = append(paths, path) })
	return paths
}

func TestCheckNamesTheInvalidSetting(t *testing.T) {
	for _, tt := range []struct {
		want   string
		change func(*Config)
	}{
		{"base_url", func(c *Config) { c.BaseURL = "" }},
		{"base_url", func(c *Config) { c.BaseURL = "https://u:p@x" }},
		{"auth.token_url", func(c *Config) { c.Auth.TokenURL = "login" }},
		{"auth.client_id", func(c *Config) { c.Auth.ClientID = "" }},
		{"auth.client_secret", func(c *Config) { c.Auth.ClientSecret = config.Secret{} }},
		{"auth.style", func(c *Config) { c.Auth.Style = "query" }},
		{"timeout", func(c *Config) { c.Timeout = 0 }},
		{"requests_per_second", func(c *Config) { c.RequestsPerSecond = -1 }},
		{"max_items", func(c *Config) { c.MaxItems = 0 }},
		{"max_items", func(c *Config) { c.MaxItems = 1001 }},
		{"gender_case", func(c *Config) { c.GenderCase = "title" }},
		{"ssn_type", func(c *Config) { c.SSNType = "float" }},
		{"error_codes.10007", func(c *Config) { c.ErrorCodes = map[string]string{"10007": "fine"} }},
		{"transient_errors[0]", func(c *Config) { c.TransientErrors = []string{"("} }},
	} {
		cfg := Default()
		cfg.Auth.ClientID, cfg.Auth.ClientSecret = "id", config.NewSecret("secret")
		if got := violatedPaths(cfg); got != nil {
			t.Fatalf("defaults with credentials: got violations of %v, want none", got)
		}
		tt.change(&cfg)
		if got := violatedPaths(cfg); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("got violations of %v, want %s", got, tt.want)
		}
		if _, err := New("propel", cfg, nil); err == nil || !strings.Contains(err.Error(), " "+tt.want+": ") {
			t.Errorf("got error %v from New, want one that names %s", err, tt.want)
		}
	}
}

func TestCheckReportsAllViolationsAtOnce(t *testing.T) {
	want := []string{
		"base_url", "auth.token_url", "auth.client_id", "auth.client_secret", "auth.style", "timeout", "max_items",
		"gender_case", "ssn_type",
	}
	if got := violatedPaths(Config{}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPrintedConfigShowsNoSecret(t *testing.T) {
	cfg := Default()
	cfg.Auth.ClientSecret = config.NewSecret("canary")
	b, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, b); strings.Contains(s, "canary") {
		t.Errorf("the secret is in %s", s)
	}
}
