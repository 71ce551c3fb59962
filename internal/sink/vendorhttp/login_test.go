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

func TestFailedLoginsBackOffUpToFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{err: loginErrorOfClass(sink.Unauthorized)}
		s := NewTokenSource(v.fetchToken, time.Minute)
		most := time.Second
		for n := 1; n <= 15; n++ {
			_, _, err := s.Get(t.Context())
			wait := checkLoginError(t, err, sink.Unauthorized).RetryAfter
			if v.logins != n {
				t.Fatalf("got %d logins, want %d", v.logins, n)
			}
			if wait < most/2 || wait > most {
				t.Errorf("failure %d: got wait %v, want %v to %v", n, wait, most/2, most)
			}
			<-time.After(wait - 1)
			_, _, err = s.Get(t.Context())
			if left := checkLoginError(t, err, sink.Unauthorized).RetryAfter; left != 1 {
				t.Errorf("failure %d: got %v remaining, want 1ns", n, left)
			}
			checkLoginError(t, s.Refresh(t.Context(), 0), sink.Unauthorized)
			if v.logins != n {
				t.Fatalf("got a login during the back-off, want none")
			}
			<-time.After(1)
			most = min(2*most, 15*time.Minute)
		}
		v.err = nil
		checkCurrentToken(t, s, "t16", 1)
		v.err = loginErrorOfClass(sink.Unavailable)
		a := checkLoginError(t, s.Refresh(t.Context(), 1), sink.Unavailable)
		if a.RetryAfter > time.Second {
			t.Errorf("got wait %v after a success, want at most 1s", a.RetryAfter)
		}
	})
}

func TestRetryAfterExtendsTheBackoffUpToItsMaximum(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{time.Minute: time.Minute,
		100 * time.Hour: 15 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			u := loginErrorOfClass(sink.Throttled)
			u.Response.RetryAfter = asked
			_, _, err := NewTokenSource((&fakeLogin{err: u}).fetchToken, 0).Get(t.Context())
			if got := checkLoginError(t, err, sink.Throttled).RetryAfter; got != want {
				t.Errorf("asked for %v: got wait %v, want %v", asked, got, want)
			}
		})
	}
}

func TestWaitingForALoginEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{duration: time.Hour}
		s := NewTokenSource(v.fetchToken, time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { checkCurrentToken(t, s, "t1", 1) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, _, err := s.Get(ctx)
		checkLoginError(t, err, sink.Unavailable)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want context.DeadlineExceeded after 1s", err, time.Since(start))
		}
		if err := s.Refresh(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v from Refresh, want context.DeadlineExceeded", err)
		}
		wg.Wait()
	})
}

func TestCanceledLoginIsNoFailureAndTheNextWaiterLogsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{duration: time.Minute}
		s := NewTokenSource(v.fetchToken, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _, err := s.Get(ctx)
			checkLoginError(t, err, sink.Unavailable)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, want context.Canceled", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { checkCurrentToken(t, s, "t2", 1) })
		synctest.Wait()
		cancel()
		wg.Wait()
		if v.mostRunning != 1 {
			t.Errorf("got %d logins at once, want 1", v.mostRunning)
		}
	})
}

func TestLoginPastItsDeadlineBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{duration: time.Hour}
		s := NewTokenSource(v.fetchToken, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, err := s.Get(ctx)
		checkLoginError(t, err, sink.Unavailable)
		_, _, err = s.Get(t.Context())
		checkLoginError(t, err, sink.Unavailable)
		if v.logins != 1 {
			t.Errorf("got %d logins, want 1", v.logins)
		}
	})
}

func TestLoginErrorClassDeterminesHowToWait(t *testing.T) {
	for class, want := range map[sink.ResultClass]sink.ResultClass{
		sink.Unauthorized: sink.Unauthorized, sink.Misconfigured: sink.Misconfigured, sink.Throttled: sink.Throttled,
		sink.Unavailable: sink.Unavailable, sink.Unknown: sink.Unavailable, sink.Rejected: sink.Misconfigured,
		sink.TooLarge: sink.Misconfigured, sink.Delivered: sink.Misconfigured, 0: sink.Misconfigured,
	} {
		_, _, err := NewTokenSource((&fakeLogin{err: loginErrorOfClass(class)}).fetchToken, 0).Get(t.Context())
		checkLoginError(t, err, want)
	}
	other := errors.New("no route")
	_, _, err := NewTokenSource((&fakeLogin{err: other}).fetchToken, 0).Get(t.Context())
	if checkLoginError(t, err, sink.Unavailable); !errors.Is(err, other) {
		t.Errorf("got %v, want it to wrap its cause", err)
	}
}

func TestUnusableTokenIsMisconfigured(t *testing.T) {
	for name, c := range map[string]struct {
		token Token
		want  error
	}{
		"empty":   {Token{}, errNoToken},
		"newline": {Token{Value: "abc\n"}, errTokenChars},
		"accent":  {Token{Value: "é"}, errTokenChars},
		"expired": {Token{Value: "abc", Expires: time.Now()}, errTokenExpired},
	} {
		_, _, err := NewTokenSource(func(context.Context) (Token, error) { return c.token, nil },
			time.Minute).Get(t.Context())
		if checkLoginError(t, err, sink.Misconfigured); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestStaticTokenCannotBeRefreshedButIsRetriedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := StaticToken("given")
		checkCurrentToken(t, s, "given", 1)
		a := checkLoginError(t, s.Refresh(t.Context(), 1), sink.Unauthorized)
		_, _, err := s.Get(t.Context())
		checkLoginError(t, err, sink.Unauthorized)
		<-time.After(a.RetryAfter)
		checkCurrentToken(t, s, "given", 2)
	})
}
