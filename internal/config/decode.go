package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder fills structs from YAML nodes. It records each violation and continues with the rest. The
// structs bound its depth, so a file whose aliases refer to themselves terminates.
type decoder struct {
	env        func(string) (string, bool)
	violations *Violations
	// unresolvedRefs are references that could not be resolved. Whether they matter depends on
	// which accounts are used, which is known later.
	unresolvedRefs []unresolvedRef
}

type unresolvedRef struct{ path, rule string }

// field is a key of a section and the destination of its value.
type field struct {
	key    string
	value  reflect.Value
	allow  string
	doc    string
	secret bool
	scalar bool // the section may be written as just this key's value
	// required is about accounts that a pipeline uses; see CheckTags.
	required bool
}

// fieldsOf lists a struct's keys in their order, with those of embedded structs in place.
func fieldsOf(v reflect.Value) []field {
	v = reflect.Indirect(v)
	var fields []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous:
			fields = append(fields, fieldsOf(v.Field(i))...)
		case key == "" || key == "-" || !f.IsExported():
		default:
			fields = append(fields, field{
				key: key, value: v.Field(i), allow: f.Tag.Get("allow"), doc: f.Tag.Get("doc"),
				secret: f.Type == reflect.TypeFor[Secret](), scalar: f.Tag.Get("scalar") == "true",
				required: f.Tag.Get("required") == "true",
			})
		}
	}
	return fields
}

// decodeSection sets fields from a mapping. A missing or empty section keeps the defaults.
func (d *decoder) decodeSection(n *yaml.Node, fields []field, path string) {
	n = resolveAlias(n)
	if isNullNode(n) {
		d.noteDefaults(fields, path, nodeLine(n))
		return
	}
	d.violations.notePlace(path, n.Line, "")
	if one := slices.IndexFunc(fields, func(f field) bool { return f.scalar }); one >= 0 && n.Kind == yaml.ScalarNode {
		d.decodeValue(n, fields[one], path)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.violations.Add(path, "must be a mapping, not %s", nodeKindName(n))
		return
	}
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	for key, value := range d.mappingPairs(n, path) {
		at := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if at < 0 {
			d.reportUnknownKey(key, path, keys)
			continue
		}
		d.decodeValue(value, fields[at], joinPath(path, key.Value))
		fields[at].value = reflect.Value{}
	}
	d.noteDefaults(slices.DeleteFunc(fields, func(f field) bool { return !f.value.IsValid() }), path, n.Line)
}

// reportUnknownKey does not report the value, because a misspelled key may have a secret.
func (d *decoder) reportUnknownKey(key *yaml.Node, path string, known []string) {
	full := joinPath(path, printable(key.Value))
	d.violations.notePlace(full, key.Line, "")
	d.violations.Add(full, "unknown key%s", didYouMean(key.Value, known))
}

// mappingPairs iterates over a mapping's keys and values. It reports repeated keys and yields only
// their first occurrence.
func (d *decoder) mappingPairs(n *yaml.Node, path string) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, full := resolveAlias(n.Content[i]), joinPath(path, printable(n.Content[i].Value))
			switch {
			case key.Kind != yaml.ScalarNode:
				d.violations.Add(path, "must have strings as keys, not %s", nodeKindName(key))
				continue
			case seen[key.Value]:
				d.violations.notePlace(full, n.Content[i].Line, "")
				d.violations.Add(full, "must not be repeated")
				continue
			}
			seen[key.Value] = true
			if !yield(key, n.Content[i+1]) {
				return
			}
		}
	}
}

// noteDefaults records the defaults of keys that are not in the file, so that a violation can show
// them.
func (d *decoder) noteDefaults(fields []field, path string, line int) {
	for _, f := range fields {
		full := joinPath(path, f.key)
		switch {
		case f.value.Kind() == reflect.Struct && !isTextUnmarshaler(f.value) && !isYAMLNode(f.value):
			d.violations.notePlace(full, line, "")
			d.noteDefaults(fieldsOf(f.value), full, line)
		case isYAMLNode(f.value):
		case f.value.IsZero() || f.secret:
			d.violations.notePlace(full, line, "not set")
		default:
			d.violations.notePlace(full, line, formatValue(f.value)+" (default)")
		}
	}
}

