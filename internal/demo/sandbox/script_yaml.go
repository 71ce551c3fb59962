package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlTargets maps the keys of a rule in a script to the fields that they set.
func (r *Rule) yamlTargets() map[string]any {
	return map[string]any{
		"name":                 &r.Name,
		"operation":            &r.Operation,
		"times":                &r.Times,
		"when.after_calls":     &r.When.AfterCalls,
		"when.every":           &r.When.Every,
		"when.from":            &r.When.From,
		"when.until":           &r.When.Until,
		"when.items.field":     &r.When.Items.Field,
		"when.items.prefix":    &r.When.Items.Prefix,
		"when.items.modulus":   &r.When.Items.Modulus,
		"when.items.remainder": &r.When.Items.Remainder,
		"do.fault":             &r.Do.Fault,
		"do.code":              &r.Do.Code,
		"do.retry_after":       &r.Do.RetryAfter,
		"do.retry_after_date":  &r.Do.RetryAfterDate,
		"do.body":              &r.Do.Body,
		"do.location":          &r.Do.Location,
		"do.delay":             &r.Do.Delay,
		"do.apply":             &r.Do.Apply,
		"do.error_code":        &r.Do.ErrorCode,
		"do.description":       &r.Do.Description,
		"do.named":             &r.Do.Named,
		"do.count":             &r.Do.Count,
	}
}

// ParseScript parses a script in YAML: a mapping with the key "rules", a list of rules whose keys
// are the fields of Rule in lower case ("when: {after_calls: 10}", "do: {fault: status, code: 503,
// retry_after: 2s}"). Durations are written as in "1m30s". An empty document is a script without
// rules. The error is a *ScriptError with all violations, or that of the YAML library if the text
// is not YAML.
func ParseScript(text []byte) (Script, error) {
	var document yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&document); errors.Is(err, io.EOF) {
		return Script{}, nil
	} else if err != nil {
		return Script{}, fmt.Errorf("reading the script: %w", err)
	}
	var parser scriptParser
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		parser.addViolation("", "---", "must be one document")
	}
	rules := parser.parseRules(document.Content[0])
	script, err := NewScript(rules...)
	if checked := new(ScriptError); errors.As(err, &checked) {
		parser.mergeViolations(checked.Violations)
	}
	if len(parser.violations) > 0 {
		return Script{}, &ScriptError{parser.violations}
	}
	return script, nil
}

type scriptParser struct{ violations []ScriptViolation }

func (p *scriptParser) addViolation(path, value, allowed string) {
	p.violations = append(p.violations, ScriptViolation{path, value, allowed})
}

// mergeViolations adds the violations found in the values, except at paths that already have one: a
// value that could not be decoded would also be reported as missing.
func (p *scriptParser) mergeViolations(more []ScriptViolation) {
	at := map[string]bool{}
	for _, violation := range p.violations {
		at[violation.Path] = true
	}
	for _, violation := range more {
		if !at[violation.Path] {
			p.violations = append(p.violations, violation)
		}
	}
}

func (p *scriptParser) parseRules(root *yaml.Node) []Rule {
	var rules []Rule
	p.eachKey("", root, func(key, path string, value *yaml.Node) {
		if key != "rules" {
			p.addViolation(path, value.Value, "unknown key; the only one is rules")
			return
		}
		if value.Kind != yaml.SequenceNode {
			p.addViolation(path, value.Value, "must be a list of rules")
			return
		}
		rules = make([]Rule, len(value.Content))
		for i, node := range value.Content {
			p.parseKeys(fmt.Sprintf("rules[%d]", i), "", node, rules[i].yamlTargets())
		}
	})
	return rules
}

// parseKeys decodes a mapping into the targets below prefix.
func (p *scriptParser) parseKeys(parent, prefix string, node *yaml.Node, targets map[string]any) {
	p.eachKey(parent, node, func(key, path string, value *yaml.Node) {
		name := prefix + key
		if target, leaf := targets[name]; leaf {
			if err := value.Decode(target); err != nil || value.Kind != yaml.ScalarNode {
				p.addViolation(
					path, value.Value,
					fmt.Sprintf("must be of type %s", strings.TrimPrefix(fmt.Sprintf("%T", target), "*")),
				)
			}
			return
		}
		for known := range targets {
			if strings.HasPrefix(known, name+".") {
				p.parseKeys(path, name+".", value, targets)
				return
			}
		}
		p.addViolation(path, value.Value, "unknown key; allowed are "+strings.Join(keysBelow(targets, prefix), ", "))
	})
}

// keysBelow returns the sorted keys allowed in the mapping at prefix.
func keysBelow(targets map[string]any, prefix string) []string {
	keys := map[string]bool{}
	for target := range targets {
		if rest, ok := strings.CutPrefix(target, prefix); ok {
			key, _, _ := strings.Cut(rest, ".")
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// eachKey calls visit once for each key of a mapping.
func (p *scriptParser) eachKey(parent string, node *yaml.Node, visit func(key, path string, value *yaml.Node)) {
	node = resolveAlias(node)
	if node.Kind != yaml.MappingNode {
		p.addViolation(parent, node.Value, "must be a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i].Value
		path := strings.TrimPrefix(parent+"."+key, ".")
		if seen[key] {
			p.addViolation(path, node.Content[i+1].Value, "the key occurs twice")
			continue
		}
		seen[key] = true
		visit(key, path, resolveAlias(node.Content[i+1]))
	}
}

// resolveAlias returns the node that an alias refers to.
func resolveAlias(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}
