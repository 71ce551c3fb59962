package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/test/testkit"
)

func TestLoginsAcceptOnlyValidCredentials(t *testing.T) {
	user := `{"username":"sandbox-user","password":"sandbox-password","organisation":"sandbox-organisation"%s}`
	tests := []struct {
		name   string
		vendor Vendor
		path   string
		media  string
		body   string
		header string
		status int
		has    string
	}{
		{
			"key", CRMCOM, keyLoginPath, jsonMedia, `{"unit":"1"}`, basicAuthorization(DefaultWebAPIKey), 200,
			`"code":"OK"`,
		},
		{
			"key without body", CRMCOM, keyLoginPath, jsonMedia, ``, basicAuthorization(DefaultWebAPIKey), 200,
			`"code":"OK"`,
		},
		{
			"wrong key", CRMCOM, keyLoginPath, jsonMedia, ``, basicAuthorization("other"), 200,
			`"code":"AuthenticationException"`,
		},
		{"no key", CRMCOM, keyLoginPath, jsonMedia, ``, "", 200, `"code":"AuthenticationException"`},
		{
			"key with an unknown parameter", CRMCOM, keyLoginPath, jsonMedia, `{"units":"1"}`,
			basicAuthorization(DefaultWebAPIKey), 200, `"code":"InvalidAPIParameterException"`,
		},
		{
			"null texts of the user login", CRMCOM, userLoginPath, jsonMedia, fmt.Sprintf(user, ""), "", 200,
			`"message":null`,
		},
		{"user", CRMCOM, userLoginPath, jsonMedia, fmt.Sprintf(user, ""), "", 200, `"code":"OK"`},
		{"user with unit", CRMCOM, userLoginPath, jsonMedia, fmt.Sprintf(user, `,"unit":"1"`), "", 200, `"code":"OK"`},
		{
			"wrong password", CRMCOM, userLoginPath, jsonMedia,
			strings.Replace(fmt.Sprintf(user, ""), "sandbox-password", "x", 1), "", 200,
			`"code":"AuthenticationException"`,
		},
		{
			"no organisation", CRMCOM, userLoginPath, jsonMedia, `{"username":"a","password":"b"}`, "", 200,
			`organisation is mandatory`,
		},
		{"user without JSON", CRMCOM, userLoginPath, jsonMedia, `x`, "", 200, `"code":"InvalidJSONException"`},
		{"Expoints client", Expoints, ExpointsTokenPath, formMedia, grantForm, "", 200, `"ext_expires_in":3600`},
		{"Propel client", Propel, PropelTokenPath, formMedia, grantForm, "", 200, `"expires_in":1800`},
		{
			"Basic client", Propel, PropelTokenPath, formMedia, "grant_type=client_credentials",
			"Basic c2FuZGJveC1jbGllbnQ6c2FuZGJveC1zZWNyZXQ=", 200, `"scope":"profile"`,
		},
		{"wrong secret", Propel, PropelTokenPath, formMedia, grantForm + "x", "", 401, `invalid_client`},
		{"other grant", Propel, PropelTokenPath, formMedia, "grant_type=password", "", 400, `unsupported_grant_type`},
		{"JSON instead of a form", Propel, PropelTokenPath, jsonMedia, grantForm, "", 400, `invalid_request`},
		{
			"duplicate parameter", Propel, PropelTokenPath, formMedia, grantForm + "&client_id=b", "", 400,
			`invalid_request`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := serveRequest(
				New(Options{}).Handler(tt.vendor), newPost(tt.path, tt.media, tt.body, "Authorization", tt.header),
			)
			if resp.status != tt.status || !strings.Contains(resp.body, tt.has) {
				t.Errorf("got %d %s, want %d with %s", resp.status, resp.body, tt.status, tt.has)
			}
		})
	}
}

func TestConfiguredScopeMustBeRequested(t *testing.T) {
	handler := New(Options{Expoints: ExpointsOptions{Scope: "api://x/.default"}}).Handler(Expoints)
	if resp := serveRequest(
		handler, newPost(ExpointsTokenPath, formMedia, grantForm),
	); resp.status != http.StatusBadRequest {
		t.Errorf("without scope: got %d, want 400", resp.status)
	}
	with := grantForm + "&scope=" + url.QueryEscape("api://x/.default")
	if resp := serveRequest(handler, newPost(ExpointsTokenPath, formMedia, with)); resp.status != http.StatusOK {
		t.Errorf("with scope: got %d, want 200", resp.status)
	}
}

func TestTokensExpireAfterTheirLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := New(Options{CRMCOM: CRMCOMOptions{TokenTTL: time.Hour}})
		token, later := loginCRM(t, server), loginCRM(t, server)
		testkit.AdvanceClock(time.Hour - 1)
		if resp := postCRMItems(
			t, server, "purchases", token, purchaseItem,
		); !strings.Contains(resp.body, `"code":"OK"`) {
			t.Errorf("before expiry: got %s, want OK", resp.body)
		}
		testkit.AdvanceClock(1)
		for _, token := range []string{token, later} {
			if resp := postCRMItems(
				t, server, "purchases", token, purchaseItem,
			); !strings.Contains(resp.body, crmInvalidToken) {
				t.Errorf("at expiry: got %s, want an invalid token", resp.body)
			}
		}
	})
}

// A vendor whose token is configured has nothing to expire.
func TestExpiredTokensDoNotAffectConfiguredToken(t *testing.T) {
	page := NewPage(CustomPage{
		Vendor: "kiosk", Token: "configured",
		Operations: []CustomOperation{{
			Name: "orders", Path: "/orders", ListKey: "orders", IDKey: "id", MaxItems: 1,
			CheckItem:  func(json.RawMessage) string { return "" },
			ResultBody: func(results []CustomResult) any { return results },
		}},
		ErrorBody: func(code, _ string, _ []int) any { return code },
	})
	script, err := NewScriptFor([]Page{page}, Rule{Name: "r", Operation: "kiosk", Do: Action{Fault: FaultExpireTokens}})
	if err != nil {
		t.Fatal(err)
	}
	server := New(Options{AdditionalPages: []Page{page}, Script: script})
	for token, want := range map[string]int{"configured": http.StatusOK, "other": http.StatusUnauthorized} {
		post := newPost("/orders", jsonMedia, `{"orders":[{"id":"1"}]}`, "Authorization", "Bearer "+token)
		if got := serveRequest(server.Handler("kiosk"), post).status; got != want {
			t.Errorf("token %s: got status %d, want %d", token, got, want)
		}
	}
	if got := server.Faults()["r"]; got != 0 {
		t.Errorf("the fault fired %d times, want never", got)
	}
}
