package crmcom

import (
	"net/http/httptest"
	"testing"

	"sluice/internal/config"
	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// startSandbox returns the operations of an account at a sandbox, which is an independent
// implementation of the vendor's page.
func startSandbox(t *testing.T, o sandbox.CRMCOMOptions, auth Auth) (map[string]sink.Operation, *sandbox.Ledger) {
	t.Helper()
	s := sandbox.New(sandbox.Options{CRMCOM: o})
	server := httptest.NewServer(s.Handler(sandbox.CRMCOM))
	t.Cleanup(server.Close)
	return newOperations(t, configFor(server.URL+"/crmapi/rest/v2", auth), vendorhttp.Options{}), s.Ledger()
}

func encodeAndSend(t *testing.T, op sink.Operation, events ...any) sink.Response {
	t.Helper()
	var items []sink.Item
	for i, e := range events {
		item, err := op.Encode(t.Context(), e, originAt(int64(i)))
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	return op.Send(t.Context(), items)
}

var sandboxUser = Auth{Username: sandbox.DefaultUsername, Password: config.NewSecret(sandbox.DefaultPassword),
	Organisation: sandbox.DefaultOrganisation}

func TestSandboxAcceptsEveryFieldOfEveryEvent(t *testing.T) {
	for _, auth := range []Auth{{WebAPIKey: config.NewSecret(sandbox.DefaultWebAPIKey)}, sandboxUser} {
		ops, ledger := startSandbox(t, sandbox.CRMCOMOptions{}, auth)
		for name, op := range ops {
			got := encodeAndSend(t, op, newFilledEvent(t, op.Spec().Event))
			if got.Class != sink.Delivered || got.ItemResults[0].Class != sink.Delivered {
				t.Errorf("%s: got %+v", name, got)
			}
			if n := ledger.Count("crmcom." + name); n != 1 {
				t.Errorf("%s: got %d events accepted by the sandbox, want 1", name, n)
			}
		}
	}
}

func TestRefusalsOfTheSandboxAreClassified(t *testing.T) {
	exists := func(account string) bool { return account == "A1" }
	ops, _ := startSandbox(t, sandbox.CRMCOMOptions{AccountExists: exists, Currency: "EUR"}, sandboxUser)
	got := encodeAndSend(t, ops["purchases"], purchaseOf("A1"), purchaseOf("A2"), purchaseOf("A1"))
	want := []sink.ResultClass{sink.Delivered, sink.Retryable, sink.Delivered}
	for i, r := range got.ItemResults {
		if r.Class != want[i] {
			t.Errorf("item %d: got %+v, want %v", i, r, want[i])
		}
	}
	inDollars := purchaseOf("A1")
	inDollars.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: new("USD")}
	if got := encodeAndSend(t, ops["purchases"], inDollars); got.Class != sink.Rejected || got.ItemErrors != nil {
		t.Errorf("another currency: got %+v", got)
	}
	wrongKey, _ := startSandbox(t, sandbox.CRMCOMOptions{}, Auth{WebAPIKey: config.NewSecret("wrong")})
	if got := encodeAndSend(t, wrongKey["purchases"], purchaseOf("A1")); got.Class != sink.Unauthorized ||
		got.TokenVersion != 0 {
		t.Errorf("a wrong key: got %+v", got)
	}
}
