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

// tokenStore are the logins of one vendor. They count up, so that a run is repeatable; a sandbox guards nothing.
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

// oauthClient is an OAuth2 client (RFC 6749, section 2.3.1) that a token endpoint knows.
type oauthClient struct{ id, secret string }

// grantToken answers a token request with the client credentials grant (RFC 6749, section 4.4); what is added to the answer is the vendor's.
func (t *tokenStore) grantToken(call *vendorCall, known oauthClient, added map[string]any) response {
	form, err := url.ParseQuery(string(call.body))
	if media, _, _ := mime.ParseMediaType(call.request.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
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
	answer := map[string]any{"access_token": t.issueToken(), "token_type": "Bearer", "expires_in": int(t.lifetime / time.Second)}
	for key, value := range added {
		answer[key] = value
	}
	return jsonResponse(http.StatusOK, answer)
}

// formUnescape undoes the form encoding that RFC 6749, section 2.3.1 asks for inside Basic credentials.
func formUnescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

func oauthError(status int, code string) response {
	return jsonResponse(status, map[string]any{"error": code})
}

// bearerToken is the token of an Authorization header (RFC 6750, section 2.1).
func bearerToken(request *http.Request) string {
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// basicAuthorization is the value of an Authorization header for a name and an empty password (RFC 7617).
func basicAuthorization(name string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"))
}
