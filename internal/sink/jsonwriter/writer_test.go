package jsonwriter

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
)

type address struct{ city, kind string }

func TestValuesAreWrittenExactlyAndInOrder(t *testing.T) {
	var w Writer
	w.BeginObject("")
	w.Text("text", "a \"b\"")
	w.OptionalText("absent", nil)
	w.OptionalText("given", new(""))
	w.OneOf("kind", "invoice", "delivery", "invoice")
	w.OptionalOneOf("absent", nil, "x")
	w.Bool("yes", true)
	w.OptionalBool("absent", nil)
	w.OptionalBool("no", new(false))
	w.Int("big", math.MinInt64)
	w.OptionalInt("absent", nil)
	w.OptionalInt("small", new(int32(-7)))
	w.Float("huge", 1e21)
	w.Float("tiny", 1e-7)
	w.Decimal("amount", event.Millionths(-12_500_000))
	w.Time("date", time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC), time.DateOnly)
	w.Value("raw", func(b []byte) []byte { return append(b, "[1,2]"...) })
	w.Key("empty")
	w.BeginObject("empty")
	w.EndObject()
	Objects(&w, "addresses", []address{{city: "Delft"}, {city: "Gouda"}}, func(a *address) { w.Text("city", a.city) })
	Objects(&w, "none", nil, func(*address) {})
	OptionalObjects(&w, "absent", nil, func(*address) {})
	OptionalObjects(&w, "optional", []address{}, func(*address) {})
	w.EndObject()
	w.BeginArray("items")
	const want = `{"text":"a \"b\"","given":"","kind":"invoice","yes":true,"no":false,"big":-9223372036854775808,"small":-7,` +
		`"huge":1000000000000000000000,"tiny":0.0000001,"amount":-12.5,"date":"0001-02-03","raw":[1,2],"empty":{},` +
		`"addresses":[{"city":"Delft"},{"city":"Gouda"}],"none":[],"optional":[]},"items":[`
	if object := w.Bytes()[:len(w.Bytes())-len(`,"items":[`)]; !json.Valid(object) {
		t.Errorf("got %s, want valid JSON", object)
	}
	if got := string(w.Bytes()); got != want || w.Err() != nil {
		t.Errorf("got  %s, error %v\nwant %s", got, w.Err(), want)
	}
}

func TestEveryViolationHasThePathOfItsField(t *testing.T) {
	tooLate := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	w := New(64)
	w.BeginObject("")
	w.RequiredText("name", "")
	w.Key("customer")
	w.BeginObject("") // an object that only the vendor's JSON has
	w.Text("email", "\xff")
	w.EndObject()
	w.Key("unit")
	w.BeginObject("performed_by")
	Objects(w, "addresses", make([]address, 2), func(a *address) {
		w.OneOf("kind", a.kind, "delivery", "invoice")
		w.OptionalOneOf("only", &a.kind, "X")
	})
	w.EndObject()
	w.Float("ratio", math.NaN())
	w.Float("share", math.Inf(-1))
	w.Decimal("amount", event.Decimal(append([]byte{0x7f}, make([]byte, 16)...)))
	w.Time("date", tooLate, time.DateOnly)
	w.AddViolations(sink.Violation{Path: "Data[3].Name", Rule: "must be a column"})
	w.EndObject()
	want := []sink.Violation{
		{Path: "name", Rule: "is mandatory"},
		{Path: "email", Rule: "must be valid UTF-8"},
		{Path: "performed_by.addresses[0].kind", Rule: "must be one of delivery, invoice"},
		{Path: "performed_by.addresses[0].only", Rule: "must be X"},
		{Path: "performed_by.addresses[1].kind", Rule: "must be one of delivery, invoice"},
		{Path: "performed_by.addresses[1].only", Rule: "must be X"},
		{Path: "ratio", Rule: "must be a finite number"},
		{Path: "share", Rule: "must be a finite number"},
		{Path: "amount", Rule: "must have at most 38 digits"},
		{Path: "date", Rule: "must be in the years 1 to 9999"},
		{Path: "Data[3].Name", Rule: "must be a column"},
	}
	var invalid *sink.ValidationError
	if err := w.Err(); !errors.As(err, &invalid) || !reflect.DeepEqual(invalid.Violations, want) {
		t.Errorf("got %+v, want %+v", err, want)
	}
}

func TestResetWriterStartsOver(t *testing.T) {
	w := New(16)
	w.BeginObject("outer")
	w.RequiredText("a", "")
	before := w.Err()
	w.Reset()
	w.BeginObject("")
	w.Int("b", 1)
	w.EndObject()
	if got := string(w.Bytes()); got != `{"b":1}` || w.Err() != nil {
		t.Errorf("got %s, error %v, want nothing of what was written before", got, w.Err())
	}
	if before.Error() != "outer.a: is mandatory" {
		t.Errorf("got %v, want the error from before the reset unchanged", before)
	}
}
