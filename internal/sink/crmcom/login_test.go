package crmcom

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/config"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
	"sluice/internal/test/testkit"
)

var userLogin = Auth{Username: "jo", Password: config.NewSecret("s3cret"), Organisation: "org", Unit: "u1"}

func respondAllProcessed(call receivedRequest) (int, string) {
	var ids []string
	for _, part := range strings.Split(string(call.body), `"request_unique_identifier":"`)[1:] {
		ids = append(ids, part[:strings.IndexByte(part, '"')])
	}
	return 200, bulkResponse(processedRows(ids...), "[]")
}

func TestBothLoginsFollowTheVendorsPages(t *testing.T) {
	for _, c := range []struct {
		name          string
		auth          Auth
		path          string
		authorization string
		body          map[string]any
	}{
		{"web API key", Auth{WebAPIKey: config.NewSecret("key"), Unit: "u1"},
			"/crmapi/rest/v2/authentication/web_api_key/token",
			"Basic " + base64.StdEncoding.EncodeToString([]byte("key:")), map[string]any{"unit": "u1"}},
		{"web API key without unit", Auth{WebAPIKey: config.NewSecret("key")},
			"/crmapi/rest/v2/authentication/web_api_key/token",
			"Basic " + base64.StdEncoding.EncodeToString([]byte("key:")), map[string]any{}},
		{"user", userLogin, "/crmapi/rest/v2/authentication/token", "",
			map[string]any{"username": "jo", "password": "s3cret", "organisation": "org", "unit": "u1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &fakeVendor{respondToCall: respondAllProcessed}
			op := v.startServer(t, func(cfg *Config) { cfg.Auth = c.auth })["web"]
			if got := op.Send(t.Context(), newTestItems(1)); got.Class != sink.Delivered || got.TokenVersion == 0 {
				t.Fatalf("got %+v", got)
			}
			login := v.loginRequests()[0]
			var body map[string]any
			if err := json.Unmarshal(login.body, &body); err != nil {
				t.Fatal(err)
			}
			if login.method != "POST" || login.path != c.path || login.authorization != c.authorization ||
				login.contentType != "application/json" || !reflect.DeepEqual(body, c.body) {
				t.Errorf("got %+v with %v", login, body)
			}
			if call := v.callRequests()[0]; call.authorization != "" {
				t.Errorf("got a call with Authorization %q", call.authorization)
			}
		})
	}
}

func TestOperationsOfAnAccountShareAndRefreshOneToken(t *testing.T) {
	v := &fakeVendor{respondToCall: respondAllProcessed, respondToLogin: func(n int) (int, string) {
		return 200, strings.Replace(loginBody, "{{token}}", fmt.Sprintf("token-%d", n), 1)
	}}
	ops := v.startServer(t, nil)
	first := ops["purchases"].Send(t.Context(), newTestItems(1))
	second := ops["web"].Send(t.Context(), newTestItems(1))
	if len(v.loginRequests()) != 1 || first.TokenVersion != second.TokenVersion {
		t.Fatalf("got %d logins and token versions %d and %d, want one of each", len(v.loginRequests()),
			first.TokenVersion, second.TokenVersion)
	}
	for _, name := range []string{"purchases", "web"} {
		refresher, ok := ops[name].(sink.TokenRefresher)
		if !ok {
			t.Fatalf("%s is not a sink.TokenRefresher", name)
		}
		if err := refresher.RefreshToken(t.Context(), first.TokenVersion); err != nil {
			t.Fatal(err)
		}
	}
	refreshed := ops["referrals"].Send(t.Context(), newTestItems(1))
	if len(v.loginRequests()) != 2 || refreshed.TokenVersion == first.TokenVersion {
		t.Errorf("got %d logins and token version %d after %d, want 2 and a newer one", len(v.loginRequests()),
			refreshed.TokenVersion, first.TokenVersion)
	}
	if body := v.callRequests()[2].body; !strings.HasPrefix(string(body), `{"token":"token-2",`) {
		t.Errorf("got a call that begins %.40s, want token-2", body)
	}
}

