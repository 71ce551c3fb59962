package conformance

import (
	"testing"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// What a call can have only once is in the item's group; what must not be in one call twice is its entity.
func TestItemsThatCannotShareACallSaySo(t *testing.T) {
	currency := func(code string) any {
		p := purchase(0).(*event.Purchase)
		p.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: &code}
		return p
	}
	customer := func(source, id string) any { return &event.CustomerChange{Source: source, SourceId: id} }
	mailed := func(address string, test *bool) any {
		return &event.FeedbackRequest{Email: &address, IsTest: test, Data: data()}
	}
	for _, c := range []struct {
		name                   string
		operation              string
		a, b                   any
		otherGroup, sameEntity bool
	}{
		{"one currency", "crmcom.purchases", currency("EUR"), currency("EUR"), false, false},
		{"two currencies", "crmcom.purchases", currency("EUR"), currency("USD"), true, false},
		{"a currency and none", "crmcom.purchases", currency("EUR"), purchase(0), true, false},
		{"two purchases of an account", "crmcom.purchases", purchase(0), purchase(0), false, false},
		{"two customers", "propel.customers", customer("ERP", "1"), customer("ERP", "2"), false, false},
		{"one customer", "propel.customers", customer("ERP", "1"), customer("ERP", "1"), false, true},
		{"ids that an echo as a number would mix up", "propel.customers", customer("ERP", "7"), customer("ERP", "007"), false, true},
		{"two sources", "propel.customers", customer("ERP", "1"), customer("POS", "1"), true, false},
		{"two addresses", "expoints.add", mailed("a@example.org", nil), mailed("b@example.org", nil), false, false},
		{"one address", "expoints.add", mailed("a@example.org", nil), mailed("A@Example.org", nil), false, true},
		{"test and not", "expoints.add", mailed("a@example.org", new(true)), mailed("b@example.org", nil), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			op := open(t, setup{}).operations[c.operation]
			a, b := encoded(t, op, c.a), encoded(t, op, c.b)
			if (a.EnvelopeKey != b.EnvelopeKey) != c.otherGroup || (a.EntityKey != "" && a.EntityKey == b.EntityKey) != c.sameEntity {
				t.Errorf("groups %q and %q, entities %q and %q", a.EnvelopeKey, b.EnvelopeKey, a.EntityKey, b.EntityKey)
			}
		})
	}
}

func encoded(t *testing.T, op sink.Operation, ev any) sink.Item {
	t.Helper()
	item, err := op.Encode(t.Context(), ev, originOf(0))
	if err != nil {
		t.Fatal(err)
	}
	return item
}
