package vendorhttp

import (
	"context"
	"errors"

	"sluice/internal/sink"
)

// CallWithToken runs call with the account's token and records the token's version in the response.
// If no token is available, call does not run. The response is then that of the failed login, with
// TokenVersion 0 and the *sink.DependencyError as Err.
func (s *TokenSource) CallWithToken(ctx context.Context, call func(token string) sink.Response) sink.Response {
	token, version, err := s.Get(ctx)
	if err != nil {
		return failedLoginResponse(err)
	}
	response := call(token)
	response.TokenVersion = version
	return response
}

func failedLoginResponse(err error) sink.Response {
	var loginErr *sink.DependencyError
	if !errors.As(err, &loginErr) {
		return sink.Response{Result: sink.Result{Class: sink.Unavailable}, Err: err}
	}
	response := loginErr.Response
	response.Err = err
	return response
}

// LoginError returns the error of a FetchToken for the response to its login call. The token source
// narrows the response's class; see DependencyResponse.
func LoginError(response sink.Response) *sink.DependencyError {
	return &sink.DependencyError{Action: "logging in", Response: response}
}

// newLoginError returns a LoginError for a failure without an HTTP response.
func newLoginError(class sink.ResultClass, cause error) *sink.DependencyError {
	return LoginError(sink.Response{Result: sink.Result{Class: class}, Err: cause})
}

// narrowLoginError converts any error of a FetchToken into a login error with a narrowed class.
func narrowLoginError(err error) sink.DependencyError {
	var found *sink.DependencyError
	if !errors.As(err, &found) {
		return *newLoginError(sink.Unavailable, err)
	}
	narrowed := *found
	narrowed.Response = DependencyResponse(narrowed.Response)
	if narrowed.Response.Class == sink.Delivered {
		narrowed.Response.Class = sink.Misconfigured
	}
	return narrowed
}

// DependencyResponse narrows the class of a response to a call that carries no items and changes
// nothing at the vendor, such as a login or a catalogue request, to those that determine how to
// wait. An unknown outcome of such a call is harmless and becomes Unavailable. A rejection cannot
// be due to the data and becomes Misconfigured. MayHaveActed is cleared. Delivered is unchanged.
func DependencyResponse(response sink.Response) sink.Response {
	response.MayHaveActed = false
	switch response.Class {
	case sink.Delivered, sink.Unauthorized, sink.Misconfigured, sink.Throttled, sink.Unavailable:
	case sink.Unknown:
		response.Class = sink.Unavailable
	case sink.Rejected, sink.Retryable, sink.TooLarge:
		response.Class = sink.Misconfigured
	default: // the zero class of a response that was never classified
		response.Class = sink.Misconfigured
	}
	return response
}
