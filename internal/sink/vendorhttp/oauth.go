package vendorhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/internal/sink"
)

// ClientAuthStyle is where a client puts its id and secret (RFC 6749 2.3.1).
type ClientAuthStyle string

// The styles. Empty is StyleBody, which the vendors document.
const (
	AuthInBody   ClientAuthStyle = "body"
	AuthInHeader ClientAuthStyle = "header"
)

// errTokenURL leaves the cause out, which quotes the URL: it may carry a password.
var errTokenURL = errors.New("the token URL is no URL")

// tokenMaxBody bounds a token answer in bytes; a JWT of a few kilobytes is long.
const tokenMaxBody = 64 << 10

// ClientCredentials fetches tokens by the OAuth 2.0 client credentials grant (RFC 6749 4.4). scope may be empty. The token's type is not looked at:
// gateways name it Bearer, bearer and BearerToken. An answer without expires_in is a token used until it is refused.
func ClientCredentials(client *http.Client, tokenURL, id, secret, scope string, style ClientAuthStyle) FetchToken {
	return func(ctx context.Context) (Token, error) {
		req, err := tokenRequest(ctx, tokenURL, id, secret, scope, style)
		if err != nil {
			return Token{}, loginErrorOf(sink.Misconfigured, err)
		}
		asked := time.Now()
		reply := RoundTrip(ctx, client, req, tokenMaxBody)
		if a := ClassifyExchange(reply); a.Class != sink.Delivered {
			return Token{}, loginRefused(reply, a)
		}
		token, err := parseToken(reply.Body, asked)
		if err != nil {
			u := loginErrorOf(sink.Misconfigured, err)
			u.Response.Status = reply.Status
			return Token{}, u
		}
		return token, nil
	}
}

func tokenRequest(ctx context.Context, tokenURL, id, secret, scope string, style ClientAuthStyle) (*http.Request, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if scope != "" {
		form.Set("scope", scope)
	}
	if style != AuthInHeader {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errTokenURL
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if style == AuthInHeader {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	return req, nil
}

// loginRefused reads the error answer of RFC 6749 5.2, where there is one. These codes are about the client's credential, the others about the request.
func loginRefused(reply Exchange, a sink.Response) *sink.DependencyError {
	var refusal struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(reply.Body, &refusal) == nil {
		a.Code, a.Message = Redact(refusal.Error), Redact(refusal.Description)
	}
	if a.Class == sink.Rejected {
		switch refusal.Error {
		case "invalid_client", "invalid_grant", "unauthorized_client", "access_denied":
			a.Class = sink.Unauthorized
		}
	}
	return LoginError(a)
}

func parseToken(body []byte, asked time.Time) (Token, error) {
	var answer struct {
		Token     string          `json:"access_token"`
		ExpiresIn json.RawMessage `json:"expires_in"`
	}
	// The decoder's error is left out: it may quote the answer, and the answer is a token.
	if json.Unmarshal(body, &answer) != nil || answer.Token == "" {
		return Token{}, errNoToken
	}
	life, err := parseSeconds(answer.ExpiresIn)
	if err != nil || life == 0 {
		return Token{Value: answer.Token}, err
	}
	return Token{Value: answer.Token, Expires: asked.Add(life)}, nil
}

var errExpiresIn = errors.New("expires_in is not a number of seconds above 0")

// parseSeconds reads a JSON number, or one in a string as some gateways write it; 0 where there is none.
func parseSeconds(raw json.RawMessage) (time.Duration, error) {
	s := string(bytes.Trim(raw, `"`))
	if s == "" || s == "null" {
		return 0, nil
	}
	const longest = 10 * 365 * 24 * time.Hour
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || !(seconds > 0) {
		return 0, errExpiresIn
	}
	return time.Duration(min(seconds, longest.Seconds()) * float64(time.Second)), nil
}
