package conformance

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// exactAmounts are amounts that a binary floating-point number cannot represent exactly, because of
// their fraction or because they have more than 15 digits.
var exactAmounts = []string{
	"0.1", "1000000000000000.01", "-0.005", "0", "9007199254.740993", "9223372036854.775807",
	"12345678901234567890123456789012.000001",
}

func TestAmountsArriveExactly(t *testing.T) { productSuite().checkAmounts(t) }

func (s suite) checkAmounts(t *testing.T) {
	s.requireParts(t)
	h := s.newHarness(t, setup{})
	for _, o := range s.operations() {
		total := 0
		for i, text := range exactAmounts {
			amount, err := event.ParseDecimal(text)
			if err != nil {
				t.Fatal(err)
			}
			body, changed := o.sendChanged(t, h, i, func(value any) bool {
				d, ok := value.(*event.Decimal)
				if ok {
					*d = amount
				}
				return ok
			})
			total += changed
			got := strings.Count(body, `amount":`+text+`,`) + strings.Count(body,
				`amount":`+text+`}`) + strings.Count(body, `"value":`+text+`}`)
			if got != changed {
				t.Errorf("%s: got %s %d times in %s, want %d", o.name, text, got, body, changed)
			}
		}
		if want := len(exactAmounts) * o.amounts; total != want {
			t.Errorf("%s: %d amounts were set, want %d", o.name, total, want)
		}
	}
}

// instantCase is an instant and the forms in which an account of a time zone sends it, without and
// with the UTC offset.
type instantCase struct{ zone, utc, withoutOffset, withOffset string }

// The cases include standard and daylight-saving time, and the local hour that occurs twice in
// autumn and is ambiguous without an offset.
func TestInstantsArriveInTheTimeZoneOfTheAccount(t *testing.T) { productSuite().checkInstants(t) }

func (s suite) checkInstants(t *testing.T) {
	s.requireParts(t)
	for _, c := range []instantCase{
		{"Europe/Amsterdam", "2024-07-01T12:00:00Z", "2024-07-01T14:00:00", "2024-07-01T14:00:00+02:00"},
		{"Europe/Amsterdam", "2024-12-31T23:30:00Z", "2025-01-01T00:30:00", "2025-01-01T00:30:00+01:00"},
		{"Europe/Amsterdam", "2024-10-27T00:30:00Z", "2024-10-27T02:30:00", "2024-10-27T02:30:00+02:00"},
		{"Europe/Amsterdam", "2024-10-27T01:30:00Z", "2024-10-27T02:30:00", "2024-10-27T02:30:00+01:00"},
		{"UTC", "2024-07-01T12:00:00Z", "2024-07-01T12:00:00", "2024-07-01T12:00:00Z"},
		{"UTC", "2024-12-31T23:30:00Z", "2024-12-31T23:30:00", "2024-12-31T23:30:00Z"},
	} {
		instant, err := time.Parse(time.RFC3339, c.utc)
		if err != nil {
			t.Fatal(err)
		}
		h := s.newHarness(t, setup{zone: c.zone})
		for _, o := range s.operations() {
			if !hasTimes(reflect.TypeOf(o.newEvent(0))) {
				continue
			}
			text := o.vendor.dateText
			if o.vendor.instantText != nil {
				text = o.vendor.instantText(c)
			}
			body, changed := o.sendChanged(t, h, 0, func(value any) bool {
				at, ok := value.(*time.Time)
				if ok && o.vendor.instantText != nil { // dates are independent of the zone
					*at = instant
				}
				return ok
			})
			if text == "" || changed == 0 {
				t.Fatalf("%s: the fixture needs instantText or dateText, and a newEvent that sets a time, "+
					"because its event has times", o.name)
			}
			if got := strings.Count(body, `"`+text+`"`); got != changed {
				t.Errorf("%s in %s: got %s %d times in %s, want %d", o.name, c.zone, text, got, body, changed)
			}
		}
	}
}

// hasTimes reports whether an event of the type can have a time, in records and lists included.
func hasTimes(event reflect.Type) bool {
	switch {
	case event == reflect.TypeFor[time.Time]():
		return true
	case event.Kind() == reflect.Pointer, event.Kind() == reflect.Slice:
		return hasTimes(event.Elem())
	case event.Kind() == reflect.Struct:
		for field := range event.Fields() {
			if hasTimes(field.Type) {
				return true
			}
		}
	}
	return false
}

func TestEventsWithTimesAreRecognized(t *testing.T) {
	type record struct {
		Text  string
		Times []*time.Time
	}
	for _, test := range []struct {
		event any
		want  bool
	}{
		{new(struct{ Text string }), false},
		{new(struct{ At time.Time }), true},
		{new(struct{ At *time.Time }), true},
		{new(struct{ Records []record }), true},
		{new(struct{ Texts []string }), false},
	} {
		if got := hasTimes(reflect.TypeOf(test.event)); got != test.want {
			t.Errorf("%T: got %t, want %t", test.event, got, test.want)
		}
	}
}

// sendChanged calls change for each value of event i and sends the event. It returns the item as
// the vendor received it, and how often change returned true.
func (o operationFixture) sendChanged(t *testing.T, h *harness, i int, change func(any) bool) (body string,
	changed int) {
	t.Helper()
	ev := o.newEvent(i)
	visitValues(reflect.ValueOf(ev).Elem(), func(v reflect.Value) {
		if change(v.Addr().Interface()) {
			changed++
		}
	})
	op := h.operations[o.name]
	item, err := op.Encode(t.Context(), ev, originOf(i))
	if err != nil {
		t.Fatal(err)
	}
	wantItemClasses(t, op.Send(t.Context(), []sink.Item{item}), sink.Delivered)
	entries := h.sandbox.Ledger().AcceptedEntries(o.name)
	return string(entries[len(entries)-1].Body), changed
}

// visitValues calls visit for each value in an event, including records and lists.
func visitValues(v reflect.Value, visit func(reflect.Value)) {
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			visitValues(v.Elem(), visit)
		}
		return
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			visitValues(v.Field(i), visit)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			visitValues(v.Index(i), visit)
		}
	}
	visit(v)
}
