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

func allProcessed(call seen) (int, string) {
	var ids []string
	for _, part := range strings.Split(string(call.body), `"request_unique_identifier":"`)[1:] {
		ids = append(ids, part[:strings.IndexByte(part, '"')])
	}
	return 200, answered(done(ids...), "[]")
}

func TestBothLoginsAreAsTheVendorDocumentsThem(t *testing.T) {
	for _, c := range []struct {
		name          string
		auth          Auth
		path          string
		authorization string
		body          map[string]any
	}{
		{"web API key", Auth{WebAPIKey: config.NewSecret("key"), Unit: "u1"}, "/crmapi/rest/v2/authentication/web_api_key/token",
			"Basic " + base64.StdEncoding.EncodeToString([]byte("key:")), map[string]any{"unit": "u1"}},
		{"web API key without unit", Auth{WebAPIKey: config.NewSecret("key")}, "/crmapi/rest/v2/authentication/web_api_key/token",
			"Basic " + base64.StdEncoding.EncodeToString([]byte("key:")), map[string]any{}},
		{"user", userLogin, "/crmapi/rest/v2/authentication/token", "",
			map[string]any{"username": "jo", "password": "s3cret", "organisation": "org", "unit": "u1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &vendor{answer: allProcessed}
			op := v.start(t, func(cfg *Config) { cfg.Auth = c.auth })["web"]
			if got := op.Send(t.Context(), fakeItems(1)); got.Class != sink.Delivered || got.TokenVersion == 0 {
				t.Fatalf("got %+v", got)
			}
			login := v.logins()[0]
			var body map[string]any
			if err := json.Unmarshal(login.body, &body); err != nil {
				t.Fatal(err)
			}
			if login.method != "POST" || login.path != c.path || login.authorization != c.authorization ||
				login.contentType != "application/json" || !reflect.DeepEqual(body, c.body) {
				t.Errorf("got %+v with %v", login, body)
			}
			if call := v.calls()[0]; call.authorization != "" {
				t.Errorf("the call carries Authorization %q", call.authorization)
			}
		})
	}
}

func TestOperationsOfAnAccountShareOneTokenAndRenewItOnce(t *testing.T) {
	v := &vendor{answer: allProcessed, login: func(n int) (int, string) {
		return 200, strings.Replace(loginOK, "{{token}}", fmt.Sprintf("token-%d", n), 1)
	}}
	ops := v.start(t, nil)
	first := ops["purchases"].Send(t.Context(), fakeItems(1))
	second := ops["web"].Send(t.Context(), fakeItems(1))
	if len(v.logins()) != 1 || first.TokenVersion != second.TokenVersion {
		t.Fatalf("%d logins, tokens %d and %d", len(v.logins()), first.TokenVersion, second.TokenVersion)
	}
	for _, name := range []string{"purchases", "web"} {
		authorizer, ok := ops[name].(sink.TokenRefresher)
		if !ok {
			t.Fatalf("%s cannot renew its token", name)
		}
		if err := authorizer.RefreshToken(t.Context(), first.TokenVersion); err != nil {
			t.Fatal(err)
		}
	}
	renewed := ops["referrals"].Send(t.Context(), fakeItems(1))
	if len(v.logins()) != 2 || renewed.TokenVersion == first.TokenVersion {
		t.Errorf("%d logins, token %d after %d", len(v.logins()), renewed.TokenVersion, first.TokenVersion)
	}
	if body := v.calls()[2].body; !strings.HasPrefix(string(body), `{"token":"token-2",`) {
		t.Errorf("the call begins %.40s", body)
	}
}

