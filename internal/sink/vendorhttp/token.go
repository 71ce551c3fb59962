package vendorhttp

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"sluice/internal/sink"
)

// Token is a credential that was had by logging in.
type Token struct {
	Value string
	// Expires is when the vendor takes it no more; zero: not known, it is used until it is refused.
	Expires time.Time
}

// FetchToken logs in, in one attempt. Its error is a *sink.Unready, or any other one, which then counts as Unavailable.
type FetchToken func(ctx context.Context) (Token, error)

// The waits after failed logins: vendors lock accounts that try too often.
const (
	loginBackoffMin = time.Second
	loginBackoffMax = 15 * time.Minute
)

// TokenSource is the token of one account: one login at a time, and one for everybody. It holds no goroutine: a login runs in the
// call that needs it. Safe for concurrent use.
type TokenSource struct {
	fetch  FetchToken
	margin time.Duration
	login  chan struct{} // one place: its holder may log in. Taken before mu

	mu         sync.Mutex // covers what follows; never held during a login
	token      Token
	renewAt    time.Time // zero: never
	generation uint64    // names the token; 0 before the first
	failures   int       // logins that failed in a row
	retryAt    time.Time // no login before
	failed     sink.DependencyError
}

// NewTokenSource makes a source that renews a token by margin before it expires, or at half of its life where that is later.
func NewTokenSource(fetch FetchToken, margin time.Duration) *TokenSource {
	return &TokenSource{fetch: fetch, margin: margin, login: make(chan struct{}, 1)}
}

// StaticToken is the source of a token that was given and not had by logging in. Renew cannot get another one and says Unauthorized; after the
// back-off the same token is tried again, since the vendor may have put it right.
func StaticToken(token string) *TokenSource {
	return NewTokenSource(func(context.Context) (Token, error) { return Token{Value: token}, nil }, 0)
}

// Get is the token, and the generation that names it for Renew. It logs in where there is none or the margin is reached. While a token still
// holds, nobody waits for another's login, and a failed one is not reported. The error is a *sink.Unready that wraps ctx.Err() where ctx ended.
// After a failed login it is the remembered one, at once, until the back-off is over; its Answer.RetryAfter says what is left of that.
func (s *TokenSource) Get(ctx context.Context) (value string, generation uint64, err error) {
	value, generation, due := s.current()
	switch {
	case value != "" && !due:
		return value, generation, nil
	case value != "":
		if !s.tryLock() {
			return value, generation, nil
		}
	default:
		if err := s.lock(ctx); err != nil {
			return "", 0, err
		}
	}
	defer s.unlock()
	if value, generation, due = s.current(); value != "" && !due {
		return value, generation, nil // another has logged in meanwhile
	}
	if err := s.logIn(ctx, ""); err != nil && value == "" {
		return "", 0, err
	}
	value, generation, _ = s.current()
	return value, generation, nil
}

// Refresh gets a token other than the one that generation used names, which the vendor has refused. Where a newer one is there already, that one is
// taken. The error is a *sink.Unready as with Get; Unauthorized also where a login gives the refused token again.
func (s *TokenSource) Refresh(ctx context.Context, used uint64) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	value, generation, _ := s.current()
	if value != "" && generation != used {
		return nil
	}
	s.mu.Lock()
	s.token = Token{}
	s.mu.Unlock()
	return s.logIn(ctx, value)
}

func (s *TokenSource) current() (value string, generation uint64, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.token.Value == "" || !s.token.Expires.IsZero() && !now.Before(s.token.Expires) {
		return "", s.generation, true
	}
	return s.token.Value, s.generation, !s.renewAt.IsZero() && !now.Before(s.renewAt)
}

var errSameToken = errors.New("the login gave the refused token again")

// logIn fetches a token other than refused, or gives the remembered error. The caller holds the login.
func (s *TokenSource) logIn(ctx context.Context, refused string) error {
	if err := s.remembered(); err != nil {
		return err
	}
	token, err := s.fetch(ctx)
	switch {
	case err != nil:
	case refused != "" && token.Value == refused:
		err = loginErrorOf(sink.Unauthorized, errSameToken)
	default:
		err = checkToken(token)
	}
	if err != nil {
		return s.fail(ctx, err)
	}
	s.accept(token)
	return nil
}

func (s *TokenSource) accept(t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.renewAt = t, time.Time{}
	if !t.Expires.IsZero() {
		early := min(s.margin, time.Until(t.Expires)/2)
		s.renewAt = t.Expires.Add(-early)
	}
	s.generation++
	s.failures, s.retryAt = 0, time.Time{}
}

// fail remembers the failure, unless the caller called its login off, which says nothing about the vendor.
func (s *TokenSource) fail(ctx context.Context, err error) error {
	u := narrowLoginError(err)
	if errors.Is(ctx.Err(), context.Canceled) {
		u.Response.Err = withContext(ctx, u.Response.Err)
		return &u
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := min(loginBackoffMin<<min(s.failures, 20), loginBackoffMax)
	wait = wait/2 + rand.N(wait/2+1)
	wait = max(wait, min(u.Response.RetryAfter, loginBackoffMax))
	s.failures++
	s.failed, s.retryAt = u, time.Now().Add(wait)
	u.Response.RetryAfter = wait
	return &u
}

func (s *TokenSource) remembered() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := time.Until(s.retryAt)
	if left <= 0 {
		return nil
	}
	u := s.failed
	u.Response.RetryAfter = left
	return &u
}

func (s *TokenSource) tryLock() bool {
	select {
	case s.login <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *TokenSource) lock(ctx context.Context) error {
	select {
	case s.login <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &sink.DependencyError{Action: "waiting for a login", Response: sink.Response{Result: sink.Result{Class: sink.Unavailable}, Err: ctx.Err()}}
	}
}

func (s *TokenSource) unlock() { <-s.login }

// narrowLoginError returns any error of a FetchToken as one whose class says how to wait.
func narrowLoginError(err error) sink.DependencyError {
	var found *sink.DependencyError
	if !errors.As(err, &found) {
		return *loginErrorOf(sink.Unavailable, err)
	}
	narrowed := *found
	narrowed.Response = DependencyResponse(narrowed.Response)
	if narrowed.Response.Class == sink.Delivered {
		narrowed.Response.Class = sink.Misconfigured
	}
	return narrowed
}

var (
	errNoToken      = errors.New("the answer has no token")
	errTokenChars   = errors.New("the token holds characters other than printable ASCII without spaces")
	errTokenExpired = errors.New("the token is past its expiry already: the clocks differ by more than its life")
)

// checkToken takes what can stand in a header field (RFC 6750 2.1) and holds by this clock. Anything else would be a login for each call.
func checkToken(t Token) error {
	switch {
	case t.Value == "":
		return loginErrorOf(sink.Misconfigured, errNoToken)
	case strings.ContainsFunc(t.Value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return loginErrorOf(sink.Misconfigured, errTokenChars)
	case !t.Expires.IsZero() && !time.Now().Before(t.Expires):
		return loginErrorOf(sink.Misconfigured, errTokenExpired)
	}
	return nil
}
