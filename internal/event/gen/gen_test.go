package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func TestGeneratedFileIsCurrent(t *testing.T) {
	want, err := generateSource(os.DirFS("../../../schemas"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../" + outFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not match schemas/: run go generate ./internal/event", outFile)
	}
}

func schemaFiles(contents ...string) fstest.MapFS {
	dir := fstest.MapFS{}
	for i, text := range contents {
		dir[fmt.Sprintf("%c.avsc", 'a'+i)] = &fstest.MapFile{Data: []byte(text)}
	}
	return dir
}

func recordSchema(name, fields string) string {
	return fmt.Sprintf(`{"type":"record","namespace":"sluice.crmcom","name":%q,"fields":[%s]}`, name, fields)
}

func TestEachAvroTypeHasGoType(t *testing.T) {
	tests := []struct{ avro, field string }{
		{`"string"`, "F string"},
		{`{"type":"string","logicalType":"uuid"}`, "F string"},
		{`{"type":"enum","name":"E","symbols":["A"]}`, "F string"},
		{`"int"`, "F int32"},
		{`{"type":"int","logicalType":"date"}`, "F time.Time"},
		{`"long"`, "F int64"},
		{`{"type":"long","logicalType":"timestamp-millis"}`, "F time.Time"},
		{`"boolean"`, "F bool"},
		{`"double"`, "F float64"},
		{`"bytes"`, "F []byte"},
		{`{"type":"bytes","logicalType":"decimal","precision":38,"scale":6}`, "F Decimal"},
		{`{"type":"array","items":"string"}`, "F []string"},
		{`{"type":"map","values":{"type":"array","items":"long"}}`, "F map[string][]int64"},
		{`{"type":"record","name":"Part","fields":[]}`, "F Part"},
		{`["null","string"]`, "F *string"},
		{`["string","null"]`, "F *string"},
		{`["null",{"type":"record","name":"Part","fields":[]}]`, "F *Part"},
		{`["null",{"type":"array","items":{"type":"record","name":"Part","fields":[]}}]`, "F []Part"},
	}
	for _, test := range tests {
		src, err := generateSource(schemaFiles(recordSchema("Event", `{"name":"f","type":`+test.avro+`}`)))
		if err != nil {
			t.Errorf("%s: %v", test.avro, err)
		} else if want := test.field + " `avro:\"f\"`"; !strings.Contains(string(src), want) {
			t.Errorf("%s: got\n%s\nwant %s in it", test.avro, src, want)
		}
	}
}