func newJWT(claims string) string {
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestTokenIsReplacedBeforeItsExpiryOrAfterItsTTL(t *testing.T) {
	for _, c := range []struct {
		name  string
		token string
		ttl   time.Duration
		want  time.Duration
	}{
		{"opaque", "0123456789abcdef0123456789abcdef", 50 * time.Minute, 50 * time.Minute},
		{"JWT of two hours, claims as strings", newJWT(`{"iat":"1500000000","exp":"1500007200"}`), 50 * time.Minute,
			50 * time.Minute},
		{"JWT of half an hour, claims as numbers", newJWT(`{"iat":1500000000,"exp":1500001800}`), 50 * time.Minute,
			25 * time.Minute},
		{"JWT of six minutes", newJWT(`{"iat":1500000000,"exp":1500000360}`), 50 * time.Minute, 3 * time.Minute},
		// The clock of a synctest bubble starts at 2000-01-01.
		{"JWT without iat", newJWT(`{"exp":"946686600"}`), 50 * time.Minute, 25 * time.Minute},
		{"JWT that is past by this clock", newJWT(`{"exp":1}`), 50 * time.Minute, 50 * time.Minute},
		{"JWT without exp", newJWT(`{"iat":1}`), 50 * time.Minute, 50 * time.Minute},
		{"JWT for ever", newJWT(`{"iat":0,"exp":1e300}`), 50 * time.Minute, 50 * time.Minute},
		{"dots alone", "a.b.c", 50 * time.Minute, 50 * time.Minute},
		{"opaque with the shortest TTL", "0123456789abcdef", 5 * time.Minute, 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVendor{respondToCall: respondAllProcessed, respondToLogin: func(int) (int, string) {
					return 200, strings.Replace(loginBody, "{{token}}", c.token, 1)
				}}
				op := startInMemory(t, v, c.ttl)
				send := func(wantLogins int) {
					t.Helper()
					if got := op.Send(t.Context(), newTestItems(1)); got.Class != sink.Delivered ||
						len(v.loginRequests()) != wantLogins {
						t.Fatalf("got %+v and %d logins, want %d", got, len(v.loginRequests()), wantLogins)
					}
				}
				send(1)
				<-time.After(c.want - time.Millisecond)
				send(1)
				<-time.After(time.Millisecond)
				send(2)
			})
		})
	}
}

func startInMemory(t *testing.T, v *fakeVendor, ttl time.Duration) sink.Operation {
	t.Helper()
	var n testkit.Network
	base := testkit.ServeHTTP(t, &n, "crm.example:80", v)
	cfg := configFor(base+"/crmapi/rest/v2", userLogin)
	cfg.TokenTTL = ttl
	return newOperations(t, cfg, vendorhttp.Options{Transport: n.NewTransport()})["purchases"]
}

func TestFailedLoginIsTheResponseAndBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVendor{respondToLogin: func(int) (int, string) {
			return 200,
				refusedResponse("LoginException", "no user jo with s3cret")
		}}
		op := startInMemory(t, v, Default().TokenTTL)
		start := time.Now()
		for time.Since(start) < 6*time.Hour {
			got := op.Send(t.Context(), newTestItems(1))
			if got.Class != sink.Unauthorized || got.TokenVersion != 0 || got.ItemResults != nil || got.Err == nil ||
				got.RetryAfter > 15*time.Minute {
				t.Fatalf("got %+v", got)
			}
			if text := fmt.Sprintf("%+v", got); strings.Contains(text, "jo") || strings.Contains(text, "s3cret") {
				t.Fatalf("got a response with a secret: %s", text)
			}
			<-time.After(time.Second)
		}
		// The waits double from 1 s to 15 min and each is at least half of that: at most 11 logins
		// before the maximum and 2 per 15 min after it.
		if n := len(v.loginRequests()); n < 20 || n > 11+2*24 {
			t.Errorf("got %d logins in six hours, want 20 to 59", n)
		}
	})
}

func TestLoginFailureHasAClassThatSaysHowToWait(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   sink.ResultClass
	}{
		{"refused", 200, refusedResponse("ERROR", ""), sink.Unauthorized},
		{"refused with 400", 400, refusedResponse("InvalidCredentialsException", ""), sink.Unauthorized},
		{"refused with 401", 401, "", sink.Unauthorized},
		{"a failure of the vendor", 200, refusedResponse("ConnectionException", ""), sink.Unavailable},
		{"down", 503, "", sink.Unavailable},
		{"failing", 500, "<html>", sink.Unavailable},
		{"no such page", 404, "<html>", sink.Misconfigured},
		{"400 without an envelope", 400, "<html>", sink.Misconfigured},
		{"throttled", 429, "", sink.Throttled},
		{"not readable", 200, "<html>", sink.Unavailable},
		{"no status", 200, `{"data":{"token":"x"}}`, sink.Unavailable},
		{"no token", 200, `{"data":{},"status":{"code":"OK"}}`, sink.Misconfigured},
		{"a token too long for a call", 200, strings.Replace(loginBody, "{{token}}", strings.Repeat("x", tokenBytesMax),
			1), sink.Misconfigured},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &fakeVendor{respondToLogin: func(int) (int, string) { return c.status, c.body }}
			got := v.startServer(t, nil)["purchases"].Send(t.Context(), newTestItems(1))
			var loginErr *sink.DependencyError
			if got.Class != c.want || got.TokenVersion != 0 || got.MayHaveActed || !errors.As(got.Err, &loginErr) {
				t.Errorf("got %+v, want %v", got, c.want)
			}
			if len(v.callRequests()) != 0 {
				t.Errorf("got %d calls without a token, want 0", len(v.callRequests()))
			}
		})
	}
}
