package crmcom

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
	"sluice/internal/sink/vendorhttp"
)

const (
	// tokenMargin is how long before its expiry a token is replaced, unless half of its lifetime is
	// shorter.
	tokenMargin = 5 * time.Minute
	// tokenBytesMax bounds the size of a token in the JSON of a call. Opaque tokens have 32 bytes,
	// JWTs a few hundred.
	tokenBytesMax = 4096
	// loginBodyMax bounds the body of the response to a login in bytes.
	loginBodyMax = 64 << 10
)

// credentials is the body of a login. For a login with a web API key it contains only the unit,
// because the key is sent as the user name of HTTP basic authentication, without a password.
type credentials struct {
	Username     string `json:"username,omitempty"`
	Password     string `json:"password,omitempty"`
	Organisation string `json:"organisation,omitempty"`
	Unit         string `json:"unit,omitempty"`
}

// newLogin returns the account's login: POST authentication/web_api_key/token, which exists since
// R10.0.0 and which the vendor recommends, or POST authentication/token.
func (a *account) newLogin(auth Auth, ttl time.Duration) vendorhttp.FetchToken {
	return func(ctx context.Context) (vendorhttp.Token, error) {
		req, err := a.newLoginRequest(ctx, auth)
		if err != nil {
			response := sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: err}
			return vendorhttp.Token{}, vendorhttp.LoginError(response)
		}
		value, err := readLogin(vendorhttp.RoundTrip(ctx, a.client, req, loginBodyMax))
		if err != nil {
			return vendorhttp.Token{}, err
		}
		return vendorhttp.Token{Value: value, Expires: time.Now().Add(tokenLifetime(value, ttl))}, nil
	}
}

func (a *account) newLoginRequest(ctx context.Context, auth Auth) (*http.Request, error) {
	path := "/authentication/token"
	if auth.WebAPIKey.IsSet() {
		path = "/authentication/web_api_key/token"
	}
	body, err := json.Marshal(credentials{auth.Username, auth.Password.Reveal(), auth.Organisation, auth.Unit})
	if err != nil {
		return nil, fmt.Errorf("encoding the login: %w", err)
	}
	req, err := newPost(ctx, a.baseURL+path)
	if err != nil {
		return nil, err
	}
	if auth.WebAPIKey.IsSet() {
		req.SetBasicAuth(auth.WebAPIKey.Reveal(), "")
	}
	req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(body, nil, nil)
	return req, nil
}

var (
	errTokenTooLong = fmt.Errorf("the token is longer than %d bytes", tokenBytesMax)
	errNotLogin     = errors.New("the response is not that of a login")
)

// readLogin returns the token, or a vendorhttp.LoginError. The error omits the vendor's text, which
// may contain the user name.
func readLogin(exchange vendorhttp.Exchange) (string, error) {
	response := vendorhttp.ClassifyExchange(exchange)
	var login struct {
		Data   struct{ Token string }
		Status status
	}
	unreadable := exchange.Body == nil || json.Unmarshal(exchange.Body, &login) != nil
	code := string(login.Status.Code)
	response.Code = vendorhttp.Redact(code)
	if response.Class != sink.Delivered && response.Class != sink.Rejected {
		return "", vendorhttp.LoginError(response) // the status is sufficient
	}
	switch {
	case unreadable || code == "":
		if response.Class == sink.Delivered {
			response.Class = sink.Unknown
		}
		response.Err = errNotLogin
	case !login.Status.isOK() && isTransient(code):
		response.Class = sink.Unavailable
	case !login.Status.isOK() || response.Class == sink.Rejected:
		response.Class = sink.Unauthorized
	case len(jsonwriter.AppendString(nil, login.Data.Token)) > tokenBytesMax:
		response.Class, response.Err = sink.Misconfigured, errTokenTooLong
	default:
		return login.Data.Token, nil
	}
	return "", vendorhttp.LoginError(response)
}

// tokenLifetime returns how long a token is assumed to be valid. The vendor does not return an
// expiry with the token, but since R12 the token is a JWT that contains one. Its signature is not
// verified, which is the vendor's task. The token source replaces the token tokenMargin earlier.
func tokenLifetime(token string, ttl time.Duration) time.Duration {
	longest := ttl + tokenMargin
	if lifetime, ok := jwtLifetime(token); ok {
		return min(lifetime, longest)
	}
	return longest
}

// jwtLifetime returns a JWT's lifetime from its exp and iat claims (RFC 7519, section 4.1), which
// CRM.COM writes as strings although the RFC specifies numbers. It counts from iat rather than from
// the local clock, which may be wrong and is used only if there is no iat. It returns false if the
// claims do not yield a positive lifetime.
func jwtLifetime(token string) (time.Duration, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return 0, false
	}
	var claims struct{ Exp, Iat json.Number }
	if json.Unmarshal(payload, &claims) != nil {
		return 0, false
	}
	expires, err := claims.Exp.Float64()
	if err != nil {
		return 0, false
	}
	issued, err := claims.Iat.Float64()
	if err != nil {
		issued = float64(time.Now().Unix())
	}
	const longest = float64(365 * 24 * time.Hour / time.Second)
	seconds := min(expires-issued, longest)
	return time.Duration(seconds * float64(time.Second)), seconds > 0
}