func TestNamesAndDocsBecomeGo(t *testing.T) {
	src, err := generateSource(schemaFiles(`{"type":"record","namespace":"sluice.propel","name":"Change","doc":"A change.","fields":[
		{"name":"request_unique_identifier","type":"string","doc":"Mandatory.\nOnce a call."},
		{"name":"Email","type":"string"},{"name":"sourceId","type":"string"},{"name":"udf_string_1","type":"string"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"// Change is sluice.propel.Change.\n//\n// A change.\ntype Change struct {",
		"\t// Mandatory.\n\t// Once a call.\n\tRequestUniqueIdentifier string `avro:\"request_unique_identifier\"`",
		"Email ", "SourceId ", "UdfString1 ",
		"case \"sluice.propel.Change\":\n\t\treturn new(Change), true",
	} {
		if !strings.Contains(string(src), want) {
			t.Errorf("got\n%s\nwant %q in it", src, want)
		}
	}
}

func TestTypeOfSeveralFilesIsWrittenOnce(t *testing.T) {
	part := `{"name":"p","type":{"type":"record","name":"Part","doc":"A part.","fields":[{"name":"n","type":"string"}]}}`
	src, err := generateSource(schemaFiles(recordSchema("One", part),
		recordSchema("Two", part+`,{"name":"q","type":"Part"}`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(src), "type Part struct"); got != 1 {
		t.Errorf("got the type %d times, want once:\n%s", got, src)
	}
}

func TestNestedDecimalsAreChecked(t *testing.T) {
	const decimal = `{"type":"bytes","logicalType":"decimal","precision":12,"scale":6}`
	src, err := generateSource(schemaFiles(recordSchema("Event", `{"name":"one","type":`+decimal+`},
		{"name":"maybe","type":["null",`+decimal+`]},
		{"name":"many","type":{"type":"array","items":`+decimal+`}},
		{"name":"table","type":{"type":"map","values":["null",`+decimal+`]}},
		{"name":"text","type":"string"}`)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"!r.One.Fits(12)", "!(*r.Maybe).Fits(12)", "!r.Many[i0].Fits(12)",
		"range r.Table", "!(*v0).Fits(12)"} {
		if !strings.Contains(string(src), want) {
			t.Errorf("got\n%s\nwant %s in it", src, want)
		}
	}
}

func TestUnsupportedSchemaIsRefusedWithItsPlace(t *testing.T) {
	field := func(typ string) string { return recordSchema("Event", `{"name":"f","type":`+typ+`}`) }
	nested := func(fields string) string {
		return `{"name":"p","type":{"type":"record","name":"Part","fields":[` + fields + `]}}`
	}
	tests := []struct {
		name  string
		dir   fstest.MapFS
		wants []string
	}{
		{"no file", schemaFiles(), []string{"no *.avsc"}},
		{"not Avro", schemaFiles(`{`), []string{"a.avsc", "parsing"}},
		{"not a record", schemaFiles(`"string"`), []string{"a.avsc", "want a record"}},
		{"another namespace", schemaFiles(`{"type":"record","name":"com.Event","fields":[]}`),
			[]string{"Event", `"com"`, "sluice.crmcom"}},
		{"no namespace", schemaFiles(`{"type":"record","name":"Event","fields":[]}`),
			[]string{"Event", "sluice.crmcom"}},
		{"a name in lower case", schemaFiles(recordSchema("event", "")), []string{"record event"}},
		{"a name that is taken", schemaFiles(recordSchema("Decimal", "")), []string{"record Decimal"}},
		{"a type of two forms",
			schemaFiles(recordSchema("One", nested(`{"name":"n","type":"string"}`)),
				recordSchema("Two", nested(`{"name":"n","type":"int"}`))),
			[]string{"b.avsc", "Part", "a.avsc"}},
		{"a type of two docs",
			schemaFiles(recordSchema("One", nested(`{"name":"n","type":"int","doc":"a"}`)),
				recordSchema("Two", nested(`{"name":"n","type":"int","doc":"b"}`))),
			[]string{"b.avsc", "Part", "a.avsc"}},
		{"an event twice",
			schemaFiles(recordSchema("One", `{"name":"n","type":"int"}`), recordSchema("One", "")),
			[]string{"b.avsc", "One", "a.avsc"}},
		{"two fields of one Go name",
			schemaFiles(recordSchema("One", `{"name":"a_b","type":"int"},{"name":"aB","type":"int"}`)),
			[]string{"aB", "AB", "a_b"}},
		{"a decimal of another scale",
			schemaFiles(field(`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`)),
			[]string{"field f", "scale 2", "scale 6"}},
		{"microseconds", schemaFiles(field(`{"type":"long","logicalType":"timestamp-micros"}`)),
			[]string{"field f", "timestamp-micros", "timestamp-millis"}},
		{"a float", schemaFiles(field(`"float"`)), []string{"field f", "float", "double"}},
		{"a fixed", schemaFiles(field(`{"type":"fixed","name":"F","size":2}`)), []string{"field f", "fixed"}},
		{"a union of two types", schemaFiles(field(`["string","int"]`)), []string{"field f", "null and one other"}},
		{"a union of three types", schemaFiles(field(`["null","string","int"]`)),
			[]string{"field f", "null and one other"}},
		{"a nullable map", schemaFiles(field(`["null",{"type":"map","values":"int"}]`)), []string{"field f", "map"}},
		{"a type that holds itself", schemaFiles(field(`["null","Event"]`)), []string{"field f", "Event"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src, err := generateSource(test.dir)
			if err == nil {
				t.Fatalf("got\n%s\nwant an error", src)
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want one with %q", err, want)
				}
			}
		})
	}
}
