package event

import (
	"reflect"
	"strings"
	"testing"
)

func TestNewEventReturnsNewEventOfEachName(t *testing.T) {
	names := EventNames()
	if got, want := len(names), len(BuiltinTypes()); got != want {
		t.Errorf("got %d events, want one for each of the %d schemas", got, want)
	}
	for _, name := range names {
		a, ok := NewEvent(name)
		if !ok {
			t.Errorf("%s: got no event, want one", name)
			continue
		}
		b, _ := NewEvent(name)
		if a == b || !reflect.ValueOf(a).Elem().IsZero() {
			t.Errorf("%s: got an event that is shared or not empty, want a new one", name)
		}
		if got, short := reflect.TypeOf(a).Elem().Name(), name[strings.LastIndexByte(name, '.')+1:]; got != short {
			t.Errorf("%s: got type %s, want %s", name, got, short)
		}
	}
	if e, ok := NewEvent("sluice.crmcom.Nothing"); ok {
		t.Errorf("got a %T for an unknown name, want none", e)
	}
}

func TestOverflowReturnsFirstDecimalBeyondPrecision(t *testing.T) {
	huge := Decimal(append([]byte{1}, make([]byte, 20)...))
	fits := Millionths(1)
	product := func(quantity *Decimal, vat Decimal) PurchaseProduct {
		return PurchaseProduct{Quantity: quantity, NetAmount: fits, VatAmount: vat, TotalAmount: fits}
	}
	tests := []struct {
		name  string
		event interface{ Overflow() string }
		want  string
	}{
		{"all fit", &Purchase{ProductsSet: []PurchaseProduct{product(nil, fits), product(&fits, fits)}}, ""},
		{"no products", &Purchase{}, ""},
		{"a nullable one", &Purchase{ProductsSet: []PurchaseProduct{product(nil, fits), product(&huge, huge)}},
			"products_set[1].quantity"},
		{"a mandatory one", &Purchase{ProductsSet: []PurchaseProduct{product(nil, huge)}},
			"products_set[0].vat_amount"},
		{"at the top", &FinancialAchievement{Amount: &huge}, "amount"},
	}
	for _, test := range tests {
		if got := test.event.Overflow(); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
