package vendorhttp

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"sluice/internal/backoff"
	"sluice/internal/sink"
)

// Token is an access token that a login returned.
type Token struct {
	Value string
	// Expires is when the vendor stops accepting the token. If it is zero, the expiry is not known
	// and the token is used until the vendor refuses it.
	Expires time.Time
}

// FetchToken makes one attempt to log in. Its error should be a LoginError; any other error counts
// as sink.Unavailable.
type FetchToken func(ctx context.Context) (Token, error)

// loginBackoff spaces logins after failures, because vendors lock accounts that try too often.
var loginBackoff = backoff.Policy{Min: time.Second, Max: 15 * time.Minute}

// TokenSource manages the access token of one account. All callers share the token, and at most one
// login is in progress at a time. It starts no goroutine: a login runs in the call that needs it.
// All methods are safe for concurrent use.
type TokenSource struct {
	fetch  FetchToken
	margin time.Duration
	// loginSlot is a semaphore that a login acquires while it is in progress, before mu.
	loginSlot chan struct{}

	mu        sync.Mutex // guards the fields below; never held during a login
	token     Token
	refreshAt time.Time // zero means never
	version   uint64    // identifies the token; 0 before the first
	failures  int       // consecutive failed logins
	retryAt   time.Time // no login before this time
	lastError sink.DependencyError
}

// NewTokenSource returns a source that replaces a token when less than margin of its lifetime
// remains, but not before half of its lifetime has passed.
func NewTokenSource(fetch FetchToken, margin time.Duration) *TokenSource {
	return &TokenSource{fetch: fetch, margin: margin, loginSlot: make(chan struct{}, 1)}
}

// StaticToken returns a source for a configured token. Refresh cannot obtain another one and
// returns Unauthorized. After the back-off the same token is used again, because the vendor may
// accept it by then.
func StaticToken(token string) *TokenSource {
	return NewTokenSource(func(context.Context) (Token, error) { return Token{Value: token}, nil }, 0)
}

// Get returns the token and its version, which identifies it for Refresh. It logs in if there is no
// token or the token is within the margin of its expiry. Within the margin, no caller waits for the
// login of another, and a failed login is not reported.
//
// The error is a *sink.DependencyError, which wraps ctx.Err() if ctx has ended. After a failed
// login, Get returns the error of that login at once until the back-off ends; its
// Response.RetryAfter is the remaining back-off.
func (s *TokenSource) Get(ctx context.Context) (value string, version uint64, err error) {
	value, version, refreshDue := s.current()
	switch {
	case value != "" && !refreshDue:
		return value, version, nil
	case value != "":
		if !s.tryStartLogin() {
			return value, version, nil
		}
	default:
		if err := s.startLogin(ctx); err != nil {
			return "", 0, err
		}
	}
	defer s.endLogin()
	if value, version, refreshDue = s.current(); value != "" && !refreshDue {
		return value, version, nil // another caller has logged in meanwhile
	}
	if err := s.logIn(ctx, ""); err != nil && value == "" {
		return "", 0, err
	}
	value, version, _ = s.current()
	return value, version, nil
}

// Refresh replaces the token with the version used, which the vendor has refused. If that token has
// already been replaced, Refresh does nothing. The error is a *sink.DependencyError as with Get; it
// is also Unauthorized if the login returned the refused token again.
func (s *TokenSource) Refresh(ctx context.Context, used uint64) error {
	if err := s.startLogin(ctx); err != nil {
		return err
	}
	defer s.endLogin()
	value, version, _ := s.current()
	if value != "" && version != used {
		return nil
	}
	s.mu.Lock()
	s.token = Token{}
	s.mu.Unlock()
	return s.logIn(ctx, value)
}

// current returns the token unless it has expired, and whether it should be replaced.
func (s *TokenSource) current() (value string, version uint64, refreshDue bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.token.Value == "" || !s.token.Expires.IsZero() && !now.Before(s.token.Expires) {
		return "", s.version, true
	}
	return s.token.Value, s.version, !s.refreshAt.IsZero() && !now.Before(s.refreshAt)
}

var errSameToken = errors.New("the login returned the refused token again")

// logIn fetches a token other than the refused one. During the back-off it returns the error of the
// last login. The caller holds the login slot.
func (s *TokenSource) logIn(ctx context.Context, refused string) error {
	if err := s.backoffError(); err != nil {
		return err
	}
	token, err := s.fetch(ctx)
	switch {
	case err != nil:
	case refused != "" && token.Value == refused:
		err = newLoginError(sink.Unauthorized, errSameToken)
	default:
		err = checkToken(token)
	}
	if err != nil {
		return s.recordFailure(ctx, err)
	}
	s.recordToken(token)
	return nil
}

func (s *TokenSource) recordToken(token Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.refreshAt = token, time.Time{}
	if !token.Expires.IsZero() {
		margin := min(s.margin, time.Until(token.Expires)/2)
		s.refreshAt = token.Expires.Add(-margin)
	}
	s.version++
	s.failures, s.retryAt = 0, time.Time{}
}

// recordFailure starts the back-off, unless the caller canceled the login, which says nothing about
// the vendor.
func (s *TokenSource) recordFailure(ctx context.Context, err error) error {
	loginErr := narrowLoginError(err)
	if errors.Is(ctx.Err(), context.Canceled) {
		loginErr.Response.Err = withContextError(ctx, loginErr.Response.Err)
		return &loginErr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := loginBackoff.EqualJitter(s.failures, nil)
	wait = max(wait, min(loginErr.Response.RetryAfter, loginBackoff.Max))
	s.failures++
	s.lastError, s.retryAt = loginErr, time.Now().Add(wait)
	loginErr.Response.RetryAfter = wait
	return &loginErr
}

// backoffError returns the error of the last login while no login may be made, and nil otherwise.
func (s *TokenSource) backoffError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	remaining := time.Until(s.retryAt)
	if remaining <= 0 {
		return nil
	}
	loginErr := s.lastError
	loginErr.Response.RetryAfter = remaining
	return &loginErr
}

func (s *TokenSource) tryStartLogin() bool {
	select {
	case s.loginSlot <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *TokenSource) startLogin(ctx context.Context) error {
	select {
	case s.loginSlot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &sink.DependencyError{
			Action:   "waiting for a login",
			Response: sink.Response{Result: sink.Result{Class: sink.Unavailable}, Err: ctx.Err()},
		}
	}
}

func (s *TokenSource) endLogin() { <-s.loginSlot }

var (
	errNoToken      = errors.New("the response has no token")
	errTokenChars   = errors.New("the token has characters other than printable ASCII without spaces")
	errTokenExpired = errors.New("the token has already expired: the clocks differ by more than its lifetime")
)

// checkToken returns an error unless the token can be sent in a header field (RFC 6750, section
// 2.1) and is valid by the local clock. Any other token would cause a login for each call.
func checkToken(token Token) error {
	switch {
	case token.Value == "":
		return newLoginError(sink.Misconfigured, errNoToken)
	case strings.ContainsFunc(token.Value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return newLoginError(sink.Misconfigured, errTokenChars)
	case !token.Expires.IsZero() && !time.Now().Before(token.Expires):
		return newLoginError(sink.Misconfigured, errTokenExpired)
	}
	return nil
}
