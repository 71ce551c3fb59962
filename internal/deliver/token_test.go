package deliver

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/internal/sink"
)

// renewable is a vendor whose calls carry a token.
type renewable struct {
	vendor
	renew func(n int) error
	used  []uint64
}

func (v *renewable) RefreshToken(_ context.Context, used uint64) error {
	v.used = append(v.used, used)
	return v.renew(len(v.used))
}

func TestAnExpiredTokenIsRenewedOnceAndNobodyNotices(t *testing.T) {
	bubble(t, func(t *testing.T) {
		expired := answer(sink.Unauthorized, 401)
		expired.TokenVersion = 7
		v := &renewable{vendor: vendor{script: first(expired)}, renew: func(int) error { return nil }}
		r := newRig(t, v, &v.vendor, nil)
		r.dispatch(8, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
		r.wantSizes(8, 8)
		if !slices.Equal(v.used, []uint64{7}) || r.border.unsent != 0 || len(r.logged()) != 0 {
			t.Fatalf("renewed for %v, %d taken back, logged %v", v.used, r.border.unsent, r.logged())
		}
	})
}

func TestANewTokenThatIsRefusedTooHoldsTheOperation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		no := answer(sink.Unauthorized, 403)
		v := &renewable{vendor: vendor{script: first(no, no, no, no)}, renew: func(int) error { return nil }}
		r := newRig(t, v, &v.vendor, nil)
		r.dispatch(8, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
		// Refused, refused with a new token; after 5 s the same with one item; after 10 s it passes.
		r.wantSizes(8, 8, 1, 1, 1, 7)
		if len(v.used) != 2 || time.Since(r.began).Truncate(time.Second) != 15*time.Second {
			t.Errorf("%d renewals in %v", len(v.used), time.Since(r.began))
		}
	})
}

func TestALoginThatTheHardStopCutsIsNoHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &renewable{vendor: vendor{script: always(answer(sink.Unauthorized, 401))}}
		r := newRig(t, v, &v.vendor, nil)
		v.renew = func(int) error {
			r.cancel()
			cut := answer(sink.Unavailable, 0)
			cut.Err = context.Canceled
			return &sink.DependencyError{Action: "logging in", Response: cut}
		}
		r.dispatch(1, nil)
		<-r.tracker.Idle()
		r.kill()
		if got := r.logged(); len(got) > 0 {
			t.Errorf("logged %v", got)
		}
	})
}

// guardedByToken is a vendor whose harmless call carries a token too.
type guardedByToken struct {
	renewable
	probes int
}

func (v *guardedByToken) Probe(context.Context) sink.Response {
	if v.probes++; len(v.used) == 0 {
		return answer(sink.Unauthorized, 401)
	}
	return answer(sink.Delivered, 200)
}

func TestTheHarmlessCallGetsANewTokenToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		down := answer(sink.Unavailable, 503)
		v := &guardedByToken{renewable: renewable{vendor: vendor{script: first(down, down, down, down, down)}, renew: func(int) error { return nil }}}
		r := newRig(t, v, &v.vendor, nil)
		r.dispatch(8, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
		if v.probes != 2 || len(v.used) != 1 {
			t.Errorf("%d probes, %d renewals, want 2 and 1", v.probes, len(v.used))
		}
		if got, want := r.logged(), []string{"operation is held: unavailable", "operation goes on: unavailable"}; !slices.Equal(got, want) {
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
		{"login refused", &sink.DependencyError{Action: "logging in", Response: answer(sink.Unauthorized, 401)}, "unauthorized"},
		{"login endpoint wrong", &sink.DependencyError{Action: "logging in", Response: answer(sink.Misconfigured, 404)}, "misconfigured"},
		{"login endpoint down", &sink.DependencyError{Action: "logging in", Response: answer(sink.Unavailable, 503)}, "unavailable"},
		{"login throttled", &sink.DependencyError{Action: "logging in", Response: answer(sink.Throttled, 429)}, "throttled"},
		{"no token in time", errors.New("waiting for the token"), "unavailable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := &renewable{renew: func(n int) error {
					if n <= 3 {
						return c.err
					}
					return nil
				}}
				v.script = func(n int, items []sink.Item) sink.Response {
					if len(v.used) <= 3 {
						return answer(sink.Unauthorized, 401)
					}
					return accept(n, items)
				}
				r := newRig(t, v, &v.vendor, nil)
				r.dispatch(8, nil)
				r.finish()
				r.wantKinds(map[string]int{"delivered": 8})
				if got, want := r.logged(), []string{"operation is held: " + c.reason, "operation goes on: " + c.reason}; !slices.Equal(got, want) {
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
