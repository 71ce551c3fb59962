package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder sets structs from a file's nodes. Each fault is noted and the rest is decoded all the same. How deep it goes is bounded by
// the structs, so that a file that refers to itself ends.
type decoder struct {
	env    func(string) (string, bool)
	faults *Violations
	// unresolved are the references that did not resolve; whether they matter is known when it is known which accounts are used.
	unresolved []unresolved
}

type unresolved struct{ path, rule string }

// field is a key of a section and where its value goes.
type field struct {
	key    string
	value  reflect.Value
	allow  string
	doc    string
	secret bool
	scalar bool // the section may be written as this key's value alone
	// required is about accounts that a pipeline uses; see CheckTags.
	required bool
}

// fieldsOf lists a struct's keys in their order, those of embedded structs in place.
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

// section sets fields from a mapping. A missing or empty section leaves the defaults.
func (d *decoder) section(n *yaml.Node, fields []field, path string) {
	n = target(n)
	if isNull(n) {
		d.absent(fields, path, lineOf(n))
		return
	}
	d.faults.note(path, n.Line, "")
	if one := slices.IndexFunc(fields, func(f field) bool { return f.scalar }); one >= 0 && n.Kind == yaml.ScalarNode {
		d.value(n, fields[one], path)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.faults.Add(path, "must be a mapping, not %s", kindName(n))
		return
	}
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	for key, value := range d.pairs(n, path) {
		at := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if at < 0 {
			d.unknownKey(key, path, keys)
			continue
		}
		d.value(value, fields[at], join(path, key.Value))
		fields[at].value = reflect.Value{}
	}
	d.absent(slices.DeleteFunc(fields, func(f field) bool { return !f.value.IsValid() }), path, n.Line)
}

// unknownKey leaves the value out: a misspelled key may hold a secret.
func (d *decoder) unknownKey(key *yaml.Node, path string, known []string) {
	full := join(path, shown(key.Value))
	d.faults.note(full, key.Line, "")
	d.faults.Add(full, "unknown key%s", didYouMean(key.Value, known))
}

// pairs gives a mapping's keys and values, each key once.
func (d *decoder) pairs(n *yaml.Node, path string) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, full := target(n.Content[i]), join(path, shown(n.Content[i].Value))
			switch {
			case key.Kind != yaml.ScalarNode:
				d.faults.Add(path, "must have texts as keys, not %s", kindName(key))
				continue
			case seen[key.Value]:
				d.faults.note(full, n.Content[i].Line, "")
				d.faults.Add(full, "must be given once")
				continue
			}
			seen[key.Value] = true
			if !yield(key, n.Content[i+1]) {
				return
			}
		}
	}
}

// absent notes the defaults of keys that the file does not have, so that a fault can show them.
func (d *decoder) absent(fields []field, path string, line int) {
	for _, f := range fields {
		full := join(path, f.key)
		switch {
		case f.value.Kind() == reflect.Struct && !isText(f.value) && !isNode(f.value):
			d.faults.note(full, line, "")
			d.absent(fieldsOf(f.value), full, line)
		case isNode(f.value):
		case f.value.IsZero() || f.secret:
			d.faults.note(full, line, "not given")
		default:
			d.faults.note(full, line, format(f.value)+" (default)")
		}
	}
}

// value sets one key's value.
func (d *decoder) value(n *yaml.Node, f field, path string) {
	line := n.Line
	n = target(n)
	switch {
	case isNode(f.value):
		f.value.Set(reflect.ValueOf(*n))
	case isText(f.value):
		d.scalar(n, f, path, line)
	case f.value.Kind() == reflect.Struct:
		d.section(n, fieldsOf(f.value), path)
	case isNull(n):
		d.absent([]field{f}, parent(path), line)
	case f.value.Kind() == reflect.Map:
		d.table(n, f, path)
	case f.value.Kind() == reflect.Slice:
		d.list(n, f, path)
	default:
		d.scalar(n, f, path, line)
	}
}

// table sets a map; its entries stand over the default ones.
func (d *decoder) table(n *yaml.Node, f field, path string) {
	d.faults.note(path, n.Line, "")
	if n.Kind != yaml.MappingNode {
		d.faults.Add(path, "must be a mapping, not %s", kindName(n))
		return
	}
	if f.value.IsNil() {
		f.value.Set(reflect.MakeMap(f.value.Type()))
	}
	for key, value := range d.pairs(n, path) {
		entry := f
		entry.value = reflect.New(f.value.Type().Elem()).Elem()
		d.value(value, entry, join(path, shown(key.Value)))
		f.value.SetMapIndex(reflect.ValueOf(key.Value).Convert(f.value.Type().Key()), entry.value)
	}
}

// list sets a slice; it replaces the default one.
func (d *decoder) list(n *yaml.Node, f field, path string) {
	d.faults.note(path, n.Line, "")
	if n.Kind != yaml.SequenceNode {
		d.faults.Add(path, "must be a list such as [a, b], not %s", kindName(n))
		return
	}
	f.value.Set(reflect.MakeSlice(f.value.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		entry := f
		entry.value = f.value.Index(i)
		d.value(item, entry, fmt.Sprintf("%s[%d]", path, i))
	}
}

// scalar sets a text, number, truth value, duration or size.
func (d *decoder) scalar(n *yaml.Node, f field, path string, line int) {
	if isNull(n) {
		d.absent([]field{f}, parent(path), line)
		return
	}
	if n.Kind != yaml.ScalarNode {
		d.faults.note(path, line, "")
		d.faults.Add(path, "must be one value, not %s", kindName(n))
		return
	}
	show := shown(n.Value)
	if f.secret {
		show = hidden
	}
	d.faults.note(path, line, show)
	text, referred, err := expand(n.Value, d.env)
	if err != nil {
		d.unresolved = append(d.unresolved, unresolved{join(d.faults.prefix, path), err.Error()})
		return
	}
	if referred || f.secret {
		d.faults.never(text)
	}
	if err := set(f.value, text, f.allow); err != nil {
		d.faults.Add(path, "%s", err)
	}
}

// target is the node that an alias stands for.
func target(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.IsZero() || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func lineOf(n *yaml.Node) int {
	if n == nil {
		return 0
	}
	return n.Line
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "one value"
	}
}

func isNode(v reflect.Value) bool { return v.Type() == reflect.TypeFor[yaml.Node]() }

func isText(v reflect.Value) bool {
	return v.CanAddr() && v.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
