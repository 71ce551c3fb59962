package crmcom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
	"sluice/internal/test/testkit"
)

func TestCallHasItsItemsInTheirEnvelope(t *testing.T) {
	v := &fakeVendor{respondToCall: respondAllProcessed}
	op := v.startServer(t, nil)["purchases"]
	e := purchaseOf("A1")
	e.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: new("EUR")}
	var items []sink.Item
	for i := range int64(2) {
		item, err := op.Encode(t.Context(), e, originAt(i))
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	if got := op.Send(t.Context(), items); got.Class != sink.Delivered || got.ItemResults[1].Class != sink.Delivered {
		t.Fatalf("got %+v", got)
	}
	call := v.callRequests()[0]
	want := fmt.Sprintf(`{"token":"{{token}}","intended_currency_identifier":{"code":"EUR"},"purchase_customer_events_set":[%s,%s]}`, items[0].Body, items[1].Body)
	if string(call.body) != want || call.length != int64(len(want)) {
		t.Errorf("got %d bytes\n%s\nwant\n%s", call.length, call.body, want)
	}
	if call.method != "POST" || call.path != "/crmapi/rest/v2/customer_events/bulk/purchases/create" ||
		call.contentType != "application/json" {
		t.Errorf("got %s %s of %s", call.method, call.path, call.contentType)
	}
}

func TestEnvelopeSizeCoversTheLongestToken(t *testing.T) {
	v := &fakeVendor{respondToCall: respondAllProcessed, respondToLogin: func(int) (int, string) {
		return 200, strings.Replace(loginBody, "{{token}}", strings.Repeat("x", tokenBytesMax-2), 1)
	}}
	for name, op := range v.startServer(t, nil) {
		for _, envelopeKey := range []string{"", `{"code":"EUR"}`} {
			items := newTestItems(3)
			items[0].EnvelopeKey = envelopeKey
			if got := op.Send(t.Context(), items); got.Class != sink.Delivered {
				t.Fatalf("%s: got %+v", name, got)
			}
			calls := v.callRequests()
			envelope := len(calls[len(calls)-1].body) - 2
			for _, item := range items {
				envelope -= len(item.Body)
			}
			if size := op.EnvelopeSize(envelopeKey); envelope > size || envelope < size-2 {
				t.Errorf("%s: got an envelope of %d bytes, EnvelopeSize returns %d", name, envelope, size)
			}
		}
	}
}

func TestFinancialStatementsAreSentUnderTheConfiguredMember(t *testing.T) {
	for _, c := range []struct{ configured, want string }{
		{"", "financial_statement_customer_events_set"}, // nothing configured
		{statementsSet, "financial_statement_customer_events_set"},
		{"financial_achievement_customer_events_set", "financial_achievement_customer_events_set"},
	} {
		v := &fakeVendor{respondToCall: respondAllProcessed}
		v.startServer(t, func(cfg *Config) {
			if c.configured != "" {
				cfg.FinancialStatementsSet = c.configured
			}
		})["financial_statements"].Send(t.Context(), newTestItems(1))
		if body := v.callRequests()[0].body; !strings.Contains(string(body), `,"`+c.want+`":[`) {
			t.Errorf("%q: got %s", c.configured, body)
		}
	}
}

func TestExpiredTokenIsUnauthorizedWithItsVersion(t *testing.T) {
	v := &fakeVendor{respondToCall: func(receivedRequest) (int, string) {
		return 200, refusedResponse("InvalidTokenException", "token {{token}} has expired")
	}}
	got := v.startServer(t, nil)["purchases"].Send(t.Context(), newTestItems(2))
	if got.Class != sink.Unauthorized || got.TokenVersion != 1 || got.ItemResults != nil ||
		got.Code != "InvalidTokenException" ||
		got.Message != "token *** has expired" {
		t.Errorf("got %+v", got)
	}
}

func TestEndedContextIsClassifiedByWhetherTheCallWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unblock := make(chan struct{})
		v := &fakeVendor{respondToCall: func(receivedRequest) (int, string) { <-unblock; return 200, "" }}
		op := startInMemory(t, v, Default().TokenTTL)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		got := op.Send(ctx, newTestItems(1))
		if got.Class != sink.Unknown || !errors.Is(got.Err, context.DeadlineExceeded) ||
			time.Since(start) != time.Minute {
			t.Errorf("after the request was written: got %+v after %v", got, time.Since(start))
		}
		got = op.Send(ctx, newTestItems(1))
		if got.Class != sink.Unavailable || !errors.Is(got.Err, context.DeadlineExceeded) {
			t.Errorf("before the request was written: got %+v", got)
		}
		close(unblock)
	})
}

func TestRefusedConnectionIsUnavailable(t *testing.T) {
	var n testkit.Network
	cfg := configFor("http://crm.example:80/crmapi/rest/v2", userLogin)
	op := newOperations(t, cfg, vendorhttp.Options{Transport: n.NewTransport()})["purchases"]
	if got := op.Send(t.Context(), newTestItems(1)); got.Class != sink.Unavailable || got.MayHaveActed ||
		got.TokenVersion != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestNoResponseRepeatsTokenOrPassword(t *testing.T) {
	secret := []string{"s3cret", "tok-en", "jo"}
	for _, status := range []int{200, 302, 400, 401, 404, 500, 502} {
		v := &fakeVendor{
			respondToLogin: func(int) (int, string) {
				return 200,
					strings.Replace(loginBody, "{{token}}", secret[1], 1)
			},
			respondToCall: func(receivedRequest) (int, string) { return status, http.StatusText(status) },
		}
		got := v.startServer(t, func(c *Config) { c.Auth = userLogin })["purchases"].Send(t.Context(), newTestItems(1))
		for _, s := range secret {
			if text := fmt.Sprintf("%+v %v", got, got.Err); strings.Contains(text, s) {
				t.Errorf("%d: got %q in %s", status, s, text)
			}
		}
	}
}
