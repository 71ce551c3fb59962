package crmcom

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sluice/internal/event"
	"sluice/internal/sink"
)

func encodeMembers(t *testing.T, op sink.Operation, ev any) map[string]any {
	t.Helper()
	item, err := op.Encode(t.Context(), ev, originAt(7))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(item.Body, &got); err != nil {
		t.Fatalf("%v in %s", err, item.Body)
	}
	return got
}

func violationsOf(t *testing.T, op sink.Operation, ev any) []string {
	t.Helper()
	item, err := op.Encode(t.Context(), ev, originAt(7))
	var invalid *sink.ValidationError
	if err == nil {
		return nil
	}
	if !errors.As(err, &invalid) || item.Body != nil {
		t.Fatalf("got %v and %s, want a *sink.ValidationError and no item", err, item.Body)
	}
	var list []string
	for _, f := range invalid.Violations {
		list = append(list, f.Path+": "+f.Rule)
	}
	return list
}

// fillValue sets every field, but only the first key of an identifier.
func fillValue(v reflect.Value) {
	switch at := v.Addr().Interface().(type) {
	case *string:
		*at = "x"
	case *float64:
		*at = 1.5
	case *time.Time:
		*at = july2024
	case *event.Decimal:
		*at = event.Millionths(1_500_000)
	default:
		fillNested(v)
	}
}

var july2024 = time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)

func fillNested(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillValue(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if i == 0 || !strings.HasSuffix(v.Type().Name(), "Identifier") {
				fillValue(v.Field(i))
			}
		}
	}
}

// newFilledEvent returns an event with every field that the vendor accepts together.
func newFilledEvent(t *testing.T, name string) any {
	t.Helper()
	ev, known := event.NewEvent(name)
	if !known {
		t.Fatalf("got no event %s", name)
	}
	v := reflect.ValueOf(ev).Elem()
	fillValue(v)
	for i := range v.NumField() {
		switch v.Type().Field(i).Tag.Get("avro") {
		case participantMember: // excluded by the account
			v.Field(i).SetZero()
		case "social_media":
			v.Field(i).SetString("FACEBOOK")
		case "action":
			v.Field(i).SetString("LIKE")
		}
	}
	return ev
}

