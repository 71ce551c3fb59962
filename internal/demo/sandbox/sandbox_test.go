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

// columns are a tenant's; 1 is the column of the vendor's samples.
var columns = []Column{
	{ID: 1, Name: "event_id"},
	{ID: 15, Name: "First_name_customer", DisplayName: "First name customer", Required: true},
	{ID: 16, Name: "Old", Archived: true, Required: true},
}

// answer is what a client saw; status 0 is a connection closed without an answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// json reads the body.
func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("answer %d %q: %v", a.status, a.body, err)
	}
	return v
}

// do calls a handler without a network, so that it works in a bubble too.
func do(h http.Handler, r *http.Request) (a answer) {
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			a = answer{}
		}
	}()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func post(path, media, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
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

// crmToken logs in with the web API key.
func crmToken(t testing.TB, s *Server) string {
	t.Helper()
	a := do(s.Handler(CRMCOM), post(keyLoginPath, jsonMedia, "", "Authorization", basic(DefaultWebAPIKey)))
	data, _ := a.json(t)["data"].(map[string]any)
	token, _ := data["token"].(string)
	if token == "" {
		t.Fatalf("login: %d %s", a.status, a.body)
	}
	return token
}

// oauthToken logs in as the default client.
func oauthToken(t *testing.T, s *Server, v Vendor) string {
	t.Helper()
	path := map[Vendor]string{Expoints: ExpointsTokenPath, Propel: PropelTokenPath}[v]
	a := do(s.Handler(v), post(path, formMedia, grantForm))
	token, _ := a.json(t)["access_token"].(string)
	if token == "" {
		t.Fatalf("login: %d %s", a.status, a.body)
	}
	return token
}

// crm sends items to a method of CRM.COM, each as JSON.
func crm(t *testing.T, s *Server, operation, token string, items ...string) answer {
	t.Helper()
	for _, page := range crmPages {
		if page.operation == operation {
			body := fmt.Sprintf(`{"token":%q,%q:[%s]}`, token, page.set, strings.Join(items, ","))
			return do(s.Handler(CRMCOM), post(crmPath(page.path), jsonMedia, body))
		}
	}
	t.Fatalf("no operation %q", operation)
	return answer{}
}

func bearing(path, token, body string) *http.Request {
	return post(path, jsonMedia, body, "Authorization", "Bearer "+token)
}

// send posts a body with a fresh token for its vendor; {{token}} in a CRM.COM body is the token's place.
func send(t *testing.T, s *Server, v Vendor, path, body string) answer {
	t.Helper()
	if v == CRMCOM {
		return do(s.Handler(v), post(path, jsonMedia, strings.ReplaceAll(body, "{{token}}", crmToken(t, s))))
	}
	return do(s.Handler(v), bearing(path, oauthToken(t, s, v), body))
}

func golden(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fields are the keys to change in a JSON object; absent takes a key out.
type fields map[string]any

type absence struct{}

var absent any = absence{}

// with is a JSON object's text with keys changed.
func with(item string, changes fields) string {
	var o map[string]any
	dec := json.NewDecoder(strings.NewReader(item))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		panic(err) // the test's own text
	}
	maps.Copy(o, changes)
	maps.DeleteFunc(o, func(_ string, v any) bool { return v == absent })
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// scripted is a server with rules, which must be valid.
func scripted(t testing.TB, o Options, rules ...Rule) *Server {
	t.Helper()
	script, err := NewScript(rules...)
	if err != nil {
		t.Fatal(err)
	}
	o.Script = script
	return New(o)
}

func accepted(s *Server, operation string) []string {
	var ids []string
	for e := range s.Ledger().AllEntries(operation) {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestAnUnknownVendorAnswers404(t *testing.T) {
	if a := do(New(Options{}).Handler("other"), post("/", jsonMedia, "{}")); a.status != http.StatusNotFound {
		t.Errorf("got %d", a.status)
	}
}

func TestCallsWithoutLoginAreRefused(t *testing.T) {
	s := New(Options{Expoints: ExpointsOptions{Columns: columns, BearerToken: "static"}})
	tests := []struct {
		vendor     Vendor
		path, body string
	}{
		{Expoints, expointsPath("add"), batch(feedbackItem)},
		{Expoints, expointsPath("addfinished"), `{"Customer":{}}`},
		{Expoints, expointsPath("addlock"), `{}`},
		{Propel, propelPath, `{"customers":[` + customerItem + `]}`},
	}
	for _, tt := range tests {
		for _, header := range []string{"", "Bearer", "Bearer x", "Basic static"} {
			if a := do(s.Handler(tt.vendor), post(tt.path, jsonMedia, tt.body, "Authorization", header)); a.status != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d %s", tt.path, header, a.status, a.body)
			}
		}
	}
	if a := do(s.Handler(Expoints), bearing(expointsPath("add"), "static", batch(feedbackItem))); a.status != http.StatusOK {
		t.Errorf("the static token: %d %s", a.status, a.body)
	}
	if s.Ledger().Count("propel.customers")+s.Ledger().Count("expoints.add") != 1 {
		t.Error("the ledger holds a call without login")
	}
}

func TestABodyOverTheBoundIs413(t *testing.T) {
	s := New(Options{MaxBodyBytes: 100})
	if a := do(s.Handler(CRMCOM), post(crmPath("web"), jsonMedia, strings.Repeat(" ", 101))); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d", a.status)
	}
	if n := s.Ledger().Calls("crmcom.web").Failures[413]; n != 1 {
		t.Errorf("counted %d", n)
	}
}

func TestAnotherMethodIs405(t *testing.T) {
	r := post(propelPath, jsonMedia, "")
	r.Method = http.MethodPut
	if a := do(New(Options{}).Handler(Propel), r); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost {
		t.Errorf("got %d %v", a.status, a.header)
	}
}
