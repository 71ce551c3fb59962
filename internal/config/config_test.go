package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files")

func lookupIn(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

var testEnv = lookupIn(map[string]string{"API_KEY": "canary-from-the-environment", "EMPTY": "", "PORT": "9092", "WAIT": "soon-and-secret"})

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("config.yaml", []byte(text), Options{Env: testEnv, Vendors: exampleVendors()})
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return c
}

func violationsOf(t *testing.T, text string) []Violation {
	t.Helper()
	_, err := Parse("config.yaml", []byte(text), Options{Env: testEnv, Vendors: exampleVendors()})
	if invalid := (*InvalidError)(nil); errors.As(err, &invalid) {
		return invalid.Violations
	}
	t.Fatalf("got error %v, want violations, in\n%s", err, text)
	return nil
}

const minimal = `
kafka: {brokers: ["localhost:9092"]}
vendors: {shop: {base_url: "https://shop.example.com", auth: {api_key: k1234}}}
`

// TestViolationsMatchGoldenFiles has one file for each rule, named for the rule.
func TestViolationsMatchGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse("config.yaml", data, Options{Env: testEnv, Vendors: exampleVendors()})
			got := "valid"
			if err != nil {
				got = err.Error()
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".violations"
			if *update {
				if err := os.WriteFile(golden, []byte(got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got+"\n" != string(want) {
				t.Errorf("got violations\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, "canary") || strings.Contains(got, "secret") && !strings.Contains(got, "_secret") {
				t.Errorf("a violation shows a secret:\n%s", got)
			}
		})
	}
}

func TestDefaultsApplyWhenOnlyBrokersAndAVendorAreSet(t *testing.T) {
	c := mustParse(t, minimal)
	want := Default()
	want.Kafka.Brokers = []string{"localhost:9092"}
	got := *c
	got.Accounts, got.Pipelines = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	purchases, changes := DefaultPipeline("purchases"), DefaultPipeline("customer-changes")
	purchases.ConsumerGroup, changes.ConsumerGroup = "sluice.purchases", "sluice.customer-changes"
	purchases.Events = map[string]Target{"sluice.crmcom.Purchase": {}}
	changes.Events = map[string]Target{"sluice.propel.CustomerChange": {}}
	changes.Ordering = OrderingKey
	purchases.Routes = []Route{{Event: "sluice.crmcom.Purchase", Account: "shop", Operation: "purchases", MaxItems: 1000, Unknown: UnknownOutcome{UnknownRetry, 2}}}
	changes.Routes = []Route{{Event: "sluice.propel.CustomerChange", Account: "shop", Operation: "customers", MaxItems: 100, Repeatable: true}}
	if want := []Pipeline{purchases, changes}; !reflect.DeepEqual(c.Pipelines, want) {
		t.Errorf("pipelines\n%+v\nwant\n%+v", c.Pipelines, want)
	}
}

// TestDefaultsAreAllowedValues catches a default that its own tag would refuse.
func TestDefaultsAreAllowedValues(t *testing.T) {
	cfg, pipeline := Default(), DefaultPipeline("p")
	cfg.Kafka.Brokers = []string{"localhost:9092"}
	mayBeEmpty := []string{"mechanism", "policy", "resends"}
	var walk func(fields []field)
	walk = func(fields []field) {
		for _, f := range fields {
			switch {
			case f.value.Kind() == reflect.Struct && !isTextUnmarshaler(f.value):
				walk(fieldsOf(f.value))
			case f.value.Kind() == reflect.Slice || f.value.IsZero() && slices.Contains(mayBeEmpty, f.key):
			default:
				text := formatValue(f.value)
				if text == `""` {
					text = ""
				}
				if err := checkAllowed(f.allow, f.value, text); err != nil {
					t.Errorf("%s: %s: %v", f.key, formatValue(f.value), err)
				}
			}
			if f.doc == "" && f.value.Kind() != reflect.Struct {
				t.Errorf("%s has no doc", f.key)
			}
		}
	}
	walk(fieldsOf(reflect.ValueOf(&cfg)))
	walk(fieldsOf(reflect.ValueOf(&pipeline)))
}

func TestEveryKeyOfTheFileIsDecoded(t *testing.T) {
	c := mustParse(t, `
name: north
kafka:
  brokers: ["a:${PORT}", "b:9093"]
  sasl: {mechanism: SCRAM-SHA-512, username: u, password: "${API_KEY}"}
  group_protocol: consumer
  rebalance_timeout: 2m
vendors:
  eu: {type: post, base_url: "http://eu", timeout: 30s, requests_per_second: 2.5, auth: {api_key: "a$$b$c"}, error_codes: {7: rejected}}
  spare: {type: post, auth: {api_key: "${NOT_SET}"}}
pipelines:
  mail:
    topic: letters
    events: {Letter: eu.letters, sluice.post.Parcel: {operation: eu.parcels}}
    start: 2026-01-02T03:04:05Z
    batch: {max_items: 60, max_bytes: 512KiB, linger: 1s}
    retry: {delays: [1s, 90s], max_age: 1h}
    unknown: {policy: retry, resends: 4}
    dead_letter: {guard: {max_ratio: 0.25, window: 50}}
drain_timeout: 40s
`)
	if c.Kafka.Brokers[0] != "a:9092" || c.Kafka.SASL.Password.Reveal() != "canary-from-the-environment" {
		t.Errorf("references are not expanded: %v", c.Kafka.Brokers)
	}
	if _, there := c.Accounts["spare"]; there || len(c.Accounts) != 1 {
		t.Errorf("got accounts %v, want only the one in use", c.Accounts)
	}
	eu := c.Accounts["eu"]
	settings, ok := eu.Settings().(*postConfig)
	if !ok || eu.Type != "post" || eu.Timeout != 30*time.Second || eu.RequestsPerSecond != 2.5 || settings.Auth.APIKey.Reveal() != "a$b$c" {
		t.Errorf("got account %+v with settings %+v, want those of the file", eu, settings)
	}
	if want := map[string]string{"1": "retryable", "7": "rejected"}; !reflect.DeepEqual(settings.ErrorCodes, want) {
		t.Errorf("error codes %v, want %v", settings.ErrorCodes, want)
	}
	p := c.Pipelines[0]
	if p.ConsumerGroup != "north.mail" || p.Topic != "letters" || !p.Start.At.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) ||
		p.Batch != (Batch{60, 512 << 10, time.Second}) || p.DeadLetter.Guard != (Guard{0.25, 50}) ||
		!slices.Equal(p.Retry.Delays, []time.Duration{time.Second, 90 * time.Second}) {
		t.Errorf("got pipeline %+v, want the settings of the file", p)
	}
	want := []Route{
		{Event: "sluice.post.Letter", Account: "eu", Operation: "letters", MaxItems: 60, Unknown: UnknownOutcome{UnknownRetry, 4}},
		{Event: "sluice.post.Parcel", Account: "eu", Operation: "parcels", MaxItems: 1, Unknown: UnknownOutcome{UnknownRetry, 4}},
	}
	if !reflect.DeepEqual(p.Routes, want) {
		t.Errorf("routes %+v, want %+v", p.Routes, want)
	}
}

