package conformance

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// amounts are the operations with amounts, and how often each event has one.
var amounts = map[string]int{"crmcom.purchases": 3, "crmcom.financial_achievements": 1, "crmcom.financial_statements": 1}

var exact = []string{"0.1", "1000000000000000.01", "-0.005", "0", "9007199254.740993", "9223372036854.775807", "12345678901234567890123456789012.000001"}

// A binary float has none of 0.1, 1e15+0.01 and -0.005, and of more than 15 digits it loses the last.
func TestAmountsArriveToTheLastDigit(t *testing.T) {
	v := open(t, setup{})
	for _, o := range operations {
		sent := 0
		for i, text := range exact {
			amount, err := event.ParseDecimal(text)
			if err != nil {
				t.Fatal(err)
			}
			body, set := o.arrive(t, v, i, func(at any) bool {
				d, ok := at.(*event.Decimal)
				if ok {
					*d = amount
				}
				return ok
			})
			sent += set
			if got := strings.Count(body, `amount":`+text+`,`) + strings.Count(body, `amount":`+text+`}`) + strings.Count(body, `"value":`+text+`}`); got != set {
				t.Errorf("%s: %s stands %d times in %s, want %d", o.name, text, got, body, set)
			}
		}
		if sent != len(exact)*amounts[o.name] {
			t.Errorf("%s: %d amounts were set, want %d", o.name, sent, len(exact)*amounts[o.name])
		}
	}
}

// Summer and winter time differ; in autumn one local hour comes twice, which only an offset tells apart.
func TestInstantsArriveInTheAccountsZone(t *testing.T) {
	for _, c := range []struct{ zone, utc, crmcom, expoints string }{
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
		v := open(t, setup{zone: c.zone})
		for _, o := range operations {
			text := map[string]string{"crmcom": c.crmcom, "expoints": c.expoints, "propel": "1980-02-29"}[o.vendor()]
			body, set := o.arrive(t, v, 0, func(at any) bool {
				d, ok := at.(*time.Time)
				if ok && o.vendor() != "propel" { // has dates alone, which no zone moves
					*d = instant
				}
				return ok
			})
			if got := strings.Count(body, `"`+text+`"`); got != set || set == 0 {
				t.Errorf("%s in %s: %s stands %d times in %s, want %d", o.name, c.zone, text, got, body, set)
			}
		}
	}
}

// arrive sends event i after each of its values that set knows was set, and gives the item as the vendor got it and how many were.
func (o operation) arrive(t *testing.T, v *vendors, i int, set func(any) bool) (body string, n int) {
	t.Helper()
	ev := o.event(i)
	visit(reflect.ValueOf(ev).Elem(), func(v reflect.Value) {
		if set(v.Addr().Interface()) {
			n++
		}
	})
	op := v.operations[o.name]
	item, err := op.Encode(t.Context(), ev, originOf(i))
	if err != nil {
		t.Fatal(err)
	}
	wantItems(t, op.Send(t.Context(), []sink.Item{item}), sink.Delivered)
	entries := v.sandbox.Ledger().AcceptedEntries(o.name)
	return string(entries[len(entries)-1].Body), n
}

// visit calls f for each value of an event that is there, records and lists included.
func visit(v reflect.Value, f func(reflect.Value)) {
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			visit(v.Elem(), f)
		}
		return
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			visit(v.Field(i), f)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			visit(v.Index(i), f)
		}
	}
	f(v)
}
