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

// older draws an earlier version of a schema: without some of the fields that have a default, with int for long, and float for double.
func older(t *rapid.T, node any) any {
	switch n := node.(type) {
	case string:
		if narrow, ok := map[string]string{"long": "int", "double": "float"}[n]; ok && rapid.Bool().Draw(t, narrow) {
			return map[string]any{"type": narrow, "now": n}
		}
	case []any:
		union := make([]any, len(n))
		for i := range n {
			union[i] = older(t, n[i])
		}
		return union
	case map[string]any:
		return olderOf(t, n)
	}
	return node
}

func olderOf(t *rapid.T, n map[string]any) map[string]any {
	o := map[string]any{}
	for key, value := range n {
		switch key {
		case "items", "values":
			value = older(t, value)
		case "fields":
			value = olderFields(t, value.([]any))
		}
		o[key] = value
	}
	return o
}

func olderFields(t *rapid.T, fields []any) []any {
	kept := []any{}
	for _, f := range fields {
		field := f.(map[string]any)
		// A field with a definition stays: later ones refer to it by name.
		if _, optional := field["default"]; optional && !defines(field["type"]) && rapid.Bool().Draw(t, "without") {
			continue
		}
		kept = append(kept, map[string]any{"name": field["name"], "type": older(t, field["type"])})
	}
	return kept
}

func defines(node any) bool {
	switch n := node.(type) {
	case []any:
		for _, b := range n {
			if defines(b) {
				return true
			}
		}
	case map[string]any:
		return n["name"] != nil || defines(n["items"]) || defines(n["values"])
	}
	return false
}

// sameOnTheWire is the schema with long for int again, as a writer in Go needs it: an int's bytes are a long's.
func sameOnTheWire(node any) any {
	switch n := node.(type) {
	case []any:
		same := make([]any, len(n))
		for i := range n {
			same[i] = sameOnTheWire(n[i])
		}
		return same
	case map[string]any:
		if n["now"] == "long" {
			return "long"
		}
		same := map[string]any{}
		for key, value := range n {
			same[key] = sameOnTheWire(value)
		}
		return same
	}
	return node
}

// rename gives the version's first field another name, of which the reader's schema has the alias.
func rename(reader, version map[string]any) {
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

func jsonOf(t fataler, tree any) string {
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func treeOf(t fataler, text string) map[string]any {
	var tree map[string]any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// saying is a version of a schema, and a value that it can say.
type saying struct {
	version map[string]any
	value   any
}

func drawSaying(text string, fresh func() any) *rapid.Generator[saying] {
	return rapid.Custom(func(t *rapid.T) saying {
		s := saying{older(t, treeOf(t, text)).(map[string]any), fresh()}
		if e, ok := s.value.(*everything); ok {
			e.Defaults = "as given"
		}
		schema, err := avro.Parse(jsonOf(t, s.version))
		if err != nil {
			t.Fatal(err)
		}
		fill(t, schema.Root().ExpandReferences(), reflect.ValueOf(s.value).Elem())
		return s
	})
}

// What an older version of each schema wrote reads the same in both implementations: what it lacked has its default, and nothing else differs.
func TestBothAvroLibrariesReadWhatAnOlderVersionWrote(t *testing.T) {
	const versions = 8 // of each schema
	for text, fresh := range eventTypes(t) {
		_, now := parsed(t, text)
		t.Run(now.Name, func(t *testing.T) {
			for i := range versions {
				s := drawSaying(text, fresh).Example(i)
				wire, reader := write(t, s.version, s.value), treeOf(t, text)
				rename(reader, s.version)
				for name, read := range map[string]func(testing.TB, string, string, []byte, any){"twmb": readTwmb, "hamba": readHamba} {
					got := fresh()
					read(t, jsonOf(t, reader), jsonOf(t, s.version), wire, got)
					if !reflect.DeepEqual(got, s.value) {
						t.Fatalf("%s read %+v of what was written as %+v by %s", name, got, s.value, jsonOf(t, s.version))
					}
				}
			}
		})
	}
}

// write gives the bytes of a value in a version: by hamba/avro, which takes no float from a Go float64, or else by twmb/avro.
func write(t testing.TB, version map[string]any, v any) []byte {
	text := jsonOf(t, version)
	if strings.Contains(text, `"float"`) {
		wire, err := avro.MustParse(text, rawDecimals).Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		return wire
	}
	schema, err := hamba.ParseWithCache(jsonOf(t, sameOnTheWire(version)), "", &hamba.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	wire, err := hamba.Marshal(schema, v)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func readTwmb(t testing.TB, reader, writer string, wire []byte, into any) {
	r := newReaders()
	if err := r.add(reader, func() any { return into }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.codec(1, avro.MustParse(writer)).decode(1, wire); err != nil {
		t.Fatal(err)
	}
}

func readHamba(t testing.TB, reader, writer string, wire []byte, into any) {
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
