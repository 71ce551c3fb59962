package sandbox

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Script is a validated list of rules.
type Script struct{ rules []Rule }

// Rules returns the rules in the order in which they are evaluated.
func (s Script) Rules() []Rule { return slices.Clone(s.rules) }

func (s Script) newRuleStates() []*ruleState {
	states := make([]*ruleState, len(s.rules))
	for i, rule := range s.rules {
		states[i] = &ruleState{Rule: rule}
	}
	return states
}

// ScriptViolation is one invalid value in a script.
type ScriptViolation struct {
	// Path is the location, such as "rules[2].do.code".
	Path string
	// Value is the offending value, or empty if a value is missing.
	Value string
	// Allowed describes the allowed values.
	Allowed string
}

// ScriptError reports all violations found in a script.
type ScriptError struct{ Violations []ScriptViolation }

// Error lists the violations, one per line.
func (e *ScriptError) Error() string {
	lines := make([]string, len(e.Violations))
	for i, violation := range e.Violations {
		lines[i] = fmt.Sprintf("%s: %q: %s", violation.Path, violation.Value, violation.Allowed)
	}
	return strings.Join(lines, "\n")
}

// NewScript validates rules for the built-in vendors. The error is a *ScriptError with all
// violations.
func NewScript(rules ...Rule) (Script, error) { return NewScriptFor(nil, rules...) }

// NewScriptFor validates rules that may also be about additional pages. The error is a *ScriptError
// with all violations.
func NewScriptFor(additional []Page, rules ...Rule) (Script, error) {
	targets := newRuleTargets(additional)
	var violations []ScriptViolation
	for i, rule := range rules {
		violations = append(violations, rule.checkRule(fmt.Sprintf("rules[%d].", i), targets)...)
	}
	violations = append(violations, repeatedNames(rules)...)
	if len(violations) > 0 {
		return Script{}, &ScriptError{violations}
	}
	return Script{slices.Clone(rules)}, nil
}

func repeatedNames(rules []Rule) []ScriptViolation {
	var violations []ScriptViolation
	seen := map[string]bool{}
	for i, rule := range rules {
		if seen[rule.Name] {
			violations = append(violations, ScriptViolation{
				fmt.Sprintf("rules[%d].name", i), rule.Name, "must be unique in the script",
			})
		}
		seen[rule.Name] = rule.Name != ""
	}
	return violations
}

// parameterTexts returns the text of each field, by the field's name in a script; it is empty for
// the zero value.
func (a Action) parameterTexts() map[string]string {
	shown := map[string]string{
		"body": a.Body, "location": a.Location, "error_code": a.ErrorCode, "description": a.Description,
	}
	for name, set := range map[string]bool{"apply": a.Apply, "named": a.Named, "retry_after_date": a.RetryAfterDate} {
		if set {
			shown[name] = "true"
		}
	}
	for name, count := range map[string]int{"code": a.Code, "count": a.Count} {
		if count != 0 {
			shown[name] = strconv.Itoa(count)
		}
	}
	for name, delay := range map[string]time.Duration{"retry_after": a.RetryAfter, "delay": a.Delay} {
		if delay != 0 {
			shown[name] = delay.String()
		}
	}
	return shown
}

// faultParameters are the parameters that a fault allows and requires.
type faultParameters struct {
	allowed, required []string
	items             string // whether when.items is "required" or "allowed"; empty for neither
}

var parametersByFault = map[Fault]faultParameters{
	FaultStatus: {
		allowed: []string{"code", "retry_after", "retry_after_date", "body", "apply"}, required: []string{"code"},
		items: "allowed",
	},
	FaultTooLarge:     {items: "allowed"},
	FaultRedirect:     {allowed: []string{"location"}, required: []string{"location"}, items: "allowed"},
	FaultResetBefore:  {},
	FaultResetAfter:   {allowed: []string{"apply"}, items: "allowed"},
	FaultTimeout:      {allowed: []string{"apply", "delay"}, items: "allowed"},
	FaultGarbageBody:  {allowed: []string{"body", "apply"}, items: "allowed"},
	FaultEmptyBody:    {allowed: []string{"apply"}, items: "allowed"},
	FaultRefuseBatch:  {allowed: []string{"error_code", "description", "named"}, items: "allowed"},
	FaultRefuseItem:   {allowed: []string{"error_code", "description"}, items: "required"},
	FaultDropItems:    {allowed: []string{"count"}, items: "allowed"},
	FaultRepeatItems:  {allowed: []string{"count"}, items: "allowed"},
	FaultExtraItems:   {allowed: []string{"count"}, items: "allowed"},
	FaultExpireTokens: {},
	FaultLatency:      {allowed: []string{"delay"}, required: []string{"delay"}, items: "allowed"},
}