// If a field is added to a schema but not to the encoder, it is silently lost.
func TestEveryFieldOfEveryEventIsSent(t *testing.T) {
	for _, op := range newUncalledOperations(t, nil) {
		name := op.Spec().Event
		ev := newFilledEvent(t, name)
		want := map[string]bool{"request_unique_identifier": true}
		for f := range reflect.TypeOf(ev).Elem().Fields() {
			want[f.Tag.Get("avro")] = true
		}
		delete(want, "event_id")     // replaces an absent reference number
		delete(want, currencyMember) // a member of the call
		delete(want, participantMember)
		got := encodeMembers(t, op, ev)
		for field := range want {
			if got[field] == nil {
				t.Errorf("%s: got no member %s", name, field)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: got %d members, want %d: %v", name, len(got), len(want), got)
		}
	}
}

func TestMeasuredIndicatorsHaveTheNamesOfThePage(t *testing.T) {
	got := encodeMembers(t, newUncalledOperations(t, nil)["financial_statements"], &event.FinancialStatement{
		AccountsReceivableIdentifier: accountByNumber("A1"), ClassificationIdentifier: classificationByName("S"),
		PerformedByUnitIdentifier: adminUnit(), PerformedOn: dayAt(15, 0, 0),
		MeasuredKeyPerformanceIndicatorsSet: []event.MeasuredKeyPerformanceIndicator{
			{KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{AlternativeCode: new("K1")},
				Value: event.Millionths(-2_500_000)},
			{KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{Id: new("K2")},
				Value:             event.Millionths(1),
				ProductIdentifier: &event.ProductIdentifier{Code: new("P")}},
		},
	})["measured_key_performance_indicators_set"]
	want := []any{
		map[string]any{"key_performance_indicator_identifier": map[string]any{"alternative_code": "K1"}, "value": -2.5},
		map[string]any{"key_performance_indicator_identifier": map[string]any{"id": "K2"}, "value": 1e-6,
			"product_identifier": map[string]any{"code": "P"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReferenceNumberDefaultsToEventIDThenOrigin(t *testing.T) {
	op := newUncalledOperations(t, func(c *Config) { c.ExternalSystem = "pos" })["purchases"]
	for _, c := range []struct {
		reference, id, system *string
		want, wantSystem      string
	}{
		{nil, nil, nil, "events-0-7", "pos"},
		{nil, new("e1"), nil, "e1", "pos"},
		{new("r1"), new("e1"), new("till"), "r1", "till"},
		{new(""), new(""), new(""), "events-0-7", "pos"},
	} {
		e := purchaseOf("A1")
		e.ExternalSystemReferenceNumber, e.EventId, e.ExternalSystem = c.reference, c.id, c.system
		got := encodeMembers(t, op, e)
		if got["external_system_reference_number"] != c.want || got["external_system"] != c.wantSystem {
			t.Errorf("got %v of %v, want %v of %v", got["external_system_reference_number"], got["external_system"],
				c.want, c.wantSystem)
		}
		if got["request_unique_identifier"] != "events-0-7" || got["event_id"] != nil {
			t.Errorf("got %v", got)
		}
	}
}

func TestDatesAreInTheConfiguredZone(t *testing.T) {
	op := newUncalledOperations(t, func(c *Config) { c.TimeZone = "Europe/Nicosia" })["purchases"]
	e := purchaseOf("A1")
	e.PerformedOn = time.Date(2024, 12, 31, 23, 59, 59, 999_000_000, time.UTC)
	e.UdfDate1 = &july2024
	got := encodeMembers(t, op, e)
	if got["performed_on"] != "2025-01-01T01:59:59" || got["udf_date_1"] != "2024-07-01T15:00:00" {
		t.Errorf("got %v and %v", got["performed_on"], got["udf_date_1"])
	}
}

func TestNumbersAreExactWithoutExponent(t *testing.T) {
	e := purchaseOf("A1")
	huge, err := event.ParseDecimal("12345678901234567890123456789012.000001")
	if err != nil {
		t.Fatal(err)
	}
	e.ProductsSet = e.ProductsSet[:1]
	e.ProductsSet[0].TotalAmount = huge
	e.UdfFloat1, e.UdfFloat2 = new(1e21), new(1e-7)
	item, err := newUncalledOperations(t, nil)["purchases"].Encode(t.Context(), e, originAt(7))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"total_amount":12345678901234567890123456789012.000001}`, `"udf_float_1":1000000000000000000000,`,
		`"udf_float_2":0.0000001,`,
	} {
		if !strings.Contains(string(item.Body), want) {
			t.Errorf("got no %s in %s", want, item.Body)
		}
	}
}

func TestEnvelopeKeyIsTheCurrency(t *testing.T) {
	op := newUncalledOperations(t, nil)["purchases"]
	e := purchaseOf("A1")
	plain, err := op.Encode(t.Context(), e, originAt(7))
	if err != nil || plain.EnvelopeKey != "" {
		t.Fatalf("got envelope key %q, %v", plain.EnvelopeKey, err)
	}
	e.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: new("EUR")}
	item, err := op.Encode(t.Context(), e, originAt(7))
	if err != nil || item.EnvelopeKey != `{"code":"EUR"}` || string(item.Body) != string(plain.Body) {
		t.Errorf("got envelope key %q and %s, %v", item.EnvelopeKey, item.Body, err)
	}
}

func TestAnyValidTextSurvivesEncoding(t *testing.T) {
	op := newUncalledOperations(t, nil)["purchases"]
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()),
			func(b []byte) string { return string(b) })).Draw(rt, "text")
		e := purchaseOf("A1")
		e.Description, e.UdfString16 = &text, &text
		item, err := op.Encode(t.Context(), e, originAt(7))
		if !utf8.ValidString(text) {
			if !errors.As(err, new(*sink.ValidationError)) {
				rt.Fatalf("%q: got %v, want a *sink.ValidationError: the text cannot be sent unchanged", text, err)
			}
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(item.Body, &got); err != nil || !utf8.Valid(item.Body) {
			rt.Fatalf("%v in %q", err, item.Body)
		}
		if got["description"] != text || got["udf_string_16"] != text {
			rt.Fatalf("got %q, want %q", got["description"], text)
		}
	})
}

func TestItemsDoNotShareMemory(t *testing.T) {
	op := newUncalledOperations(t, nil)["purchases"]
	first, err := op.Encode(t.Context(), purchaseOf("A1"), originAt(1))
	if err != nil {
		t.Fatal(err)
	}
	before := string(first.Body)
	if _, err := op.Encode(t.Context(), purchaseOf("B2"), originAt(2)); err != nil {
		t.Fatal(err)
	}
	if string(first.Body) != before {
		t.Errorf("got the first item changed to %s", first.Body)
	}
}

func BenchmarkEncodePurchase(b *testing.B) {
	op := newUncalledOperations(b, nil)["purchases"]
	e := purchaseOf("ACR0000000228")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := op.Encode(b.Context(), e, originAt(7)); err != nil {
			b.Fatal(err)
		}
	}
}
