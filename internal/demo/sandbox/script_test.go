package sandbox

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParsedScriptEqualsTheRulesInGo(t *testing.T) {
	got, err := ParseScript([]byte(`
rules:
  - name: crm down
    operation: crmcom
    when: {after_calls: 10, every: 2, from: 5s, until: 1m30s}
    times: 3
    do: {fault: status, code: 503, retry_after: 2s, retry_after_date: true, body: "{}", apply: true}
  - name: unknown account
    operation: crmcom.purchases
    when:
      items: {field: accounts_receivable_identifier.number, prefix: X, modulus: 10, remainder: 3}
    do: {fault: refuse_item, error_code: NotFoundAPIValueException, description: not found}
  - {name: named, when: {items: {field: Email}}, do: {fault: refuse_batch, named: true}}
  - {name: moved, do: {fault: redirect, location: "https://example.com"}}
  - {name: slow, do: {fault: latency, delay: 250ms}}
  - {name: lost, do: {fault: drop_items, count: 2}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Rule{
		{Name: "crm down", Operation: "crmcom", Times: 3,
			When: When{AfterCalls: 10, Every: 2, From: 5 * time.Second, Until: 90 * time.Second},
			Do: Action{
				Fault: FaultStatus, Code: 503, RetryAfter: 2 * time.Second, RetryAfterDate: true, Body: "{}",
				Apply: true,
			}},
		{Name: "unknown account", Operation: "crmcom.purchases",
			When: When{
				Items: Items{Field: "accounts_receivable_identifier.number", Prefix: "X", Modulus: 10, Remainder: 3},
			},
			Do: Action{Fault: FaultRefuseItem, ErrorCode: "NotFoundAPIValueException", Description: "not found"}},
		{Name: "named", When: When{Items: Items{Field: "Email"}}, Do: Action{Fault: FaultRefuseBatch, Named: true}},
		{Name: "moved", Do: Action{Fault: FaultRedirect, Location: "https://example.com"}},
		{Name: "slow", Do: Action{Fault: FaultLatency, Delay: 250 * time.Millisecond}},
		{Name: "lost", Do: Action{Fault: FaultDropItems, Count: 2}},
	}
	if !reflect.DeepEqual(got.Rules(), want) {
		t.Errorf("got %+v\nwant %+v", got.Rules(), want)
	}
}

// Each script has one or more violations, or none. The expected paths are all that are reported.
func TestScriptErrorReportsEveryViolation(t *testing.T) {
	tests := map[string][]string{
		``:                               nil,
		`rules: []`:                      nil,
		`rules: {}`:                      {"rules"},
		`[]`:                             {""},
		`rule: []`:                       {"rule"},
		"rules: []\n---\nrules: []":      {""},
		`rules: [x]`:                     {"rules[0]", "rules[0].do.fault", "rules[0].name"},
		`rules: [{}]`:                    {"rules[0].do.fault", "rules[0].name"},
		`rules: [{name: a, do: status}]`: {"rules[0].do", "rules[0].do.fault"},
		`rules:
- {name: a, names: b, operation: crm, times: many, do: {fault: status}}
- {name: a, times: -1, when: {after_calls: -1, every: -1, from: 2s, until: 1s}, do: {fault: too_large, code: 413}}
- {name: c, when: {from: -1s, until: soon, item: 1}, do: {fault: status, code: 99, retry_after: 1.5s}}
- {name: d, when: {items: {prefix: x, remainder: 1}}, do: {fault: reset_before, apply: true}}
- {name: e, do: {fault: refuse_item, count: -1}}
- {name: f, do: {fault: refuse_batch, named: true}}
- {name: g, do: {fault: status, code: 503, retry_after_date: true, code: 504}}
- {name: h, do: {fault: latency}}
- {name: i, do: {fault: redirect, delay: 1s}}
- {name: j, do: {fault: burn}}
- {name: [k], do: {fault: empty_body, body: x}}
`: {
			"rules[0].do.code", "rules[0].names", "rules[0].operation", "rules[0].times",
			"rules[1].do.code", "rules[1].name", "rules[1].times", "rules[1].when.after_calls", "rules[1].when.every",
			"rules[1].when.until",
			"rules[2].do.code", "rules[2].do.retry_after", "rules[2].when.from", "rules[2].when.item",
			"rules[2].when.until",
			"rules[3].do.apply", "rules[3].when.items", "rules[3].when.items.field", "rules[3].when.items.remainder",
			"rules[4].do.count", "rules[4].do.count", "rules[4].when.items",
			"rules[5].when.items",
			"rules[6].do.code", "rules[6].do.retry_after_date",
			"rules[7].do.delay",
			"rules[8].do.delay", "rules[8].do.location",
			"rules[9].do.fault",
			"rules[10].do.body", "rules[10].name",
		},
	}
	for text, want := range tests {
		_, err := ParseScript([]byte(text))
		var paths []string
		if target := new(ScriptError); errors.As(err, &target) {
			for _, violation := range target.Violations {
				paths = append(paths, violation.Path)
				if violation.Allowed == "" || !strings.Contains(err.Error(), violation.Path) {
					t.Errorf("%q: got %v, want the path and the allowed values", violation.Path, err)
				}
			}
		} else if err != nil {
			t.Fatal(err)
		}
		slices.Sort(paths)
		slices.Sort(want)
		if !slices.Equal(paths, want) {
			t.Errorf("%s\ngot  %q\nwant %q", text, paths, want)
		}
	}
}

func TestInvalidYAMLIsAReadError(t *testing.T) {
	if _, err := ParseScript([]byte("rules: [")); err == nil ||
		!strings.HasPrefix(err.Error(), "reading the script: ") {
		t.Errorf("got %v, want a read error", err)
	}
}

func TestInvalidRulesReturnAScriptError(t *testing.T) {
	_, err := NewScript(Rule{})
	if target := new(ScriptError); !errors.As(err, &target) || len(target.Violations) == 0 {
		t.Errorf("got %v, want a ScriptError", err)
	}
}

func FuzzParseScript(f *testing.F) {
	f.Add("rules:\n- {name: a, do: {fault: status, code: 503}}\n")
	f.Add("rules: &a [*a]")
	f.Add("{rules: [{<<: {name: b}, when: {items: {field: a}}}]}")
	f.Fuzz(func(t *testing.T, text string) {
		script, err := ParseScript([]byte(text))
		if err != nil && len(script.Rules()) > 0 {
			t.Errorf("got %d rules from an invalid script, want none", len(script.Rules()))
		}
		if _, again := NewScript(script.Rules()...); again != nil {
			t.Errorf("validating a valid script again: %v", again)
		}
	})
}

func TestUnknownScriptKeyIsReportedWithTheAllowedKeys(t *testing.T) {
	for text, want := range map[string]string{
		`rules: [{name: a, nam: b, do: {fault: empty_body}}]`:          "allowed are do, name, operation, times, when",
		`rules: [{name: a, when: {item: b}, do: {fault: empty_body}}]`: "allowed are after_calls, every, from, items, until",
	} {
		if _, err := ParseScript([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", text, err, want)
		}
	}
}