func (r Rule) checkRule(rulePath string, targets ruleTargets) []ScriptViolation {
	var violations []ScriptViolation
	require := func(ok bool, path, value, allowed string) {
		if !ok {
			violations = append(violations, ScriptViolation{rulePath + path, value, allowed})
		}
	}
	require(r.Name != "", "name", "", "is mandatory")
	require(targets.contain(r.Operation), "operation", r.Operation, targets.describeAllowed())
	require(r.Times >= 0, "times", strconv.Itoa(r.Times), "must be 0 (no limit) or more")
	when := r.When
	require(when.AfterCalls >= 0, "when.after_calls", strconv.Itoa(when.AfterCalls), "must be 0 or more")
	require(when.Every >= 0, "when.every", strconv.Itoa(when.Every), "must be 0 (each call) or more")
	require(when.From >= 0, "when.from", when.From.String(), "must be 0 or more")
	require(
		when.Until == 0 || when.Until > when.From, "when.until", when.Until.String(),
		"must be 0 (no end) or later than when.from",
	)
	require(when.Items.isZero() || when.Items.Field != "", "when.items.field", "", "is mandatory with when.items")
	require(
		when.Items.Remainder == 0 || when.Items.Remainder < when.Items.Modulus, "when.items.remainder",
		fmt.Sprint(when.Items.Remainder), "must be less than when.items.modulus",
	)
	return append(violations, r.actionViolations(rulePath)...)
}

// ruleTargets are the names that a rule's operation may have.
type ruleTargets struct{ vendors, operations []string }

func newRuleTargets(additional []Page) ruleTargets {
	targets := ruleTargets{operations: Operations(additional...)}
	for _, page := range allPages(Options{AdditionalPages: additional}) {
		targets.vendors = append(targets.vendors, string(page.Vendor))
	}
	return targets
}

func (t ruleTargets) contain(name string) bool {
	return name == "" || slices.Contains(t.vendors, name) || slices.Contains(t.operations, name)
}

func (t ruleTargets) describeAllowed() string {
	return fmt.Sprintf("must be empty for all, a vendor (%s), or one of %s",
		strings.Join(t.vendors, ", "), strings.Join(t.operations, ", "))
}

func (r Rule) actionViolations(path string) []ScriptViolation {
	parameters, known := parametersByFault[r.Do.Fault]
	if !known {
		names := slices.Sorted(maps.Keys(parametersByFault))
		return []ScriptViolation{{path + "do.fault", string(r.Do.Fault), fmt.Sprint("must be one of ", names)}}
	}
	var violations []ScriptViolation
	shown := r.Do.parameterTexts()
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		if shown[name] != "" && !slices.Contains(parameters.allowed, name) {
			violations = append(violations, ScriptViolation{
				path + "do." + name, shown[name], fmt.Sprintf("%s allows only %v", r.Do.Fault, parameters.allowed),
			})
		}
	}
	for _, name := range parameters.required {
		if shown[name] == "" {
			violations = append(violations, ScriptViolation{
				path + "do." + name, "", "is mandatory with " + string(r.Do.Fault),
			})
		}
	}
	violations = append(violations, r.itemViolations(path, parameters)...)
	return append(violations, r.Do.rangeViolations(path+"do.")...)
}

// itemViolations checks whether when.items is allowed or mandatory with the fault.
func (r Rule) itemViolations(path string, parameters faultParameters) []ScriptViolation {
	path += "when.items"
	if !r.When.Items.isZero() {
		if parameters.items == "" {
			return []ScriptViolation{{path, r.When.Items.Field, "is not allowed with " + string(r.Do.Fault)}}
		}
		return nil
	}
	if parameters.items == "required" || r.Do.Named {
		return []ScriptViolation{{path, "", "is mandatory with refuse_item, and with refuse_batch if named is set"}}
	}
	return nil
}

func (a Action) rangeViolations(path string) []ScriptViolation {
	var violations []ScriptViolation
	require := func(ok bool, name, allowed string) {
		if !ok {
			violations = append(violations, ScriptViolation{path + name, a.parameterTexts()[name], allowed})
		}
	}
	require(a.Code == 0 || a.Code >= http.StatusOK && a.Code < 600, "code", "must be 200 to 599")
	require(a.RetryAfter >= 0 && a.RetryAfter%time.Second == 0, "retry_after", "must be whole seconds")
	require(!a.RetryAfterDate || a.RetryAfter > 0, "retry_after_date", "needs retry_after")
	require(a.Delay >= 0, "delay", "must be more than 0")
	require(a.Count >= 0, "count", "must be 1 or more")
	return violations
}
