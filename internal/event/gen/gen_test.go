package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTheGeneratedFileIsCurrent(t *testing.T) {
	want, err := generate(os.DirFS("../../../schemas"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../" + outFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what schemas/ says: run go generate ./internal/event", outFile)
	}
}

func files(contents ...string) fstest.MapFS {
	dir := fstest.MapFS{}
	for i, text := range contents {
		dir[fmt.Sprintf("%c.avsc", 'a'+i)] = &fstest.MapFile{Data: []byte(text)}
	}
	return dir
}

func recordOf(name, fields string) string {
	return fmt.Sprintf(`{"type":"record","namespace":"sluice.crmcom","name":%q,"fields":[%s]}`, name, fields)
}

func TestEachAvroTypeHasItsGoType(t *testing.T) {
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
		src, err := generate(files(recordOf("Event", `{"name":"f","type":`+test.avro+`}`)))
		if err != nil {
			t.Errorf("%s: %v", test.avro, err)
		} else if want := test.field + " `avro:\"f\"`"; !strings.Contains(string(src), want) {
			t.Errorf("%s: want %s in\n%s", test.avro, want, src)
		}
	}
}

func TestNamesAndDocsBecomeGo(t *testing.T) {
	src, err := generate(files(`{"type":"record","namespace":"sluice.propel","name":"Change","doc":"A change.","fields":[
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
			t.Errorf("want %q in\n%s", want, src)
		}
	}
}

func TestATypeOfSeveralFilesIsWrittenOnce(t *testing.T) {
	part := `{"name":"p","type":{"type":"record","name":"Part","doc":"A part.","fields":[{"name":"n","type":"string"}]}}`
	src, err := generate(files(recordOf("One", part), recordOf("Two", part+`,{"name":"q","type":"Part"}`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(src), "type Part struct"); got != 1 {
		t.Errorf("written %d times:\n%s", got, src)
	}
}

func TestDecimalsAreCheckedWhereverTheyAre(t *testing.T) {
	const decimal = `{"type":"bytes","logicalType":"decimal","precision":12,"scale":6}`
	src, err := generate(files(recordOf("Event", `{"name":"one","type":`+decimal+`},
		{"name":"maybe","type":["null",`+decimal+`]},
		{"name":"many","type":{"type":"array","items":`+decimal+`}},
		{"name":"table","type":{"type":"map","values":["null",`+decimal+`]}},
		{"name":"text","type":"string"}`)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"!r.One.Fits(12)", "!(*r.Maybe).Fits(12)", "!r.Many[i0].Fits(12)", "range r.Table", "!(*v0).Fits(12)"} {
		if !strings.Contains(string(src), want) {
			t.Errorf("want %s in\n%s", want, src)
		}
	}
}

func TestASchemaOutsideTheRulesIsRefusedWithItsPlace(t *testing.T) {
	field := func(typ string) string { return recordOf("Event", `{"name":"f","type":`+typ+`}`) }
	nested := func(fields string) string {
		return `{"name":"p","type":{"type":"record","name":"Part","fields":[` + fields + `]}}`
	}
	tests := []struct {
		name  string
		dir   fstest.MapFS
		wants []string
	}{
		{"no file", files(), []string{"no *.avsc"}},
		{"not Avro", files(`{`), []string{"a.avsc", "parsing"}},
		{"not a record", files(`"string"`), []string{"a.avsc", "a record is wanted"}},
		{"another namespace", files(`{"type":"record","name":"com.Event","fields":[]}`), []string{"Event", `"com"`, "sluice.crmcom"}},
		{"no namespace", files(`{"type":"record","name":"Event","fields":[]}`), []string{"Event", "sluice.crmcom"}},
		{"a name in lower case", files(recordOf("event", "")), []string{"record event"}},
		{"a name that is taken", files(recordOf("Decimal", "")), []string{"record Decimal"}},
		{"a type of two forms", files(recordOf("One", nested(`{"name":"n","type":"string"}`)), recordOf("Two", nested(`{"name":"n","type":"int"}`))),
			[]string{"b.avsc", "Part", "a.avsc"}},
		{"a type of two docs", files(recordOf("One", nested(`{"name":"n","type":"int","doc":"a"}`)), recordOf("Two", nested(`{"name":"n","type":"int","doc":"b"}`))),
			[]string{"b.avsc", "Part", "a.avsc"}},
		{"an event twice", files(recordOf("One", `{"name":"n","type":"int"}`), recordOf("One", "")), []string{"b.avsc", "One", "a.avsc"}},
		{"two fields of one Go name", files(recordOf("One", `{"name":"a_b","type":"int"},{"name":"aB","type":"int"}`)), []string{"aB", "AB", "a_b"}},
		{"a decimal of another scale", files(field(`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`)), []string{"field f", "scale 2", "scale 6"}},
		{"microseconds", files(field(`{"type":"long","logicalType":"timestamp-micros"}`)), []string{"field f", "timestamp-micros", "timestamp-millis"}},
		{"a float", files(field(`"float"`)), []string{"field f", "float", "double"}},
		{"a fixed", files(field(`{"type":"fixed","name":"F","size":2}`)), []string{"field f", "fixed"}},
		{"a union of two types", files(field(`["string","int"]`)), []string{"field f", "null and one other"}},
		{"a union of three types", files(field(`["null","string","int"]`)), []string{"field f", "null and one other"}},
		{"a nullable map", files(field(`["null",{"type":"map","values":"int"}]`)), []string{"field f", "map"}},
		{"a type that holds itself", files(field(`["null","Event"]`)), []string{"field f", "Event"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src, err := generate(test.dir)
			if err == nil {
				t.Fatalf("generated\n%s", src)
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want it to say %q", err, want)
				}
			}
		})
	}
}