func TestPipelineWithADefaultNameInheritsItsEvents(t *testing.T) {
	c := mustParse(t, minimal+"pipelines: {customer-changes: {topic: changes}}")
	p := c.Pipelines[0]
	if len(c.Pipelines) != 1 || p.Topic != "changes" || p.Ordering != OrderingKey || len(p.Routes) != 1 || p.Routes[0].OperationName() != "shop.customers" {
		t.Errorf("got pipelines %+v, want one with the default events and ordering", c.Pipelines)
	}
}

func TestAccountNamedLikeItsTypeIsPreferred(t *testing.T) {
	c := mustParse(t, `
kafka: {brokers: ["localhost:9092"]}
vendors:
  another: {type: shop, base_url: "https://a", auth: {api_key: k}}
  shop: {base_url: "https://b", auth: {api_key: k}}
`)
	if got := c.Pipelines[0].Routes[0].Account; got != "shop" {
		t.Errorf("account %s, want shop", got)
	}
}

func TestFileReferenceLosesItsFinalNewline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("line one\nline two\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, strings.Replace(minimal, "k1234", `"${file:`+file+`}"`, 1))
	settings, ok := c.Accounts["shop"].Settings().(*postConfig)
	if !ok || settings.Auth.APIKey.Reveal() != "line one\nline two" {
		t.Errorf("got settings %+v, want the key without the final newline", settings)
	}
}