func jwt(claims string) string {
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestTokenIsRenewedBeforeItsExpiryOrAfterItsTTL(t *testing.T) {
	for _, c := range []struct {
		name  string
		token string
		ttl   time.Duration
		want  time.Duration
	}{
		{"opaque", "0123456789abcdef0123456789abcdef", 50 * time.Minute, 50 * time.Minute},
		{"JWT of two hours, claims as strings", jwt(`{"iat":"1500000000","exp":"1500007200"}`), 50 * time.Minute, 50 * time.Minute},
		{"JWT of half an hour, claims as numbers", jwt(`{"iat":1500000000,"exp":1500001800}`), 50 * time.Minute, 25 * time.Minute},
		{"JWT of six minutes", jwt(`{"iat":1500000000,"exp":1500000360}`), 50 * time.Minute, 3 * time.Minute},
		// A bubble's clock begins at 2000-01-01.
		{"JWT without iat", jwt(`{"exp":"946686600"}`), 50 * time.Minute, 25 * time.Minute},
		{"JWT that is past by this clock", jwt(`{"exp":1}`), 50 * time.Minute, 50 * time.Minute},
		{"JWT without exp", jwt(`{"iat":1}`), 50 * time.Minute, 50 * time.Minute},
		{"JWT for ever", jwt(`{"iat":0,"exp":1e300}`), 50 * time.Minute, 50 * time.Minute},
		{"dots alone", "a.b.c", 50 * time.Minute, 50 * time.Minute},
		{"opaque with the shortest TTL", "0123456789abcdef", 5 * time.Minute, 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vendor{answer: allProcessed, login: func(int) (int, string) {
					return 200, strings.Replace(loginOK, "{{token}}", c.token, 1)
				}}
				op := startInBubble(t, v, c.ttl)
				send := func(wantLogins int) {
					t.Helper()
					if got := op.Send(t.Context(), fakeItems(1)); got.Class != sink.Delivered || len(v.logins()) != wantLogins {
						t.Fatalf("got %+v and %d logins, want %d", got, len(v.logins()), wantLogins)
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

func startInBubble(t *testing.T, v *vendor, ttl time.Duration) sink.Operation {
	t.Helper()
	var n testkit.Network
	base := testkit.ServeHTTP(t, &n, "crm.example:80", v)
	cfg := accountAt(base+"/crmapi/rest/v2", userLogin)
	cfg.TokenTTL = ttl
	return operations(t, cfg, vendorhttp.Options{Transport: n.Transport()})["purchases"]
}

func TestAFailedLoginIsTheAnswerAndBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{login: func(int) (int, string) { return 200, failed("LoginException", "no user jo with s3cret") }}
		op := startInBubble(t, v, Default().TokenTTL)
		start := time.Now()
		for time.Since(start) < 6*time.Hour {
			got := op.Send(t.Context(), fakeItems(1))
			if got.Class != sink.Unauthorized || got.TokenVersion != 0 || got.ItemResults != nil || got.Err == nil || got.RetryAfter > 15*time.Minute {
				t.Fatalf("got %+v", got)
			}
			if said := fmt.Sprintf("%+v", got); strings.Contains(said, "jo") || strings.Contains(said, "s3cret") {
				t.Fatalf("the answer tells a secret: %s", said)
			}
			<-time.After(time.Second)
		}
		// From 1 s, doubled up to 15 min, each at least half of it: at most 11 before the bound and
		// 2 in each quarter of an hour after.
		if n := len(v.logins()); n < 20 || n > 11+2*24 {
			t.Errorf("%d logins in six hours", n)
		}
	})
}

func TestALoginsFailureSaysHowToWait(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   sink.ResultClass
	}{
		{"refused", 200, failed("ERROR", ""), sink.Unauthorized},
		{"refused with 400", 400, failed("InvalidCredentialsException", ""), sink.Unauthorized},
		{"refused with 401", 401, "", sink.Unauthorized},
		{"the vendor's own trouble", 200, failed("ConnectionException", ""), sink.Unavailable},
		{"down", 503, "", sink.Unavailable},
		{"failing", 500, "<html>", sink.Unavailable},
		{"no such page", 404, "<html>", sink.Misconfigured},
		{"400 that is no envelope", 400, "<html>", sink.Misconfigured},
		{"throttled", 429, "", sink.Throttled},
		{"not readable", 200, "<html>", sink.Unavailable},
		{"no status", 200, `{"data":{"token":"x"}}`, sink.Unavailable},
		{"no token", 200, `{"data":{},"status":{"code":"OK"}}`, sink.Misconfigured},
		{"a token too long for a call", 200, strings.Replace(loginOK, "{{token}}", strings.Repeat("x", tokenBytesMax), 1), sink.Misconfigured},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &vendor{login: func(int) (int, string) { return c.status, c.body }}
			got := v.start(t, nil)["purchases"].Send(t.Context(), fakeItems(1))
			var unready *sink.DependencyError
			if got.Class != c.want || got.TokenVersion != 0 || got.MayHaveActed || !errors.As(got.Err, &unready) {
				t.Errorf("got %+v, want %v", got, c.want)
			}
			if len(v.calls()) != 0 {
				t.Errorf("%d calls were made without a token", len(v.calls()))
			}
		})
	}
}
