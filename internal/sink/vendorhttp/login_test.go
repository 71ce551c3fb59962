package vendorhttp

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/sink"
)

func TestFailedLoginsBackOffToAQuarterOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{err: refusal(sink.Unauthorized)}
		s := NewTokenSource(v.fetch, time.Minute)
		most := time.Second
		for n := 1; n <= 15; n++ {
			_, _, err := s.Get(t.Context())
			wait := checkUnready(t, err, sink.Unauthorized).RetryAfter
			if v.logins != n {
				t.Fatalf("%d logins, want %d", v.logins, n)
			}
			if wait < most/2 || wait > most {
				t.Errorf("failure %d: wait %v, want %v to %v", n, wait, most/2, most)
			}
			<-time.After(wait - 1)
			_, _, err = s.Get(t.Context())
			if left := checkUnready(t, err, sink.Unauthorized).RetryAfter; left != 1 {
				t.Errorf("failure %d: %v is left, want 1ns", n, left)
			}
			checkUnready(t, s.Refresh(t.Context(), 0), sink.Unauthorized)
			if v.logins != n {
				t.Fatalf("a login within the back-off")
			}
			<-time.After(1)
			most = min(2*most, 15*time.Minute)
		}
		v.err = nil
		checkGet(t, s, "t16", 1)
		v.err = refusal(sink.Unavailable)
		a := checkUnready(t, s.Refresh(t.Context(), 1), sink.Unavailable)
		if a.RetryAfter > time.Second {
			t.Errorf("a success did not end the row of failures: wait %v", a.RetryAfter)
		}
	})
}

func TestAVendorsRetryAfterLengthensTheBackoffUpToItsEnd(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 100 * time.Hour: 15 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			u := refusal(sink.Throttled)
			u.Response.RetryAfter = asked
			_, _, err := NewTokenSource((&vendor{err: u}).fetch, 0).Get(t.Context())
			if got := checkUnready(t, err, sink.Throttled).RetryAfter; got != want {
				t.Errorf("asked %v: wait %v, want %v", asked, got, want)
			}
		})
	}
}

func TestWaitersHonourTheirOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{takes: time.Hour}
		s := NewTokenSource(v.fetch, time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { checkGet(t, s, "t1", 1) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, _, err := s.Get(ctx)
		checkUnready(t, err, sink.Unavailable)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := s.Refresh(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Renew: %v", err)
		}
		wg.Wait()
	})
}

func TestALoginCalledOffIsNoFailureAndTheNextWaiterTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{takes: time.Minute}
		s := NewTokenSource(v.fetch, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _, err := s.Get(ctx)
			checkUnready(t, err, sink.Unavailable)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { checkGet(t, s, "t2", 1) })
		synctest.Wait()
		cancel()
		wg.Wait()
		if v.most != 1 {
			t.Errorf("%d logins at once", v.most)
		}
	})
}

func TestALoginThatRunsIntoItsDeadlineBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{takes: time.Hour}
		s := NewTokenSource(v.fetch, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, err := s.Get(ctx)
		checkUnready(t, err, sink.Unavailable)
		_, _, err = s.Get(t.Context())
		checkUnready(t, err, sink.Unavailable)
		if v.logins != 1 {
			t.Errorf("%d logins, want 1", v.logins)
		}
	})
}

func TestAnUnreadyLoginSaysHowToWait(t *testing.T) {
	for class, want := range map[sink.ResultClass]sink.ResultClass{
		sink.Unauthorized: sink.Unauthorized, sink.Misconfigured: sink.Misconfigured, sink.Throttled: sink.Throttled,
		sink.Unavailable: sink.Unavailable, sink.Unknown: sink.Unavailable, sink.Rejected: sink.Misconfigured,
		sink.TooLarge: sink.Misconfigured, sink.Delivered: sink.Misconfigured, 0: sink.Misconfigured,
	} {
		_, _, err := NewTokenSource((&vendor{err: refusal(class)}).fetch, 0).Get(t.Context())
		checkUnready(t, err, want)
	}
	other := errors.New("no route")
	_, _, err := NewTokenSource((&vendor{err: other}).fetch, 0).Get(t.Context())
	if checkUnready(t, err, sink.Unavailable); !errors.Is(err, other) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestATokenThatCannotBeUsedIsRefusedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		token Token
		want  error
	}{
		"empty":   {Token{}, errNoToken},
		"newline": {Token{Value: "abc\n"}, errTokenChars},
		"accent":  {Token{Value: "é"}, errTokenChars},
		"expired": {Token{Value: "abc", Expires: time.Now()}, errTokenExpired},
	} {
		_, _, err := NewTokenSource(func(context.Context) (Token, error) { return c.token, nil }, time.Minute).Get(t.Context())
		if checkUnready(t, err, sink.Misconfigured); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStaticTokenCannotBeRenewedButIsTriedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := StaticToken("given")
		checkGet(t, s, "given", 1)
		a := checkUnready(t, s.Refresh(t.Context(), 1), sink.Unauthorized)
		_, _, err := s.Get(t.Context())
		checkUnready(t, err, sink.Unauthorized)
		<-time.After(a.RetryAfter)
		checkGet(t, s, "given", 2)
	})
}
