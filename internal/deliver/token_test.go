package deliver

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/internal/sink"
)

// tokenVendor is a fake vendor whose calls carry a token.
type tokenVendor struct {
	fakeVendor
	refresh func(n int) error
	used    []uint64
}

func (vendor *tokenVendor) RefreshToken(_ context.Context, used uint64) error {
	vendor.used = append(vendor.used, used)
	return vendor.refresh(len(vendor.used))
}

func TestExpiredTokenIsRefreshedOnceWithoutAHold(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		expired := newResponse(sink.Unauthorized, 401)
		expired.TokenVersion = 7
		vendor := &tokenVendor{
			fakeVendor: fakeVendor{script: respondFirst(expired)}, refresh: func(int) error { return nil },
		}
		h := newHarness(t, vendor, &vendor.fakeVendor, nil)
		h.dispatchRecords(8, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 8})
		h.wantCallSizes(8, 8)
		if !slices.Equal(vendor.used, []uint64{7}) || h.ledger.intentsCleared != 0 || len(h.loggedMessages()) != 0 {
			t.Fatalf("got tokens %v refreshed, %d intents cleared, log messages %v; want 7 refreshed and nothing else",
				vendor.used, h.ledger.intentsCleared, h.loggedMessages())
		}
	})
}

func TestRefreshedTokenThatIsRefusedHoldsTheOperation(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		no := newResponse(sink.Unauthorized, 403)
		vendor := &tokenVendor{
			fakeVendor: fakeVendor{script: respondFirst(no, no, no, no)}, refresh: func(int) error { return nil },
		}
		h := newHarness(t, vendor, &vendor.fakeVendor, nil)
		h.dispatchRecords(8, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 8})
		// The token is refused, then a new one as well; the same happens to one item after 5 s; the
		// item is accepted after 10 s more.
		h.wantCallSizes(8, 8, 1, 1, 1, 7)
		if len(vendor.used) != 2 || time.Since(h.began).Truncate(time.Second) != 15*time.Second {
			t.Errorf("got %d refreshes in %v, want 2 in 15 s", len(vendor.used), time.Since(h.began))
		}
	})
}

func TestCanceledTokenRefreshDoesNotHoldTheOperation(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &tokenVendor{fakeVendor: fakeVendor{script: alwaysRespond(newResponse(sink.Unauthorized, 401))}}
		h := newHarness(t, vendor, &vendor.fakeVendor, nil)
		vendor.refresh = func(int) error {
			h.cancel()
			cut := newResponse(sink.Unavailable, 0)
			cut.Err = context.Canceled
			return &sink.DependencyError{Action: "logging in", Response: cut}
		}
		h.dispatchRecords(1, nil)
		<-h.tracker.Idle()
		h.cancelAndWait()
		if got := h.loggedMessages(); len(got) > 0 {
			t.Errorf("got log messages %v, want none", got)
		}
	})
}

// tokenProbeVendor is a fake vendor whose harmless call carries a token too.
type tokenProbeVendor struct {
	tokenVendor
	probes int
}

func (vendor *tokenProbeVendor) Probe(context.Context) sink.Response {
	if vendor.probes++; len(vendor.used) == 0 {
		return newResponse(sink.Unauthorized, 401)
	}
	return newResponse(sink.Delivered, 200)
}

func TestHarmlessCallRefreshesTheTokenToo(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		down := newResponse(sink.Unavailable, 503)
		vendor := &tokenProbeVendor{
			tokenVendor: tokenVendor{
				fakeVendor: fakeVendor{script: respondFirst(down, down, down, down, down)},
				refresh:    func(int) error { return nil },
			},
		}
		h := newHarness(t, vendor, &vendor.fakeVendor, nil)
		h.dispatchRecords(8, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 8})
		if vendor.probes != 2 || len(vendor.used) != 1 {
			t.Errorf("got %d harmless calls and %d refreshes, want 2 and 1", vendor.probes, len(vendor.used))
		}
		if got, want := h.loggedMessages(), []string{
			"operation held: unavailable", "operation resumed: unavailable",
		}; !slices.Equal(got, want) {
			t.Errorf("got log messages %v, want %v", got, want)
		}
	})
}

func TestFailedTokenRefreshHoldsTheOperationByItsClass(t *testing.T) {
	cases := []struct {
		name   string
		err    error
		reason string
	}{
		{
			"login refused",
			&sink.DependencyError{Action: "logging in", Response: newResponse(sink.Unauthorized, 401)},
			"unauthorized",
		},
		{
			"login endpoint wrong",
			&sink.DependencyError{Action: "logging in", Response: newResponse(sink.Misconfigured, 404)},
			"misconfigured",
		},
		{
			"login endpoint down",
			&sink.DependencyError{Action: "logging in", Response: newResponse(sink.Unavailable, 503)}, "unavailable",
		},
		{
			"login throttled",
			&sink.DependencyError{Action: "logging in", Response: newResponse(sink.Throttled, 429)}, "throttled",
		},
		{"no token in time", errors.New("waiting for the token"), "unavailable"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				vendor := &tokenVendor{refresh: func(n int) error {
					if n <= 3 {
						return tc.err
					}
					return nil
				}}
				vendor.script = func(call int, items []sink.Item) sink.Response {
					if len(vendor.used) <= 3 {
						return newResponse(sink.Unauthorized, 401)
					}
					return acceptAll(call, items)
				}
				h := newHarness(t, vendor, &vendor.fakeVendor, nil)
				h.dispatchRecords(8, nil)
				h.closeAndWait()
				h.wantOutcomes(map[string]int{"delivered": 8})
				if got, want := h.loggedMessages(), []string{
					"operation held: " + tc.reason, "operation resumed: " + tc.reason,
				}; !slices.Equal(got, want) {
					t.Fatalf("got log messages %v, want %v", got, want)
				}
				// Probes after 5, 10 and 20 seconds.
				if got := time.Since(h.began).Truncate(time.Second); got != 35*time.Second {
					t.Fatalf("got it resumed after %v, want 35 s", got)
				}
			})
		})
	}
}
