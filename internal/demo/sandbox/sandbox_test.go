package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// testColumns are a tenant's columns. Column 1 is the one in the vendor's samples.
var testColumns = []Column{
	{ID: 1, Name: "event_id"},
	{ID: 15, Name: "First_name_customer", DisplayName: "First name customer", Required: true},
	{ID: 16, Name: "Old", Archived: true, Required: true},
}

// clientResponse is what a client received. Status 0 is a connection closed without a response.
type clientResponse struct {
	status int
	header http.Header
	body   string
}

// decodeJSON decodes the body.
func (a clientResponse) decodeJSON(t testing.TB) map[string]any {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal([]byte(a.body), &document); err != nil {
		t.Fatalf("decoding response %d %q: %v", a.status, a.body, err)
	}
	return document
}

// serveRequest calls a handler without a network, so that it also works in a bubble.
func serveRequest(handler http.Handler, req *http.Request) (resp clientResponse) {
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			resp = clientResponse{}
		}
	}()
	handler.ServeHTTP(w, req)
	return clientResponse{w.Code, w.Header(), w.Body.String()}
}

func newPost(path, media, body string, headers ...string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	req.Header.Set("Content-Type", media)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

const (
	keyLoginPath  = "/crmapi/rest/v2/authentication/web_api_key/token"
	userLoginPath = "/crmapi/rest/v2/authentication/token"
	propelPath    = "/v2/customers/bulk/sourceId"
	grantForm     = "grant_type=client_credentials&client_id=sandbox-client&client_secret=sandbox-secret"
	formMedia     = "application/x-www-form-urlencoded"
	jsonMedia     = "application/json"
	purchaseItem  = `{"request_unique_identifier":"p-0-1","accounts_receivable_identifier":{"number":"ACR1"},"performed_by_unit_identifier":{"name":"Admin Unit"},"performed_on":"2016-06-22T15:00:00","reference_number":"RF01","products_set":[{"product_identifier":{"code":"Bronze"},"total_amount":180.25,"net_amount":160,"vat_amount":20.25}]}`
	referralItem  = `{"request_unique_identifier":"r-0-1","performed_by_unit_identifier":{"name":"Admin Unit"},"performed_on":"2016-06-22T15:00:00","referred_rewards_participant_identifier":{"number":"RP17"},"referred_by_rewards_participant_identifier":{"number":"RP10"}}`
	feedbackItem  = `{"Email":"a@example.com","Data":[{"CustomerDataColumnId":1,"Value":"e-1"},{"CustomerDataColumnId":15,"Value":"John"}]}`
	customerItem  = `{"source":"MBC","sourceId":"K72","firstName":"A"}`
)

func crmPath(operation string) string {
	return "/crmapi/rest/v2/customer_events/bulk/" + operation + "/create"
}

func expointsPath(operation string) string { return "/external/api/v3/customer/" + operation }

// loginCRM logs in with the Web API key and returns the token.
func loginCRM(t testing.TB, server *Server) string {
	t.Helper()
	resp := serveRequest(
		server.Handler(CRMCOM),
		newPost(keyLoginPath, jsonMedia, "", "Authorization", basicAuthorization(DefaultWebAPIKey)),
	)
	data, _ := resp.decodeJSON(t)["data"].(map[string]any)
	token, _ := data["token"].(string)
	if token == "" {
		t.Fatalf("login: got %d %s, want a token", resp.status, resp.body)
	}
	return token
}

// loginOAuth logs in as the default client and returns the token.
func loginOAuth(t *testing.T, server *Server, vendor Vendor) string {
	t.Helper()
	path := map[Vendor]string{Expoints: ExpointsTokenPath, Propel: PropelTokenPath}[vendor]
	resp := serveRequest(server.Handler(vendor), newPost(path, formMedia, grantForm))
	token, _ := resp.decodeJSON(t)["access_token"].(string)
	if token == "" {
		t.Fatalf("login: got %d %s, want a token", resp.status, resp.body)
	}
	return token
}

// postCRMItems sends items, each as JSON, to one of CRM.COM's operations.
func postCRMItems(t *testing.T, server *Server, operation, token string, items ...string) clientResponse {
	t.Helper()
	for _, page := range crmPages {
		if page.operation == operation {
			body := fmt.Sprintf(`{"token":%q,%q:[%s]}`, token, page.set, strings.Join(items, ","))
			return serveRequest(server.Handler(CRMCOM), newPost(crmPath(page.path), jsonMedia, body))
		}
	}
	t.Fatalf("unknown operation %q", operation)
	return clientResponse{}
}

func newBearerPost(path, token, body string) *http.Request {
	return newPost(path, jsonMedia, body, "Authorization", "Bearer "+token)
}

// postWithLogin posts a body with a new token. In a CRM.COM body the token replaces {{token}}.
func postWithLogin(t *testing.T, server *Server, vendor Vendor, path, body string) clientResponse {
	t.Helper()
	if vendor == CRMCOM {
		return serveRequest(
			server.Handler(vendor),
			newPost(path, jsonMedia, strings.ReplaceAll(body, "{{token}}", loginCRM(t, server))),
		)
	}
	return serveRequest(server.Handler(vendor), newBearerPost(path, loginOAuth(t, server, vendor), body))
}

func readTestdata(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// fields are keys to set in a JSON object; the value absent removes a key.
type fields map[string]any

type absence struct{}

var absent any = absence{}

// withChanges returns the JSON object with the keys changed.
func withChanges(item string, changes fields) string {
	var o map[string]any
	dec := json.NewDecoder(strings.NewReader(item))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		panic(err) // the test's own literal is not valid JSON
	}
	maps.Copy(o, changes)
	maps.DeleteFunc(o, func(_ string, value any) bool { return value == absent })
	data, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// newScriptedServer returns a server with the given rules, which must be valid.
func newScriptedServer(t testing.TB, opts Options, rules ...Rule) *Server {
	t.Helper()
	script, err := NewScript(rules...)
	if err != nil {
		t.Fatal(err)
	}
	opts.Script = script
	return New(opts)
}

func acceptedIDs(server *Server, operation string) []string {
	var ids []string
	for entry := range server.Ledger().AllEntries(operation) {
		ids = append(ids, entry.ID)
	}
	return ids
}

func TestUnknownVendorRespondsWith404(t *testing.T) {
	if resp := serveRequest(
		New(Options{}).Handler("other"), newPost("/", jsonMedia, "{}"),
	); resp.status != http.StatusNotFound {
		t.Errorf("got %d, want 404", resp.status)
	}
}

func TestCallsWithoutValidTokenAreRefused(t *testing.T) {
	server := New(Options{Expoints: ExpointsOptions{Columns: testColumns, BearerToken: "static"}})
	tests := []struct {
		vendor     Vendor
		path, body string
	}{
		{Expoints, expointsPath("add"), customerBatch(feedbackItem)},
		{Expoints, expointsPath("addfinished"), `{"Customer":{}}`},
		{Expoints, expointsPath("addlock"), `{}`},
		{Propel, propelPath, `{"customers":[` + customerItem + `]}`},
	}
	for _, tt := range tests {
		for _, header := range []string{"", "Bearer", "Bearer x", "Basic static"} {
			if resp := serveRequest(
				server.Handler(tt.vendor), newPost(tt.path, jsonMedia, tt.body, "Authorization", header),
			); resp.status != http.StatusUnauthorized {
				t.Errorf("%s with %q: got %d %s, want 401", tt.path, header, resp.status, resp.body)
			}
		}
	}
	if resp := serveRequest(
		server.Handler(Expoints), newBearerPost(expointsPath("add"), "static", customerBatch(feedbackItem)),
	); resp.status != http.StatusOK {
		t.Errorf("static token: got %d %s, want 200", resp.status, resp.body)
	}
	if server.Ledger().Count("propel.customers")+server.Ledger().Count("expoints.add") != 1 {
		t.Error("the ledger contains items of calls without a valid token")
	}
}

func TestTooLargeBodyRespondsWith413(t *testing.T) {
	server := New(Options{MaxBodyBytes: 100})
	if resp := serveRequest(
		server.Handler(CRMCOM), newPost(crmPath("web"), jsonMedia, strings.Repeat(" ", 101)),
	); resp.status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d, want 413", resp.status)
	}
	if count := server.Ledger().Calls("crmcom.web").Failures[413]; count != 1 {
		t.Errorf("413 failures: got %d, want 1", count)
	}
}

func TestWrongMethodRespondsWith405(t *testing.T) {
	req := newPost(propelPath, jsonMedia, "")
	req.Method = http.MethodPut
	if resp := serveRequest(New(Options{}).Handler(Propel), req); resp.status != http.StatusMethodNotAllowed ||
		resp.header.Get("Allow") != http.MethodPost {
		t.Errorf("got %d %v, want 405 and Allow: POST", resp.status, resp.header)
	}
}
