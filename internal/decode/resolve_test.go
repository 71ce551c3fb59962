package decode

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"sluice/internal/event"
	"sluice/schemas"
)

// baseFields are the fields of the schema Everything that have no default and that the tests do not
// vary.
const baseFields = `
	{"name":"text","type":"string"},
	{"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
	{"name":"color","type":{"type":"enum","name":"Color","symbols":["RED","GREEN"]}},
	{"name":"small","type":"int"},
	{"name":"flag","type":"boolean"},
	{"name":"blob","type":"bytes"},
	{"name":"day","type":{"type":"int","logicalType":"date"}},
	{"name":"list","type":{"type":"array","items":"string"}},
	{"name":"amounts","type":{"type":"array","items":` + decimalType + `}},
	{"name":"table","type":{"type":"map","values":"long"}},
	{"name":"part","type":{"type":"record","name":"Part","fields":[{"name":"name","type":"string"}]}},
	{"name":"parts","type":{"type":"array","items":"Part"}}`

// The fields that the tests vary, as the reader has them.
const (
	large  = `{"name":"large","type":"long"}`
	ratio  = `{"name":"ratio","type":"double"}`
	amount = `{"name":"amount","type":` + decimalType + `}`
	at     = `{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}`
)

func writerSchema(name string, fields ...string) string {
	return fmt.Sprintf(`{"type":"record","name":%q,"fields":[%s,%s]}`, name, baseFields, strings.Join(fields, ","))
}

// field returns the definition of a field.
func field(name, avroType string) string { return fmt.Sprintf(`{"name":%q,"type":%s}`, name, avroType) }

// logical returns a primitive type annotated with a logical type.
func logical(primitive, logicalType string) string {
	return fmt.Sprintf(`{"type":%q,"logicalType":%q}`, primitive, logicalType)
}

// everythingWith returns a writer schema with the reader's fields in which before is replaced by
// after.
func everythingWith(before, after string) string {
	return strings.Replace(writerSchema("sluice.test.Everything", large, ratio, amount, at), before, after, 1)
}

// writerOf returns a writer schema of the base fields and the given ones.
func writerOf(fields ...string) string { return writerSchema("sluice.test.Everything", fields...) }

// baseValue returns a value for every field that a writer schema may have.
func baseValue() map[string]any {
	return map[string]any{
		"text": "t", "uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "color": "GREEN", "small": 7, "flag": true,
		"blob": []byte{1}, "day": 3, "list": []string{"a"}, "amounts": []any{}, "table": map[string]any{"k": 1},
		"part": map[string]any{"name": "p"}, "parts": []any{},
		"large": 8, "big": 8, "ratio": 0.5, "amount": []byte{5}, "at": 1000, "new": "unread",
	}
}

func TestWriterSchemaIsResolvedByAvrosRules(t *testing.T) {
	tests := []struct {
		name   string
		writer string
	}{
		{"the reader's own fields", writerOf(large, ratio, amount, at)},
		{"fields in another order", writerOf(at, amount, ratio, large)},
		{"a field that the reader lacks", writerOf(large, field("new", `"string"`), ratio, amount, at)},
		{"int promoted to long", writerOf(field("large", `"int"`), ratio, amount, at)},
		{"float promoted to double", writerOf(large, field("ratio", `"float"`), amount, at)},
		{"a field by its alias", writerOf(field("big", `"long"`), ratio, amount, at)},
		{"a string with a logical type",
			everythingWith(field("text", `"string"`), field("text", logical("string", "uuid")))},
		{"a string with an unrecognized logical type",
			everythingWith(field("text", `"string"`), field("text", logical("string", "varchar")))},
		{"a long without a logical type", writerOf(large, ratio, amount, field("at", `"long"`))},
		{"another namespace", writerSchema("com.example.Everything", large, ratio, amount, at)},
		{"no namespace", writerSchema("Everything", large, ratio, amount, at)},
		{"the record's alias", writerSchema("sluice.test.Anything", large, ratio, amount, at)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newTestDecoder(t, Config{}, everythingReaders(t), test.writer)
			body, err := avro.MustParse(test.writer).Encode(baseValue())
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Decode(t.Context(), "topic", wireFormat(1, body))
			if err != nil {
				t.Fatal(err)
			}
			e := got.Event.(*everything)
			if e.Text != "t" || e.Large != 8 || e.Ratio != 0.5 || e.At.UnixMilli() != 1000 ||
				e.Amount.Cmp(event.Millionths(5)) != 0 {
				t.Errorf("got %+v, want the values of baseValue", e)
			}
			if e.Defaults != "as given" || e.NText != nil || e.Part != (part{Name: "p"}) {
				t.Errorf("got %+v, want the reader's defaults", e)
			}
		})
	}
}

