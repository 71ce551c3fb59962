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

// vendor is the login of a vendor: what it takes, and what it answers next.
type vendor struct {
	takes  time.Duration
	life   time.Duration // 0: not told
	err    error
	logins int
	now    int // under way
	most   int // under way at once
	mu     sync.Mutex
}

func (v *vendor) fetch(ctx context.Context) (Token, error) {
	v.mu.Lock()
	v.logins++
	token := Token{Value: fmt.Sprintf("t%d", v.logins)}
	v.now++
	v.most = max(v.most, v.now)
	err := v.err
	v.mu.Unlock()
	defer func() { v.mu.Lock(); v.now--; v.mu.Unlock() }()
	select {
	case <-time.After(v.takes):
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
	if v.life != 0 {
		token.Expires = time.Now().Add(v.life)
	}
	return token, err
}

func refusal(class sink.ResultClass) *sink.DependencyError {
	return &sink.DependencyError{Action: "logging in", Response: sink.Response{Result: sink.Result{Class: class}}}
}

func checkGet(t *testing.T, s *TokenSource, value string, generation uint64) {
	t.Helper()
	v, g, err := s.Get(t.Context())
	if v != value || g != generation || err != nil {
		t.Errorf("got %q, generation %d, error %v; want %q, %d", v, g, err, value, generation)
	}
}

// checkUnready gives what came back.
func checkUnready(t *testing.T, err error, class sink.ResultClass) sink.Response {
	t.Helper()
	var u *sink.DependencyError
	if !errors.As(err, &u) {
		t.Fatalf("error %v is no *sink.Unready", err)
	}
	if u.Response.Class != class {
		t.Errorf("class %v, want %v (%v)", u.Response.Class, class, err)
	}
	return u.Response
}

func TestManyCallersShareOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{takes: time.Second}
		s := NewTokenSource(v.fetch, time.Minute)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { checkGet(t, s, "t1", 1) })
		}
		wg.Wait()
		if v.logins != 1 {
			t.Errorf("%d logins, want 1", v.logins)
		}
	})
}

func TestATokenIsRenewedEarlyByTheMarginOrAtHalfItsLife(t *testing.T) {
	for _, c := range []struct{ life, margin, at time.Duration }{
		{30 * time.Minute, 5 * time.Minute, 25 * time.Minute},
		{time.Minute, 5 * time.Minute, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			v := &vendor{life: c.life}
			s := NewTokenSource(v.fetch, c.margin)
			checkGet(t, s, "t1", 1)
			<-time.After(c.at - 1)
			checkGet(t, s, "t1", 1)
			<-time.After(1)
			checkGet(t, s, "t2", 2)
		})
	}
}

func TestATokenOfUnknownLifeIsUsedUntilItIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewTokenSource((&vendor{}).fetch, time.Minute)
		checkGet(t, s, "t1", 1)
		<-time.After(1000 * time.Hour)
		checkGet(t, s, "t1", 1)
		if err := s.Refresh(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		checkGet(t, s, "t2", 2)
	})
}

func TestNobodyWaitsForAnEarlyRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{takes: 10 * time.Second, life: 10 * time.Minute}
		s := NewTokenSource(v.fetch, time.Minute)
		checkGet(t, s, "t1", 1)
		<-time.After(9 * time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { checkGet(t, s, "t2", 2) })
		synctest.Wait()
		start := time.Now()
		checkGet(t, s, "t1", 1)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v", waited)
		}
		wg.Wait()
	})
}

func TestAFailedEarlyRenewalIsNotReportedWhileTheTokenHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{life: 10 * time.Minute}
		s := NewTokenSource(v.fetch, time.Minute)
		checkGet(t, s, "t1", 1)
		v.err = refusal(sink.Unavailable)
		<-time.After(9*time.Minute + 59*time.Second)
		checkGet(t, s, "t1", 1)
		<-time.After(time.Second)
		_, _, err := s.Get(t.Context())
		checkUnready(t, err, sink.Unavailable)
	})
}

func TestRenewTakesANewerTokenWhereThereIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{takes: time.Second}
		s := NewTokenSource(v.fetch, time.Minute)
		checkGet(t, s, "t1", 1)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := s.Refresh(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		checkGet(t, s, "t2", 2)
		if v.logins != 2 {
			t.Errorf("%d logins, want 2", v.logins)
		}
	})
}

func TestRenewDoesNotTakeANewerTokenThatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{life: time.Hour}
		s := NewTokenSource(v.fetch, time.Minute)
		checkGet(t, s, "t1", 1)
		if err := s.Refresh(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour)
		if err := s.Refresh(t.Context(), 1); err != nil || v.logins != 3 {
			t.Errorf("error %v after %d logins, want 3", err, v.logins)
		}
	})
}
