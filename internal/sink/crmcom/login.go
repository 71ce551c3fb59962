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
	// tokenMargin is how long before a token's expiry a new one is had, or half of its life where
	// that is shorter.
	tokenMargin = 5 * time.Minute
	// tokenBytesMax bounds a token as it stands in a call; opaque ones have 32 bytes, JWTs some
	// hundred.
	tokenBytesMax = 4096
	// loginBodyMax bounds a login's answer in bytes.
	loginBodyMax = 64 << 10
)

// credentials are the body of a login. With a web API key only the unit stands in it; the key goes
// as the user of HTTP Basic, without a password.
type credentials struct {
	Username     string `json:"username,omitempty"`
	Password     string `json:"password,omitempty"`
	Organisation string `json:"organisation,omitempty"`
	Unit         string `json:"unit,omitempty"`
}

// login makes the account's logins: POST authentication/web_api_key/token (from R10.0.0, the
// vendor's recommendation) or POST authentication/token.
func (a *account) login(auth Auth, ttl time.Duration) vendorhttp.FetchToken {
	return func(ctx context.Context) (vendorhttp.Token, error) {
		req, err := a.loginRequest(ctx, auth)
		if err != nil {
			return vendorhttp.Token{}, vendorhttp.LoginError(sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: err})
		}
		value, err := readLogin(vendorhttp.RoundTrip(ctx, a.client, req, loginBodyMax))
		if err != nil {
			return vendorhttp.Token{}, err
		}
		return vendorhttp.Token{Value: value, Expires: time.Now().Add(life(value, ttl))}, nil
	}
}

func (a *account) loginRequest(ctx context.Context, auth Auth) (*http.Request, error) {
	path := "/authentication/token"
	if auth.WebAPIKey.IsSet() {
		path = "/authentication/web_api_key/token"
	}
	body, err := json.Marshal(credentials{auth.Username, auth.Password.Reveal(), auth.Organisation, auth.Unit})
	if err != nil {
		return nil, fmt.Errorf("making the login's body: %w", err)
	}
	req, err := newPost(ctx, a.base+path)
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
	errTokenLong = fmt.Errorf("the token is longer than %d bytes", tokenBytesMax)
	errNotLogin  = errors.New("the answer is no login")
)

// readLogin gives the token, or a *sink.Unready. The vendor's text is left out: it may name the
// user.
func readLogin(reply vendorhttp.Exchange) (string, error) {
	answer := vendorhttp.ClassifyExchange(reply)
	var login struct {
		Data   struct{ Token string }
		Status status
	}
	unreadable := reply.Body == nil || json.Unmarshal(reply.Body, &login) != nil
	code := string(login.Status.Code)
	answer.Code = vendorhttp.Redact(code)
	switch answer.Class {
	case sink.Delivered, sink.Rejected: // judged by the body
	default:
		return "", vendorhttp.LoginError(answer)
	}
	switch {
	case unreadable || code == "":
		if answer.Class == sink.Delivered {
			answer.Class = sink.Unknown
		}
		answer.Err = errNotLogin
	case !login.Status.ok() && isTransient(code):
		answer.Class = sink.Unavailable
	case !login.Status.ok() || answer.Class == sink.Rejected:
		answer.Class = sink.Unauthorized
	case len(jsonwriter.AppendString(nil, login.Data.Token)) > tokenBytesMax:
		answer.Class, answer.Err = sink.Misconfigured, errTokenLong
	default:
		return login.Data.Token, nil
	}
	return "", vendorhttp.LoginError(answer)
}

// life is how long a token holds, as far as is known: the vendor names no expiry beside it, but
// from R12 on it is a JWT with one of its own. Nothing is verified here, the vendor does that. The
// source renews a token by the margin before.
func life(token string, ttl time.Duration) time.Duration {
	most := ttl + tokenMargin
	if own, ok := jwtLife(token); ok {
		return min(own, most)
	}
	return most
}

// jwtLife is a JWT's life from its exp and iat claims (RFC 7519 4.1), which CRM.COM writes as
// strings and the RFC as numbers. It counts from iat and not from this clock, which may be off;
// without iat, or with claims that give no time ahead, there is none.
func jwtLife(token string) (time.Duration, bool) {
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
	exp, err := claims.Exp.Float64()
	if err != nil {
		return 0, false
	}
	from := float64(time.Now().Unix())
	if iat, err := claims.Iat.Float64(); err == nil {
		from = iat
	}
	const most = float64(365 * 24 * time.Hour / time.Second)
	seconds := min(exp-from, most)
	return time.Duration(seconds * float64(time.Second)), seconds > 0
}