func TestSchemaThatChangesTheMeaningOfAFieldIsPoison(t *testing.T) {
	decimal := func(precision, scale int) string {
		return field("amount", fmt.Sprintf(
			`{"type":"bytes","logicalType":"decimal","precision":%d,"scale":%d}`, precision, scale))
	}
	micros := logical("long", "timestamp-micros")
	tests := []struct {
		name, writer, reason string
	}{
		{"not a record", `"string"`, "the schema is string, want a record"},
		{"a mandatory field is missing", writerOf(ratio, amount, at), "large"},
		{"a decimal of another scale", writerOf(large, ratio, decimal(38, 2), at), "scale"},
		{"a decimal of another precision", writerOf(large, ratio, decimal(9, 6), at), "precision"},
		{"bytes for a decimal", writerOf(large, ratio, field("amount", `"bytes"`), at),
			"field amount: the writer's bytes"},
		{"a string for a decimal", writerOf(large, ratio, field("amount", `"string"`), at),
			"field amount: the writer's string"},
		{"a decimal for a string", everythingWith(field("text", `"string"`), field("text", decimalType)),
			"field text: the writer's bytes decimal"},
		{"a time for a number", writerOf(field("large", micros), ratio, amount, at),
			"field large: the writer's long timestamp-micros"},
		{"a date for a number", writerOf(large, field("ratio", logical("int", "date")), amount, at),
			"field ratio: the writer's int date"},
		{"local time for an instant",
			writerOf(large, ratio, amount, field("at", logical("long", "local-timestamp-millis"))),
			"field at: the writer's long local-timestamp-millis"},
		{"a time for a number, by its alias", writerOf(field("big", micros), ratio, amount, at),
			"field large: the writer's long timestamp-micros"},
		{"bytes for a decimal in an array",
			everythingWith(`{"type":"array","items":`+decimalType+`}`, `{"type":"array","items":"bytes"}`),
			"field amounts[]: the writer's bytes"},
		{"a time for a number in a map",
			everythingWith(`{"type":"map","values":"long"}`, `{"type":"map","values":`+micros+`}`),
			"field table[]: the writer's long timestamp-micros"},
		{"a recursive record, by its name",
			everythingWith(`"name":"Part","fields":[`, `"name":"Part","fields":[{"name":"self","type":["null","Part"]},`),
			"field parts[]: the writer's Part"},
		{"microseconds for milliseconds", writerOf(large, ratio, amount, field("at", micros)),
			"field at: the writer's long timestamp-micros"},
		{"microseconds in a union", writerOf(large, ratio, amount, at, field("n_at", `["null",`+micros+`]`)),
			"field n_at: the writer's long timestamp-micros"},
		{"a string for a nested decimal",
			writerOf(large, ratio, amount, at, field("n_part",
				`{"type":"record","name":"Part2","fields":[`+field("amount", `"string"`)+`]}`)),
			"field n_part.amount: the writer's string"},
		{"an enum symbol that the reader lacks", everythingWith(`"GREEN"`, `"GREEN","BLUE"`), "BLUE"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newTestDecoder(t, Config{}, everythingReaders(t), test.writer)
			_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
			var poison *PoisonError
			if !errors.As(err, &poison) || !strings.Contains(poison.Reason, test.reason) {
				t.Errorf("got error %v, want a *PoisonError with %q", err, test.reason)
			}
		})
	}
}

func TestRecordNameWithoutAnEventIsUnmapped(t *testing.T) {
	d := newTestDecoder(t, Config{}, everythingReaders(t), `{"type":"record","name":"com.example.Other","fields":[]}`)
	_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
	var unmapped *UnmappedError
	if !errors.As(err, &unmapped) || unmapped.Name != "com.example.Other" {
		t.Errorf("got error %v, want an *UnmappedError for com.example.Other", err)
	}
}

func TestReaderIsFoundByFullNameThenShortNameThenAlias(t *testing.T) {
	r := newReaders()
	for _, text := range []string{
		`{"type":"record","name":"a.First","aliases":["Old"],"fields":[]}`,
		`{"type":"record","name":"b.Old","fields":[]}`,
		`{"type":"record","name":"a.Same","fields":[]}`,
		`{"type":"record","name":"b.Same","fields":[]}`,
	} {
		if err := r.addSchema(text, func() any { return new(struct{}) }); err != nil {
			t.Fatal(err)
		}
	}
	for writer, want := range map[string]string{
		"a.First": "a.First", "x.First": "a.First", "b.Old": "b.Old", "x.Old": "b.Old", "a.Old": "b.Old",
		"a.None": "", "a.Same": "a.Same", "b.Same": "b.Same",
	} {
		got := ""
		if found := r.findReader(writer); found != nil {
			got = fullName(found.root)
		}
		if got != want {
			t.Errorf("writer %s: got reader %q, want %q", writer, got, want)
		}
	}
}

func TestEverySchemaHasAReader(t *testing.T) {
	r, err := builtinReaders()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range event.EventNames() {
		found := r.findReader(name)
		if found == nil {
			t.Errorf("no reader for %s", name)
			continue
		}
		want, _ := event.NewEvent(name)
		if got := reflect.TypeOf(found.newEvent()); got != reflect.TypeOf(want) {
			t.Errorf("%s: got a %s, want a %T", name, got, want)
		}
	}
}

// Avro's own compatibility check ignores logical types: it would accept a change from milliseconds
// to microseconds.
func TestLogicalTypesAreThoseOfTheCommittedSchemas(t *testing.T) {
	for _, s := range schemas.All() {
		text, err := os.ReadFile(filepath.Join("../../schemas/committed", s.File))
		if err != nil {
			t.Fatal(err)
		}
		before := avro.MustParse(string(text)).Root().ExpandReferences()
		now := avro.MustParse(s.JSON).Root().ExpandReferences()
		if err := errors.Join(checkSemantics("", now, before), checkSemantics("", before, now)); err != nil {
			t.Errorf("%s against schemas/committed/: %v", s.File, err)
		}
	}
}
