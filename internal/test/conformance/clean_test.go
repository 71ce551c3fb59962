package conformance

import (
	"encoding/json"
	"testing"

	"sluice/internal/demo/sandbox"
	"sluice/internal/sink"
)

// clean: a call of as many items as the cap allows is accepted, item by item, as it was encoded, and is no longer than was said.
func (o operation) clean(t *testing.T) {
	v := open(t, setup{})
	op := v.operations[o.name]
	n := min(op.Spec().MaxItems, 5)
	items := o.encode(t, op, 0, n)
	a := op.Send(t.Context(), items)
	want(t, a, sink.Delivered)
	if len(a.ItemResults) != n {
		t.Fatalf("%d results for %d items", len(a.ItemResults), n)
	}
	entries := v.sandbox.Ledger().AcceptedEntries(o.name)
	if len(entries) != n {
		t.Fatalf("the sandbox accepted %d of %d", len(entries), n)
	}
	size := op.EnvelopeSize(items[0].EnvelopeKey) + n - 1
	for i, item := range items {
		if a.ItemResults[i].Class != sink.Delivered {
			t.Errorf("item %d is %s", i, a.ItemResults[i].Class)
		}
		if string(entries[i].Body) != string(item.Body) || !json.Valid(item.Body) {
			t.Errorf("item %d arrived as %s, was encoded as %s", i, entries[i].Body, item.Body)
		}
		if got, want := entries[i].ID, o.identity(i); got != want {
			t.Errorf("item %d arrived as %q, want %q", i, got, want)
		}
		size += len(item.Body)
	}
	if got := len(v.requested(o.endpoint)); got > size || got == 0 {
		t.Errorf("the request has %d bytes, the bound said %d", got, size)
	}
}

// identity is what the sandbox tells item i by: the origin, where the vendor has a place for it.
func (o operation) identity(i int) string {
	if o.vendor() == "propel" {
		return "ERP/" + customerID(i)
	}
	return originOf(i).ID()
}

// calmly opens the vendors with a fault that begins after a first call, and makes that call, so that the token and the columns are there.
func (o operation) calmly(t *testing.T, s setup, rule sandbox.Rule) (*vendors, sink.Operation) {
	t.Helper()
	rule.Name = "fault"
	if rule.Operation == "" {
		rule.Operation = o.name
	}
	if rule.Operation == o.name {
		rule.When.AfterCalls = 1
	}
	s.script = append(s.script, rule)
	v := open(t, s)
	op := v.operations[o.name]
	first := op.Send(t.Context(), o.encode(t, op, 0, 1))
	wantItems(t, first, sink.Delivered)
	return v, op
}