// decodeValue sets the value of one key.
func (d *decoder) decodeValue(n *yaml.Node, f field, path string) {
	line := n.Line
	n = resolveAlias(n)
	switch {
	case isYAMLNode(f.value):
		f.value.Set(reflect.ValueOf(*n))
	case isTextUnmarshaler(f.value):
		d.decodeScalar(n, f, path, line)
	case f.value.Kind() == reflect.Struct:
		d.decodeSection(n, fieldsOf(f.value), path)
	case isNullNode(n):
		d.noteDefaults([]field{f}, parentPath(path), line)
	case f.value.Kind() == reflect.Map:
		d.decodeMap(n, f, path)
	case f.value.Kind() == reflect.Slice:
		d.decodeList(n, f, path)
	default:
		d.decodeScalar(n, f, path, line)
	}
}

// decodeMap sets a map. Its entries override the default ones.
func (d *decoder) decodeMap(n *yaml.Node, f field, path string) {
	d.violations.notePlace(path, n.Line, "")
	if n.Kind != yaml.MappingNode {
		d.violations.Add(path, "must be a mapping, not %s", nodeKindName(n))
		return
	}
	if f.value.IsNil() {
		f.value.Set(reflect.MakeMap(f.value.Type()))
	}
	for key, value := range d.mappingPairs(n, path) {
		entry := f
		entry.value = reflect.New(f.value.Type().Elem()).Elem()
		d.decodeValue(value, entry, joinPath(path, printable(key.Value)))
		f.value.SetMapIndex(reflect.ValueOf(key.Value).Convert(f.value.Type().Key()), entry.value)
	}
}

// decodeList sets a slice, replacing the default one.
func (d *decoder) decodeList(n *yaml.Node, f field, path string) {
	d.violations.notePlace(path, n.Line, "")
	if n.Kind != yaml.SequenceNode {
		d.violations.Add(path, "must be a list such as [a, b], not %s", nodeKindName(n))
		return
	}
	f.value.Set(reflect.MakeSlice(f.value.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		entry := f
		entry.value = f.value.Index(i)
		d.decodeValue(item, entry, fmt.Sprintf("%s[%d]", path, i))
	}
}

// decodeScalar sets a string, number, boolean, duration or size.
func (d *decoder) decodeScalar(n *yaml.Node, f field, path string, line int) {
	if isNullNode(n) {
		d.noteDefaults([]field{f}, parentPath(path), line)
		return
	}
	if n.Kind != yaml.ScalarNode {
		d.violations.notePlace(path, line, "")
		d.violations.Add(path, "must be a single value, not %s", nodeKindName(n))
		return
	}
	show := printable(n.Value)
	if f.secret {
		show = hiddenText
	}
	d.violations.notePlace(path, line, show)
	text, referred, err := expandReferences(n.Value, d.env)
	if err != nil {
		d.unresolvedRefs = append(d.unresolvedRefs, unresolvedRef{joinPath(d.violations.prefix, path), err.Error()})
		return
	}
	if referred || f.secret {
		d.violations.hideValue(text)
	}
	if err := setValue(f.value, text, f.allow); err != nil {
		d.violations.Add(path, "%s", err)
	}
}

// resolveAlias returns the node that an alias refers to.
func resolveAlias(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNullNode(n *yaml.Node) bool {
	return n == nil || n.IsZero() || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func nodeLine(n *yaml.Node) int {
	if n == nil {
		return 0
	}
	return n.Line
}

func nodeKindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func isYAMLNode(v reflect.Value) bool { return v.Type() == reflect.TypeFor[yaml.Node]() }

func isTextUnmarshaler(v reflect.Value) bool {
	return v.CanAddr() && v.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
