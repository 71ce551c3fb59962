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

// ClientAuthStyle is where an OAuth 2.0 client puts its ID and secret (RFC 6749, section 2.3.1).
type ClientAuthStyle string

// The client authentication styles. The empty style is AuthInBody.
const (
	AuthInBody   ClientAuthStyle = "body"
	AuthInHeader ClientAuthStyle = "header"
)

// tokenMaxBody bounds the body of a token response in bytes. Even long JWTs have only a few
// kilobytes.
const tokenMaxBody = 64 << 10

// errTokenURL omits the underlying error, which quotes the URL with any password in it.
var errTokenURL = errors.New("the token URL is not a URL")

// ClientCredentials returns a FetchToken that uses the client credentials grant of OAuth 2.0 (RFC
// 6749, section 4.4). The scope may be empty. The token's type is ignored, because gateways
// variously return Bearer, bearer and BearerToken. A token without expires_in is used until the
// vendor refuses it.
func ClientCredentials(
	client *http.Client, tokenURL, clientID, clientSecret, scope string, style ClientAuthStyle,
) FetchToken {
	return func(ctx context.Context) (Token, error) {
		req, err := newTokenRequest(ctx, tokenURL, clientID, clientSecret, scope, style)
		if err != nil {
			return Token{}, newLoginError(sink.Misconfigured, err)
		}
		requestedAt := time.Now()
		exchange := RoundTrip(ctx, client, req, tokenMaxBody)
		response := ClassifyExchange(exchange)
		if response.Class != sink.Delivered {
			return Token{}, LoginError(readTokenError(exchange.Body, response))
		}
		token, err := parseToken(exchange.Body, requestedAt)
		if err != nil {
			loginErr := newLoginError(sink.Misconfigured, err)
			loginErr.Response.Status = exchange.Status
			return Token{}, loginErr
		}
		return token, nil
	}
}

func newTokenRequest(
	ctx context.Context, tokenURL, clientID, clientSecret, scope string, style ClientAuthStyle,
) (*http.Request, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if scope != "" {
		form.Set("scope", scope)
	}
	if style != AuthInHeader {
		form.Set("client_id", clientID)
		form.Set("client_secret", clientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errTokenURL
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if style == AuthInHeader {
		req.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(clientSecret))
	}
	return req, nil
}

// readTokenError adds the code and the description if the body is an error response of RFC 6749,
// section 5.2. Some of its codes concern the client's credentials, the others the request.
func readTokenError(body []byte, response sink.Response) sink.Response {
	var refusal struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &refusal) == nil {
		response.Code, response.Message = Redact(refusal.Error), Redact(refusal.Description)
	}
	if response.Class == sink.Rejected {
		switch refusal.Error {
		case "invalid_client", "invalid_grant", "unauthorized_client", "access_denied":
			response.Class = sink.Unauthorized
		}
	}
	return response
}

func parseToken(body []byte, requestedAt time.Time) (Token, error) {
	var response struct {
		Token     string          `json:"access_token"`
		ExpiresIn json.RawMessage `json:"expires_in"`
	}
	// The decoder's error is omitted because it may quote the body, which contains a token.
	if json.Unmarshal(body, &response) != nil || response.Token == "" {
		return Token{}, errNoToken
	}
	lifetime, err := parseSeconds(response.ExpiresIn)
	if err != nil || lifetime == 0 {
		return Token{Value: response.Token}, err
	}
	return Token{Value: response.Token, Expires: requestedAt.Add(lifetime)}, nil
}

var errExpiresIn = errors.New("expires_in is not a number of seconds above 0")

// parseSeconds parses a number of seconds, which some gateways write as a JSON string. It returns 0
// if there is none, and at most ten years.
func parseSeconds(raw json.RawMessage) (time.Duration, error) {
	text := string(bytes.Trim(raw, `"`))
	if text == "" || text == "null" {
		return 0, nil
	}
	const longest = 10 * 365 * 24 * time.Hour
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0) {
		return 0, errExpiresIn
	}
	return time.Duration(min(seconds, longest.Seconds()) * float64(time.Second)), nil
}
