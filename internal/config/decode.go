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
func fieldsOf(value reflect.Value) []field {
	value = reflect.Indirect(value)
	var fields []field
	for i := range value.NumField() {
		f := value.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous:
			fields = append(fields, fieldsOf(value.Field(i))...)
		case key == "" || key == "-" || !f.IsExported():
		default:
			fields = append(fields, field{
				key: key, value: value.Field(i), allow: f.Tag.Get("allow"), doc: f.Tag.Get("doc"),
				secret: f.Type == reflect.TypeFor[Secret](), scalar: f.Tag.Get("scalar") == "true",
				required: f.Tag.Get("required") == "true",
			})
		}
	}
	return fields
}

// decodeSection sets fields from a mapping. A missing or empty section keeps the defaults.
func (d *decoder) decodeSection(node *yaml.Node, fields []field, path string) {
	node = resolveAlias(node)
	if isNullNode(node) {
		d.noteDefaults(fields, path, nodeLine(node))
		return
	}
	d.violations.notePlace(path, node.Line, "")
	if one := slices.IndexFunc(fields, func(dest field) bool { return dest.scalar }); one >= 0 && node.Kind == yaml.ScalarNode {
		d.decodeValue(node, fields[one], path)
		return
	}
	if node.Kind != yaml.MappingNode {
		d.violations.Add(path, "must be a mapping, not %s", nodeKindName(node))
		return
	}
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	for key, value := range d.mappingPairs(node, path) {
		at := slices.IndexFunc(fields, func(dest field) bool { return dest.key == key.Value })
		if at < 0 {
			d.reportUnknownKey(key, path, keys)
			continue
		}
		d.decodeValue(value, fields[at], joinPath(path, key.Value))
		fields[at].value = reflect.Value{}
	}
	d.noteDefaults(slices.DeleteFunc(fields, func(dest field) bool { return !dest.value.IsValid() }), path, node.Line)
}

// reportUnknownKey does not report the value, because a misspelled key may have a secret.
func (d *decoder) reportUnknownKey(key *yaml.Node, path string, known []string) {
	full := joinPath(path, printable(key.Value))
	d.violations.notePlace(full, key.Line, "")
	d.violations.Add(full, "unknown key%s", didYouMean(key.Value, known))
}

// mappingPairs iterates over a mapping's keys and values. It reports repeated keys and yields only
// their first occurrence.
func (d *decoder) mappingPairs(node *yaml.Node, path string) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		seen := map[string]bool{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, full := resolveAlias(node.Content[i]), joinPath(path, printable(node.Content[i].Value))
			switch {
			case key.Kind != yaml.ScalarNode:
				d.violations.Add(path, "must have strings as keys, not %s", nodeKindName(key))
				continue
			case seen[key.Value]:
				d.violations.notePlace(full, node.Content[i].Line, "")
				d.violations.Add(full, "must not be repeated")
				continue
			}
			seen[key.Value] = true
			if !yield(key, node.Content[i+1]) {
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
func (d *decoder) decodeValue(node *yaml.Node, dest field, path string) {
	line := node.Line
	node = resolveAlias(node)
	switch {
	case isYAMLNode(dest.value):
		dest.value.Set(reflect.ValueOf(*node))
	case isTextUnmarshaler(dest.value):
		d.decodeScalar(node, dest, path, line)
	case dest.value.Kind() == reflect.Struct:
		d.decodeSection(node, fieldsOf(dest.value), path)
	case isNullNode(node):
		d.noteDefaults([]field{dest}, parentPath(path), line)
	case dest.value.Kind() == reflect.Map:
		d.decodeMap(node, dest, path)
	case dest.value.Kind() == reflect.Slice:
		d.decodeList(node, dest, path)
	default:
		d.decodeScalar(node, dest, path, line)
	}
}

// decodeMap sets a map. Its entries override the default ones.
func (d *decoder) decodeMap(node *yaml.Node, dest field, path string) {
	d.violations.notePlace(path, node.Line, "")
	if node.Kind != yaml.MappingNode {
		d.violations.Add(path, "must be a mapping, not %s", nodeKindName(node))
		return
	}
	if dest.value.IsNil() {
		dest.value.Set(reflect.MakeMap(dest.value.Type()))
	}
	for key, value := range d.mappingPairs(node, path) {
		entry := dest
		entry.value = reflect.New(dest.value.Type().Elem()).Elem()
		d.decodeValue(value, entry, joinPath(path, printable(key.Value)))
		dest.value.SetMapIndex(reflect.ValueOf(key.Value).Convert(dest.value.Type().Key()), entry.value)
	}
}

// decodeList sets a slice, replacing the default one.
func (d *decoder) decodeList(node *yaml.Node, dest field, path string) {
	d.violations.notePlace(path, node.Line, "")
	if node.Kind != yaml.SequenceNode {
		d.violations.Add(path, "must be a list such as [a, b], not %s", nodeKindName(node))
		return
	}
	dest.value.Set(reflect.MakeSlice(dest.value.Type(), len(node.Content), len(node.Content)))
	for i, item := range node.Content {
		entry := dest
		entry.value = dest.value.Index(i)
		d.decodeValue(item, entry, fmt.Sprintf("%s[%d]", path, i))
	}
}

// decodeScalar sets a string, number, boolean, duration or size.
func (d *decoder) decodeScalar(node *yaml.Node, dest field, path string, line int) {
	if isNullNode(node) {
		d.noteDefaults([]field{dest}, parentPath(path), line)
		return
	}
	if node.Kind != yaml.ScalarNode {
		d.violations.notePlace(path, line, "")
		d.violations.Add(path, "must be a single value, not %s", nodeKindName(node))
		return
	}
	show := printable(node.Value)
	if dest.secret {
		show = hiddenText
	}
	d.violations.notePlace(path, line, show)
	text, referred, err := expandReferences(node.Value, d.env)
	if err != nil {
		d.unresolvedRefs = append(d.unresolvedRefs, unresolvedRef{joinPath(d.violations.prefix, path), err.Error()})
		return
	}
	if referred || dest.secret {
		d.violations.hideValue(text)
	}
	if err := setValue(dest.value, text, dest.allow); err != nil {
		d.violations.Add(path, "%s", err)
	}
}

// resolveAlias returns the node that an alias refers to.
func resolveAlias(node *yaml.Node) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func isNullNode(node *yaml.Node) bool {
	return node == nil || node.IsZero() || node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

func nodeLine(node *yaml.Node) int {
	if node == nil {
		return 0
	}
	return node.Line
}

func nodeKindName(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func isYAMLNode(value reflect.Value) bool { return value.Type() == reflect.TypeFor[yaml.Node]() }

func isTextUnmarshaler(value reflect.Value) bool {
	return value.CanAddr() && value.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
