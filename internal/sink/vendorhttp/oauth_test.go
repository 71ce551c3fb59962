package vendorhttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/sink"
)

func TestClientCredentialsAreSentInTheConfiguredStyle(t *testing.T) {
	for _, c := range []struct {
		style             ClientAuthStyle
		scope, form, user string
	}{
		{"", "", "client_id=id%3A1&client_secret=s%26%C3%A9&grant_type=client_credentials", ""},
		{AuthInBody, "api://x/.default", "client_id=id%3A1&client_secret=s%26%C3%A9&grant_type=client_credentials&scope=api%3A%2F%2Fx%2F.default", ""},
		{AuthInHeader, "", "grant_type=client_credentials", "id%3A1 s%26%C3%A9"},
	} {
		var form, user, kind string
		srv := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			name, password, _ := r.BasicAuth()
			form, user, kind = string(b), strings.TrimSpace(name+" "+password),
				r.Method+" "+r.Header.Get("Content-Type")
			io.WriteString(w, `{"access_token":"abc"}`)
		})
		token, err := ClientCredentials(newClient(t, Options{}), srv.URL, "id:1", "s&é", c.scope, c.style)(t.Context())
		srv.Close()
		if err != nil || token.Value != "abc" || !token.Expires.IsZero() {
			t.Errorf("style %q: token %+v, error %v", c.style, token, err)
		}
		if form != c.form || user != c.user || kind != "POST application/x-www-form-urlencoded" {
			t.Errorf("style %q: form %s, user %s, %s", c.style, form, user, kind)
		}
	}
}

func TestTokenResponseIsParsedLeniently(t *testing.T) {
	requestedAt := time.Now()
	for _, c := range []struct {
		body     string
		lifetime time.Duration // 0: none
		want     error
	}{
		{`{"access_token":"abc","expires_in":1800,"token_type":"Bearer"}`, 30 * time.Minute, nil},
		{`{"access_token":"abc","expires_in":"1899","token_type":"BearerToken","status":"approved"}`,
			1899 * time.Second, nil},
		{`{"access_token":"abc","expires_in":0.5}`, 500 * time.Millisecond, nil},
		{`{"access_token":"abc","expires_in":1e300}`, 10 * 365 * 24 * time.Hour, nil},
		{`{"access_token":"abc"}`, 0, nil},
		{`{"access_token":"abc","expires_in":null}`, 0, nil},
		{`{"access_token":"abc","expires_in":""}`, 0, nil},
		{`{"access_token":"abc","expires_in":0}`, 0, errExpiresIn},
		{`{"access_token":"abc","expires_in":-1}`, 0, errExpiresIn},
		{`{"access_token":"abc","expires_in":"NaN"}`, 0, errExpiresIn},
		{`{"access_token":"abc","expires_in":"soon"}`, 0, errExpiresIn},
		{`{"access_token":"abc","expires_in":{}}`, 0, errExpiresIn},
		{`{"access_token":""}`, 0, errNoToken},
		{`{"access_token":7}`, 0, errNoToken},
		{`{}`, 0, errNoToken},
		{`<html>`, 0, errNoToken},
		{``, 0, errNoToken},
	} {
		token, err := parseToken([]byte(c.body), requestedAt)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.body, err, c.want)
			continue
		}
		wantExpires := time.Time{}
		if c.lifetime != 0 {
			wantExpires = requestedAt.Add(c.lifetime)
		}
		if err == nil && (token.Value != "abc" || !token.Expires.Equal(wantExpires)) {
			t.Errorf("%s: got %+v", c.body, token)
		}
	}
}

func TestRefusedLoginDiffersFromOneThatCouldNotBeTried(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, code string
		want       sink.ResultClass
	}{
		{400, `{"error":"invalid_client","error_description":"id jan@example.nl"}`, "invalid_client",
			sink.Unauthorized},
		{400, `{"error":"unauthorized_client"}`, "unauthorized_client", sink.Unauthorized},
		{400, `{"error":"invalid_scope"}`, "invalid_scope", sink.Misconfigured},
		{400, `{"error":7}`, "", sink.Misconfigured},
		{401, ``, "", sink.Unauthorized},
		{403, `<html>`, "", sink.Unauthorized},
		{404, ``, "", sink.Misconfigured},
		{302, ``, "", sink.Misconfigured},
		{429, ``, "", sink.Throttled},
		{500, ``, "", sink.Unavailable},
		{504, ``, "", sink.Unavailable},
		{200, `{"access_token":`, "", sink.Misconfigured},
		{200, strings.Repeat(" ", tokenMaxBody+1), "", sink.Unavailable},
	} {
		srv := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		_, _, err := NewTokenSource(ClientCredentials(newClient(t, Options{}), srv.URL, "id", secret, "", ""),
			0).Get(t.Context())
		srv.Close()
		a := checkLoginError(t, err, c.want)
		if a.Status != c.status || a.Code != c.code || a.MayHaveActed {
			t.Errorf("%d %.40s: got %+v", c.status, c.body, a)
		}
		if text := fmt.Sprintf("%v %s", err, a.Message); strings.Contains(text, secret) ||
			strings.Contains(text, "jan@") {
			t.Errorf("%d: got an error with a secret or an address: %s", c.status, text)
		}
	}
}

func TestInvalidTokenURLIsNotQuoted(t *testing.T) {
	_, err := ClientCredentials(http.DefaultClient, "http://u:"+secret+"@%zz", "id", secret, "", "")(t.Context())
	checkLoginError(t, err, sink.Misconfigured)
	if !errors.Is(err, errTokenURL) || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}
