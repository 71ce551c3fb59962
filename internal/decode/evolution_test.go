package decode

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	hamba "github.com/hamba/avro/v2"
	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

// drawOlderVersion draws an earlier version of a schema: without some of the fields that have a
// default, with int instead of long, and float instead of double.
func drawOlderVersion(t *rapid.T, node any) any {
	switch n := node.(type) {
	case string:
		if narrow, ok := map[string]string{"long": "int", "double": "float"}[n]; ok && rapid.Bool().Draw(t, narrow) {
			return map[string]any{"type": narrow, "now": n}
		}
	case []any:
		union := make([]any, len(n))
		for i := range n {
			union[i] = drawOlderVersion(t, n[i])
		}
		return union
	case map[string]any:
		return drawOlderNode(t, n)
	}
	return node
}

func drawOlderNode(t *rapid.T, n map[string]any) map[string]any {
	o := map[string]any{}
	for key, value := range n {
		switch key {
		case "items", "values":
			value = drawOlderVersion(t, value)
		case "fields":
			value = drawOlderFields(t, value.([]any))
		}
		o[key] = value
	}
	return o
}

func drawOlderFields(t *rapid.T, fields []any) []any {
	kept := []any{}
	for _, f := range fields {
		field := f.(map[string]any)
		// A field with a definition stays: later ones refer to it by name.
		_, optional := field["default"]
		if optional && !hasDefinition(field["type"]) && rapid.Bool().Draw(t, "without") {
			continue
		}
		kept = append(kept, map[string]any{"name": field["name"], "type": drawOlderVersion(t, field["type"])})
	}
	return kept
}

func hasDefinition(node any) bool {
	switch n := node.(type) {
	case []any:
		for _, b := range n {
			if hasDefinition(b) {
				return true
			}
		}
	case map[string]any:
		return n["name"] != nil || hasDefinition(n["items"]) || hasDefinition(n["values"])
	}
	return false
}

// wireEquivalent returns the schema with int changed back to long, as encoding Go values requires.
// Both have the same encoding.
func wireEquivalent(node any) any {
	switch n := node.(type) {
	case []any:
		same := make([]any, len(n))
		for i := range n {
			same[i] = wireEquivalent(n[i])
		}
		return same
	case map[string]any:
		if n["now"] == "long" {
			return "long"
		}
		same := map[string]any{}
		for key, value := range n {
			same[key] = wireEquivalent(value)
		}
		return same
	}
	return node
}

// renameFirstField renames the first field of the version and adds its new name to the reader's
// schema as an alias.
func renameFirstField(reader, version map[string]any) {
	first := version["fields"].([]any)[0].(map[string]any)
	for _, f := range reader["fields"].([]any) {
		if field := f.(map[string]any); field["name"] == first["name"] {
			field["aliases"] = []any{"formerly"}
		}
	}
	first["name"] = "formerly"
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface{ Fatal(args ...any) }

func marshalTree(t fataler, tree any) string {
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unmarshalTree(t fataler, text string) map[string]any {
	var tree map[string]any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// versionedValue is a version of a schema and a value of that version.
type versionedValue struct {
	version map[string]any
	value   any
}

func drawVersionedValue(text string, fresh func() any) *rapid.Generator[versionedValue] {
	return rapid.Custom(func(t *rapid.T) versionedValue {
		s := versionedValue{drawOlderVersion(t, unmarshalTree(t, text)).(map[string]any), fresh()}
		if e, ok := s.value.(*everything); ok {
			e.Defaults = "as given"
		}
		schema, err := avro.Parse(marshalTree(t, s.version))
		if err != nil {
			t.Fatal(err)
		}
		fillValue(t, schema.Root().ExpandReferences(), reflect.ValueOf(s.value).Elem())
		return s
	})
}

// Values of older versions decode to the same event with both implementations: missing fields have
// their defaults, and nothing else differs.
func TestAvroLibrariesDecodeOlderSchemaVersionsAlike(t *testing.T) {
	const versions = 8 // of each schema
	for text, fresh := range eventTypes(t) {
		_, now := mustParseSchema(t, text)
		t.Run(now.Name, func(t *testing.T) {
			for i := range versions {
				s := drawVersionedValue(text, fresh).Example(i)
				wire, reader := encodeVersion(t, s.version, s.value), unmarshalTree(t, text)
				renameFirstField(reader, s.version)
				for name, read := range map[string]func(testing.TB, string, string, []byte, any){
					"twmb": decodeWithTwmb, "hamba": decodeWithHamba,
				} {
					got := fresh()
					read(t, marshalTree(t, reader), marshalTree(t, s.version), wire, got)
					if !reflect.DeepEqual(got, s.value) {
						t.Fatalf("%s decoded %+v, want %+v as encoded with %s",
							name, got, s.value, marshalTree(t, s.version))
					}
				}
			}
		})
	}
}

// encodeVersion encodes a value with hamba/avro, or with twmb/avro if the version has a float,
// which hamba does not encode from a Go float64.
func encodeVersion(t testing.TB, version map[string]any, v any) []byte {
	text := marshalTree(t, version)
	if strings.Contains(text, `"float"`) {
		wire, err := avro.MustParse(text, rawDecimals).Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		return wire
	}
	schema, err := hamba.ParseWithCache(marshalTree(t, wireEquivalent(version)), "", &hamba.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	wire, err := hamba.Marshal(schema, v)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func decodeWithTwmb(t testing.TB, reader, writer string, wire []byte, into any) {
	r := newReaders()
	if err := r.addSchema(reader, func() any { return into }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.newCodec(1, avro.MustParse(writer)).decodeBody(1, wire); err != nil {
		t.Fatal(err)
	}
}

func decodeWithHamba(t testing.TB, reader, writer string, wire []byte, into any) {
	var parsed [2]hamba.Schema
	for i, text := range []string{reader, writer} {
		schema, err := hamba.ParseWithCache(text, "", &hamba.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		parsed[i] = schema
	}
	resolved, err := hamba.NewSchemaCompatibility().Resolve(parsed[0], parsed[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := hamba.Unmarshal(resolved, wire, into); err != nil {
		t.Fatal(err)
	}
}
