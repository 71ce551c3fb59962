package conformance

import (
	"encoding/json"
	"testing"

	"sluice/internal/sink"
)

// checkCleanCall checks that the items of a call are accepted individually and as they were
// encoded, and that the request is no longer than EnvelopeSize allows for.
func (c operationCheck) checkCleanCall(t *testing.T) {
	h := c.suite.newHarness(t, setup{})
	op := h.operations[c.name]
	n := min(op.Spec().MaxItems, 5)
	items := c.encodeItems(t, op, 0, n)
	resp := op.Send(t.Context(), items)
	wantClass(t, resp, sink.Delivered)
	if len(resp.ItemResults) != n {
		t.Fatalf("got %d results, want one for each of %d items", len(resp.ItemResults), n)
	}
	entries := h.sandbox.Ledger().AcceptedEntries(c.name)
	if len(entries) != n {
		t.Fatalf("the sandbox accepted %d items, want %d", len(entries), n)
	}
	maxSize := op.EnvelopeSize(items[0].EnvelopeKey) + n - 1
	for i, item := range items {
		if resp.ItemResults[i].Class != sink.Delivered {
			t.Errorf("item %d: got class %s, want delivered", i, resp.ItemResults[i].Class)
		}
		if string(entries[i].Body) != string(item.Body) || !json.Valid(item.Body) {
			t.Errorf("item %d arrived as %s, want %s as it was encoded", i, entries[i].Body, item.Body)
		}
		if got, want := entries[i].ID, c.vendor.identityOf(i); got != want {
			t.Errorf("item %d arrived with ID %q, want %q", i, got, want)
		}
		maxSize += len(item.Body)
	}
	if got := len(h.lastRequest(c.endpoint)); got > maxSize || got == 0 {
		t.Errorf("got a request of %d bytes, want 1 to %d", got, maxSize)
	}
}
