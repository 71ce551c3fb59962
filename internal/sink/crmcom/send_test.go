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

func TestACallIsItsItemsInTheEnvelopeOfTheirGroup(t *testing.T) {
	v := &vendor{answer: allProcessed}
	op := v.start(t, nil)["purchases"]
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
	call := v.calls()[0]
	want := fmt.Sprintf(`{"token":"{{token}}","intended_currency_identifier":{"code":"EUR"},"purchase_customer_events_set":[%s,%s]}`, items[0].Body, items[1].Body)
	if string(call.body) != want || call.length != int64(len(want)) {
		t.Errorf("got %d bytes\n%s\nwant\n%s", call.length, call.body, want)
	}
	if call.method != "POST" || call.path != "/crmapi/rest/v2/customer_events/bulk/purchases/create" || call.contentType != "application/json" {
		t.Errorf("got %s %s of %s", call.method, call.path, call.contentType)
	}
}

func TestEnvelopeSizeHoldsForTheLongestToken(t *testing.T) {
	v := &vendor{answer: allProcessed, login: func(int) (int, string) {
		return 200, strings.Replace(loginOK, "{{token}}", strings.Repeat("x", tokenBytesMax-2), 1)
	}}
	for name, op := range v.start(t, nil) {
		for _, group := range []string{"", `{"code":"EUR"}`} {
			items := fakeItems(3)
			items[0].EnvelopeKey = group
			if got := op.Send(t.Context(), items); got.Class != sink.Delivered {
				t.Fatalf("%s: got %+v", name, got)
			}
			calls := v.calls()
			besides := len(calls[len(calls)-1].body) - 2
			for _, item := range items {
				besides -= len(item.Body)
			}
			if size := op.EnvelopeSize(group); besides > size || besides < size-2 {
				t.Errorf("%s: the envelope has %d bytes, EnvelopeSize says %d", name, besides, size)
			}
		}
	}
}

func TestFinancialStatementsGoOutUnderTheConfiguredName(t *testing.T) {
	for _, c := range []struct{ configured, want string }{
		{"", "financial_statement_customer_events_set"}, // nothing configured
		{statementsSet, "financial_statement_customer_events_set"},
		{"financial_achievement_customer_events_set", "financial_achievement_customer_events_set"},
	} {
		v := &vendor{answer: allProcessed}
		v.start(t, func(cfg *Config) {
			if c.configured != "" {
				cfg.FinancialStatementsSet = c.configured
			}
		})["financial_statements"].Send(t.Context(), fakeItems(1))
		if body := v.calls()[0].body; !strings.Contains(string(body), `,"`+c.want+`":[`) {
			t.Errorf("%q: sent %s", c.configured, body)
		}
	}
}

func TestAnExpiredTokenIsUnauthorizedAndNamesTheToken(t *testing.T) {
	v := &vendor{answer: func(seen) (int, string) { return 200, failed("InvalidTokenException", "token {{token}} has expired") }}
	got := v.start(t, nil)["purchases"].Send(t.Context(), fakeItems(2))
	if got.Class != sink.Unauthorized || got.TokenVersion != 1 || got.ItemResults != nil || got.Code != "InvalidTokenException" ||
		got.Message != "token *** has expired" {
		t.Errorf("got %+v", got)
	}
}

func TestACallThatEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		v := &vendor{answer: func(seen) (int, string) { <-release; return 200, "" }}
		op := startInBubble(t, v, Default().TokenTTL)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		got := op.Send(ctx, fakeItems(1))
		if got.Class != sink.Unknown || !errors.Is(got.Err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("after the request was written: got %+v after %v", got, time.Since(start))
		}
		got = op.Send(ctx, fakeItems(1))
		if got.Class != sink.Unavailable || !errors.Is(got.Err, context.DeadlineExceeded) {
			t.Errorf("before the request was written: got %+v", got)
		}
		close(release)
	})
}

func TestARefusedConnectionIsUnavailable(t *testing.T) {
	var n testkit.Network
	cfg := accountAt("http://crm.example:80/crmapi/rest/v2", userLogin)
	op := operations(t, cfg, vendorhttp.Options{Transport: n.Transport()})["purchases"]
	if got := op.Send(t.Context(), fakeItems(1)); got.Class != sink.Unavailable || got.MayHaveActed || got.TokenVersion != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestNoAnswerTellsATokenOrAPassword(t *testing.T) {
	secret := []string{"s3cret", "tok-en", "jo"}
	for _, status := range []int{200, 302, 400, 401, 404, 500, 502} {
		v := &vendor{
			login:  func(int) (int, string) { return 200, strings.Replace(loginOK, "{{token}}", secret[1], 1) },
			answer: func(seen) (int, string) { return status, http.StatusText(status) },
		}
		got := v.start(t, func(c *Config) { c.Auth = userLogin })["purchases"].Send(t.Context(), fakeItems(1))
		for _, s := range secret {
			if said := fmt.Sprintf("%+v %v", got, got.Err); strings.Contains(said, s) {
				t.Errorf("%d: %q stands in %s", status, s, said)
			}
		}
	}
}
