package deliver

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/internal/sink"
)

// tokenVendor is a vendor whose calls carry a token.
type tokenVendor struct {
	fakeVendor
	refresh func(n int) error
	used    []uint64
}

func (v *tokenVendor) RefreshToken(_ context.Context, used uint64) error {
	v.used = append(v.used, used)
	return v.refresh(len(v.used))
}

func TestAnExpiredTokenIsRenewedOnceAndNobodyNotices(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		expired := newResponse(sink.Unauthorized, 401)
		expired.TokenVersion = 7
		v := &tokenVendor{fakeVendor: fakeVendor{script: respondFirst(expired)}, refresh: func(int) error { return nil }}
		r := newHarness(t, v, &v.fakeVendor, nil)
		r.dispatchRecords(8, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 8})
		r.wantCallSizes(8, 8)
		if !slices.Equal(v.used, []uint64{7}) || r.ledger.intentsCleared != 0 || len(r.loggedMessages()) != 0 {
			t.Fatalf("renewed for %v, %d taken back, logged %v", v.used, r.ledger.intentsCleared, r.loggedMessages())
		}
	})
}

func TestANewTokenThatIsRefusedTooHoldsTheOperation(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		no := newResponse(sink.Unauthorized, 403)
		v := &tokenVendor{fakeVendor: fakeVendor{script: respondFirst(no, no, no, no)}, refresh: func(int) error { return nil }}
		r := newHarness(t, v, &v.fakeVendor, nil)
		r.dispatchRecords(8, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 8})
		// Refused, refused with a new token; after 5 s the same with one item; after 10 s it passes.
		r.wantCallSizes(8, 8, 1, 1, 1, 7)
		if len(v.used) != 2 || time.Since(r.began).Truncate(time.Second) != 15*time.Second {
			t.Errorf("%d renewals in %v", len(v.used), time.Since(r.began))
		}
	})
}

func TestALoginThatTheHardStopCutsIsNoHold(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		v := &tokenVendor{fakeVendor: fakeVendor{script: alwaysRespond(newResponse(sink.Unauthorized, 401))}}
		r := newHarness(t, v, &v.fakeVendor, nil)
		v.refresh = func(int) error {
			r.cancel()
			cut := newResponse(sink.Unavailable, 0)
			cut.Err = context.Canceled
			return &sink.DependencyError{Action: "logging in", Response: cut}
		}
		r.dispatchRecords(1, nil)
		<-r.tracker.Idle()
		r.cancelAndWait()
		if got := r.loggedMessages(); len(got) > 0 {
			t.Errorf("logged %v", got)
		}
	})
}

// tokenProbeVendor is a vendor whose harmless call carries a token too.
type tokenProbeVendor struct {
	tokenVendor
	probes int
}

func (v *tokenProbeVendor) Probe(context.Context) sink.Response {
	if v.probes++; len(v.used) == 0 {
		return newResponse(sink.Unauthorized, 401)
	}
	return newResponse(sink.Delivered, 200)
}

func TestTheHarmlessCallGetsANewTokenToo(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		down := newResponse(sink.Unavailable, 503)
		v := &tokenProbeVendor{tokenVendor: tokenVendor{fakeVendor: fakeVendor{script: respondFirst(down, down, down, down, down)}, refresh: func(int) error { return nil }}}
		r := newHarness(t, v, &v.fakeVendor, nil)
		r.dispatchRecords(8, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 8})
		if v.probes != 2 || len(v.used) != 1 {
			t.Errorf("%d probes, %d renewals, want 2 and 1", v.probes, len(v.used))
		}
		if got, want := r.loggedMessages(), []string{"operation held: unavailable", "operation resumed: unavailable"}; !slices.Equal(got, want) {
			t.Errorf("logged %v, want %v", got, want)
		}
	})
}

func TestAFailedRenewHoldsByItsClass(t *testing.T) {
	cases := []struct {
		name   string
		err    error
		reason string
	}{
		{"login refused", &sink.DependencyError{Action: "logging in", Response: newResponse(sink.Unauthorized, 401)}, "unauthorized"},
		{"login endpoint wrong", &sink.DependencyError{Action: "logging in", Response: newResponse(sink.Misconfigured, 404)}, "misconfigured"},
		{"login endpoint down", &sink.DependencyError{Action: "logging in", Response: newResponse(sink.Unavailable, 503)}, "unavailable"},
		{"login throttled", &sink.DependencyError{Action: "logging in", Response: newResponse(sink.Throttled, 429)}, "throttled"},
		{"no token in time", errors.New("waiting for the token"), "unavailable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				v := &tokenVendor{refresh: func(n int) error {
					if n <= 3 {
						return c.err
					}
					return nil
				}}
				v.script = func(n int, items []sink.Item) sink.Response {
					if len(v.used) <= 3 {
						return newResponse(sink.Unauthorized, 401)
					}
					return acceptAll(n, items)
				}
				r := newHarness(t, v, &v.fakeVendor, nil)
				r.dispatchRecords(8, nil)
				r.closeAndWait()
				r.wantOutcomes(map[string]int{"delivered": 8})
				if got, want := r.loggedMessages(), []string{"operation held: " + c.reason, "operation resumed: " + c.reason}; !slices.Equal(got, want) {
					t.Fatalf("logged %v, want %v", got, want)
				}
				// Probes after 5, 10 and 20 seconds.
				if got := time.Since(r.began).Truncate(time.Second); got != 35*time.Second {
					t.Fatalf("it took %v", got)
				}
			})
		})
	}
}
