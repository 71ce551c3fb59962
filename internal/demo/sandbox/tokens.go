package sandbox

import (
	"encoding/base64"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// tokenStore issues and checks the tokens of one vendor. Tokens are numbered consecutively to keep
// runs reproducible; the sandbox has nothing to protect.
type tokenStore struct {
	prefix   string
	lifetime time.Duration

	mu     sync.Mutex
	issued int
	expiry map[string]time.Time
}

func newTokenStore(prefix string, ttl, standard time.Duration) *tokenStore {
	if ttl == 0 {
		ttl = standard
	}
	return &tokenStore{prefix: prefix, lifetime: ttl, expiry: map[string]time.Time{}}
}

func (t *tokenStore) issueToken() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.expiry, func(_ string, until time.Time) bool { return !time.Now().Before(until) })
	t.issued++
	token := fmt.Sprintf("%s%032x", t.prefix, t.issued)
	t.expiry[token] = time.Now().Add(t.lifetime)
	return token
}

func (t *tokenStore) isValid(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, issued := t.expiry[token]
	return issued && time.Now().Before(until)
}

func (t *tokenStore) expireAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.expiry)
}

// oauthClient is an OAuth 2.0 client (RFC 6749, section 2.3.1) known to a token endpoint.
type oauthClient struct{ id, secret string }

// grantToken responds to a client credentials grant (RFC 6749, section 4.4). extra are the fields
// that the vendor adds to the response.
func (t *tokenStore) grantToken(call *vendorCall, known oauthClient, extra map[string]any) response {
	form, err := url.ParseQuery(string(call.body))
	if media, _, _ := mime.ParseMediaType(call.request.Header.Get("Content-Type")); err != nil ||
		media != "application/x-www-form-urlencoded" {
		return oauthError(http.StatusBadRequest, "invalid_request")
	}
	for key, values := range form {
		if len(values) != 1 {
			return oauthError(http.StatusBadRequest, "invalid_request: "+key+" occurs more than once")
		}
	}
	if form.Get("grant_type") != "client_credentials" {
		return oauthError(http.StatusBadRequest, "unsupported_grant_type")
	}
	given := oauthClient{form.Get("client_id"), form.Get("client_secret")}
	if id, secret, basic := call.request.BasicAuth(); basic {
		given = oauthClient{formUnescape(id), formUnescape(secret)}
	}
	if given != known {
		return oauthError(http.StatusUnauthorized, "invalid_client")
	}
	fields := map[string]any{
		"access_token": t.issueToken(), "token_type": "Bearer", "expires_in": int(t.lifetime / time.Second),
	}
	for key, value := range extra {
		fields[key] = value
	}
	return jsonResponse(http.StatusOK, fields)
}

// formUnescape decodes the form encoding of credentials in a Basic header (RFC 6749, section
// 2.3.1).
func formUnescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

func oauthError(status int, code string) response {
	return jsonResponse(status, map[string]any{"error": code})
}

// bearerToken returns the token of an Authorization header (RFC 6750, section 2.1), or "".
func bearerToken(request *http.Request) string {
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// basicAuthorization returns the Authorization header for a user name with an empty password (RFC
// 7617).
func basicAuthorization(name string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"))
}
