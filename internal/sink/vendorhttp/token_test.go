package vendorhttp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/sink"
)

// fakeLogin plays the login of a vendor.
type fakeLogin struct {
	duration    time.Duration
	lifetime    time.Duration // 0: the vendor does not state it
	err         error
	logins      int
	running     int // in progress
	mostRunning int // the most at once
	mu          sync.Mutex
}

func (v *fakeLogin) fetchToken(ctx context.Context) (Token, error) {
	v.mu.Lock()
	v.logins++
	token := Token{Value: fmt.Sprintf("t%d", v.logins)}
	v.running++
	v.mostRunning = max(v.mostRunning, v.running)
	err := v.err
	v.mu.Unlock()
	defer func() { v.mu.Lock(); v.running--; v.mu.Unlock() }()
	select {
	case <-time.After(v.duration):
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
	if v.lifetime != 0 {
		token.Expires = time.Now().Add(v.lifetime)
	}
	return token, err
}

func loginErrorOfClass(class sink.ResultClass) *sink.DependencyError {
	return &sink.DependencyError{Action: "logging in", Response: sink.Response{Result: sink.Result{Class: class}}}
}

func checkCurrentToken(t *testing.T, s *TokenSource, value string, version uint64) {
	t.Helper()
	v, g, err := s.Get(t.Context())
	if v != value || g != version || err != nil {
		t.Errorf("got %q, version %d, error %v; want %q, %d", v, g, err, value, version)
	}
}

// checkLoginError checks that err is a *sink.DependencyError of this class, and returns its
// response.
func checkLoginError(t *testing.T, err error, class sink.ResultClass) sink.Response {
	t.Helper()
	var u *sink.DependencyError
	if !errors.As(err, &u) {
		t.Fatalf("got error %v, want a *sink.DependencyError", err)
	}
	if u.Response.Class != class {
		t.Errorf("got class %v, want %v (%v)", u.Response.Class, class, err)
	}
	return u.Response
}

func TestManyCallersShareOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{duration: time.Second}
		s := NewTokenSource(v.fetchToken, time.Minute)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { checkCurrentToken(t, s, "t1", 1) })
		}
		wg.Wait()
		if v.logins != 1 {
			t.Errorf("got %d logins, want 1", v.logins)
		}
	})
}

func TestTokenIsReplacedByTheMarginOrAtHalfItsLifetime(t *testing.T) {
	for _, c := range []struct{ life, margin, at time.Duration }{
		{30 * time.Minute, 5 * time.Minute, 25 * time.Minute},
		{time.Minute, 5 * time.Minute, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			v := &fakeLogin{lifetime: c.life}
			s := NewTokenSource(v.fetchToken, c.margin)
			checkCurrentToken(t, s, "t1", 1)
			<-time.After(c.at - 1)
			checkCurrentToken(t, s, "t1", 1)
			<-time.After(1)
			checkCurrentToken(t, s, "t2", 2)
		})
	}
}

func TestTokenOfUnknownLifetimeIsUsedUntilRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewTokenSource((&fakeLogin{}).fetchToken, time.Minute)
		checkCurrentToken(t, s, "t1", 1)
		<-time.After(1000 * time.Hour)
		checkCurrentToken(t, s, "t1", 1)
		if err := s.Refresh(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		checkCurrentToken(t, s, "t2", 2)
	})
}

func TestNobodyWaitsForAnEarlyLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{duration: 10 * time.Second, lifetime: 10 * time.Minute}
		s := NewTokenSource(v.fetchToken, time.Minute)
		checkCurrentToken(t, s, "t1", 1)
		<-time.After(9 * time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { checkCurrentToken(t, s, "t2", 2) })
		synctest.Wait()
		start := time.Now()
		checkCurrentToken(t, s, "t1", 1)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v, want no wait", waited)
		}
		wg.Wait()
	})
}

func TestFailedEarlyLoginIsNotReportedWhileTheTokenIsValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{lifetime: 10 * time.Minute}
		s := NewTokenSource(v.fetchToken, time.Minute)
		checkCurrentToken(t, s, "t1", 1)
		v.err = loginErrorOfClass(sink.Unavailable)
		<-time.After(9*time.Minute + 59*time.Second)
		checkCurrentToken(t, s, "t1", 1)
		<-time.After(time.Second)
		_, _, err := s.Get(t.Context())
		checkLoginError(t, err, sink.Unavailable)
	})
}

func TestRefreshUsesANewerTokenIfThereIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{duration: time.Second}
		s := NewTokenSource(v.fetchToken, time.Minute)
		checkCurrentToken(t, s, "t1", 1)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := s.Refresh(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		checkCurrentToken(t, s, "t2", 2)
		if v.logins != 2 {
			t.Errorf("got %d logins, want 2", v.logins)
		}
	})
}

func TestRefreshReplacesANewerTokenThatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeLogin{lifetime: time.Hour}
		s := NewTokenSource(v.fetchToken, time.Minute)
		checkCurrentToken(t, s, "t1", 1)
		if err := s.Refresh(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour)
		if err := s.Refresh(t.Context(), 1); err != nil || v.logins != 3 {
			t.Errorf("got error %v after %d logins, want 3", err, v.logins)
		}
	})
}
