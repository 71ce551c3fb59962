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

// tokens are the logins of one vendor. They count up, so that a run is repeatable; a sandbox guards nothing.
type tokens struct {
	prefix string
	ttl    time.Duration

	mu     sync.Mutex
	issued int
	until  map[string]time.Time
}

func newTokens(prefix string, ttl, standard time.Duration) *tokens {
	if ttl == 0 {
		ttl = standard
	}
	return &tokens{prefix: prefix, ttl: ttl, until: map[string]time.Time{}}
}

func (t *tokens) issue() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.until, func(_ string, until time.Time) bool { return !time.Now().Before(until) })
	t.issued++
	token := fmt.Sprintf("%s%032x", t.prefix, t.issued)
	t.until[token] = time.Now().Add(t.ttl)
	return token
}

func (t *tokens) valid(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, issued := t.until[token]
	return issued && time.Now().Before(until)
}

func (t *tokens) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.until)
}

// client is an OAuth2 client (RFC 6749, section 2.3.1) that a token endpoint knows.
type client struct{ id, secret string }

// grant answers a token request with the client credentials grant (RFC 6749, section 4.4); what is added to the answer is the vendor's.
func (t *tokens) grant(c *call, known client, added map[string]any) reply {
	form, err := url.ParseQuery(string(c.body))
	if media, _, _ := mime.ParseMediaType(c.request.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
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
	given := client{form.Get("client_id"), form.Get("client_secret")}
	if id, secret, basic := c.request.BasicAuth(); basic {
		given = client{unescaped(id), unescaped(secret)}
	}
	if given != known {
		return oauthError(http.StatusUnauthorized, "invalid_client")
	}
	answer := map[string]any{"access_token": t.issue(), "token_type": "Bearer", "expires_in": int(t.ttl / time.Second)}
	for key, value := range added {
		answer[key] = value
	}
	return jsonReply(http.StatusOK, answer)
}

// unescaped undoes the form encoding that RFC 6749, section 2.3.1 asks for inside Basic credentials.
func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func oauthError(status int, code string) reply {
	return jsonReply(status, map[string]any{"error": code})
}

// bearer is the token of an Authorization header (RFC 6750, section 2.1).
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// basic is the value of an Authorization header for a name and an empty password (RFC 7617).
func basic(name string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"))
}
