package backoff_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/backoff"
)

var policy = backoff.Policy{Min: 100 * time.Millisecond, Max: time.Second}

func TestDelayDoublesUpToTheMaximum(t *testing.T) {
	for failures, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		if got := policy.Delay(failures); got != want*time.Millisecond {
			t.Errorf("Delay(%d) = %v, want %v", failures, got, want*time.Millisecond)
		}
	}
	if got := policy.Delay(1 << 30); got != policy.Max {
		t.Errorf("Delay of very many failures = %v, want %v", got, policy.Max)
	}
}

func TestFullJitterCoversTheWholeDelay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	least, most := policy.Max, time.Duration(0)
	for range 1000 {
		d := policy.FullJitter(2, random)
		least, most = min(least, d), max(most, d)
	}
	if least > 20*time.Millisecond || most < 380*time.Millisecond || most > 400*time.Millisecond {
		t.Errorf("1,000 jittered waits lie in [%v, %v], want nearly all of [0, 400ms]", least, most)
	}
}

func TestEqualJitterCoversTheUpperHalfOfTheDelay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	least, most := policy.Max, time.Duration(0)
	for range 1000 {
		d := policy.EqualJitter(2, random)
		least, most = min(least, d), max(most, d)
	}
	if least < 200*time.Millisecond || least > 210*time.Millisecond || most < 390*time.Millisecond || most > 400*time.Millisecond {
		t.Errorf("1,000 jittered waits lie in [%v, %v], want nearly all of [200ms, 400ms]", least, most)
	}
}

func TestRetryUntilWaitsLongerAfterEachFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		var reported []error
		start, failure := time.Now(), errors.New("away")
		err := backoff.RetryUntil(t.Context(), policy, func() error {
			at = append(at, time.Since(start))
			if len(at) < 4 {
				return failure
			}
			return nil
		}, func(err error) { reported = append(reported, err) })
		want := []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond}
		if err != nil || !slices.Equal(at, want) {
			t.Errorf("got attempts at %v and error %v, want %v and nil", at, err, want)
		}
		if !slices.Equal(reported, []error{failure, failure, failure}) {
			t.Errorf("got reported failures %v, want all three", reported)
		}
	})
}

func TestRetryUntilEndsOnAPermanentError(t *testing.T) {
	refused := errors.New("refused")
	err := backoff.RetryUntil(t.Context(), policy, func() error { return backoff.Permanent(refused) }, nil)
	if err != refused { //nolint:errorlint // the mark must be gone, so that callers see the error itself
		t.Errorf("got error %v, want %v without its mark", err, refused)
	}
	if backoff.Permanent(nil) != nil {
		t.Error("got an error from Permanent(nil), want nil")
	}
}

func TestRetryUntilEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		start, away := time.Now(), errors.New("away")
		err := backoff.RetryUntil(ctx, policy, func() error { return away }, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, away) {
			t.Errorf("got error %v, want one that wraps the context's and the last attempt's", err)
		}
		if took := time.Since(start); took != 250*time.Millisecond {
			t.Errorf("got the end after %v, want the context's 250ms", took)
		}
	})
}