func TestReferencesAreExpandedOnce(t *testing.T) {
	vars := lookupIn(map[string]string{"A": "${B}$$", "B": "b"})
	for text, want := range map[string]string{
		"": "", "plain": "plain", "$": "$", "$$": "$", "$${A}": "${A}", "a$b": "a$b", "${A}": "${B}$$", "x${B}y${B}z": "xbybz", "$$$$": "$$",
	} {
		if got, _, err := expandReferences(text, vars); err != nil || got != want {
			t.Errorf("expandReferences(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"${", "${A", "${}", "${C}", "${B:-x}", "${file:}", "${file:/no/such/file}", "${file:/dev/null}", "${file:/}"} {
		if got, _, err := expandReferences(text, vars); err == nil {
			t.Errorf("expandReferences(%q) = %q, want an error", text, got)
		}
	}
}

// TestSecretsAreNeverPrinted prints a whole configuration in every way that this code base uses.
func TestSecretsAreNeverPrinted(t *testing.T) {
	c := mustParse(t, `
kafka: {brokers: ["localhost:9092"], sasl: {mechanism: PLAIN, username: u, password: canary-kafka}}
schema_registry: {username: u, password: canary-registry}
vendors: {shop: {base_url: "https://b", auth: {api_key: canary-vendor-text, password: canary-vendor-secret}}}
`)
	var prints []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, x := range []any{c, *c, c.Kafka.SASL, c.Kafka.SASL.Password, &c.Kafka.SASL.Password, c.Accounts, c.Accounts["shop"], struct{ hidden Secret }{c.Kafka.SASL.Password}} {
			prints = append(prints, fmt.Sprintf(verb, x))
		}
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(zapcore.Entry{},
		[]zapcore.Field{zap.Any("config", c), zap.Any("secret", c.Kafka.SASL.Password), zap.Any("account", c.Accounts["shop"])})
	if err != nil {
		t.Fatal(err)
	}
	prints = append(prints, string(asJSON), string(asYAML), entry.String())
	for _, p := range prints {
		if strings.Contains(p, "canary") || strings.Contains(p, fmt.Sprintf("%x", "canary")) {
			t.Errorf("output shows a secret: %s", p)
		}
	}
	if !strings.Contains(string(asJSON), `"***"`) || !strings.Contains(string(asYAML), `'***'`) || !strings.Contains(entry.String(), `"***"`) {
		t.Errorf("secrets are not shown as ***: %s\n%s\n%s", asJSON, asYAML, entry)
	}
}

func TestSizeParsesWhatItFormats(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1": 1, "1023": 1023, "64KiB": 64 << 10, "1MiB": 1 << 20, "3GiB": 3 << 30, "1536KiB": 1536 << 10} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != text {
			t.Errorf("%s is parsed as %d, %v and formatted as %s", text, int64(got), err, got)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1MB", "1 MiB", "9223372036854775808", "9007199254740992KiB", "+1"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is parsed as %d, want an error", text, int64(got))
		}
	}
}

func TestDelayNameIsShortAndUnique(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Second: "10s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 24 * time.Hour: "24h",
		time.Hour + 5*time.Second: "1h0m5s", 90 * time.Minute: "1h30m", 1500 * time.Millisecond: "1.5s", 10 * time.Minute: "10m", 0: "0s",
	} {
		got := DelayName(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d || !topicName.MatchString(got) {
			t.Errorf("DelayName(%v) = %s (parsed as %v, %v), want %s", d, got, back, err, want)
		}
	}
}

func TestShortSecretsAreNotMaskedInsideWords(t *testing.T) {
	v := &Violations{}
	v.hideValue("abc")
	v.hideValue("hunter22")
	v.Add("a", "must be abcd, not hunter22")
	if got := v.Sorted()[0].Rule; got != "must be abcd, not ***" {
		t.Errorf("got rule %q, want the value masked", got)
	}
}

func TestMissingFileIsReported(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), Options{})
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "reading the configuration: ") {
		t.Errorf("error %v", err)
	}
}

func TestViolationHasItsPlace(t *testing.T) {
	got := violationsOf(t, minimal+"pipelines:\n  purchases:\n    batch: {max_items: 1001}\n")
	want := []Violation{{Line: 6, Path: "pipelines.purchases.batch.max_items", Value: "1001", Rule: "must be 0 to 1000"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got violations %+v, want %+v", got, want)
	}
}

func TestReferenceHasEveryKey(t *testing.T) {
	text := ReferenceMarkdown(exampleVendors())
	for _, row := range []string{
		"| `kafka.brokers` |  | list: host:port | bootstrap brokers; mandatory |",
		"| `batch.max_bytes` | `1MiB` | 1KiB to 64MiB | bytes per call, including the envelope |",
		"| `retry.delays` | `[10s, 1m, 10m]` | list: 1s to 24h |",
		"| `kafka.sasl.password` |  | text (secret) |",
		"| `unknown.resends` |  | 1 to 10 |",
		"| `error_codes` | `{1: retryable}` | mapping: rejected or retryable |",
		"| `auth.api_key` |  | text (secret) | the key |",
		"| `shop.customers` | `sluice.propel.CustomerChange` | 1000 | 100 | harmless | sent again |",
		"| `post.parcels` | `sluice.post.Parcel` | 1 | 1 | may do harm | retry, 3 resends |",
	} {
		if !strings.Contains(text, row) {
			t.Errorf("the reference has no row %s in\n%s", row, text)
		}
	}
	if text != ReferenceMarkdown(exampleVendors()) {
		t.Error("two calls return different references")
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Add([]byte("a: &a [*a]\n<<: *a\n? [b]\n: {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("config.yaml", data, Options{Env: testEnv, Vendors: exampleVendors()})
		invalid := (*InvalidError)(nil)
		switch {
		case err == nil && (len(c.Kafka.Brokers) == 0 || len(c.Pipelines) == 0 || len(c.Accounts) == 0):
			t.Errorf("valid without brokers, pipelines or accounts: %+v", c)
		case err != nil && (!errors.As(err, &invalid) || len(invalid.Violations) == 0):
			t.Errorf("error %v has no violations", err)
		}
		for _, violation := range invalid.violationsOrNone() {
			if violation.Rule == "" {
				t.Errorf("violation %+v has no rule", violation)
			}
		}
	})
}

func (e *InvalidError) violationsOrNone() []Violation {
	if e == nil {
		return nil
	}
	return e.Violations
}
