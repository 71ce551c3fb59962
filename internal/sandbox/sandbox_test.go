package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
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

// send posts a body with a fresh token for its vendor; %s in a CRM.COM body is the token's place.
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

// TestCRMCOMAnswersThePagesExamplesAsThePageDoes catches a rule that is stricter than the page, and an answer of another form.
func TestCRMCOMAnswersThePagesExamplesAsThePageDoes(t *testing.T) {
	for _, operation := range []string{"purchases", "referrals", "achievements", "social_media", "web", "financial_achievements"} {
		t.Run(operation, func(t *testing.T) {
			s := New(Options{CRMCOM: CRMCOMOptions{
				AccountExists: func(id string) bool { return strings.HasPrefix(id, "RP") || len(id) == len("ACR0000000228") },
				Referred:      []string{"RP0000000004"},
			}})
			a := send(t, s, CRMCOM, crmPath(operation), golden(t, "crmcom."+operation+".request.json"))
			want := answer{body: golden(t, "crmcom."+operation+".response.json")}.json(t)
			if got := a.json(t); !reflect.DeepEqual(anonymous(got), anonymous(want)) {
				t.Errorf("got %v\nwant %v", got, want)
			}
			processed := want["data"].(map[string]any)["processed_customer_events_set"].([]any)
			if n := s.Ledger().Count("crmcom." + operation); n != len(processed) {
				t.Errorf("ledger has %d, want %d", n, len(processed))
			}
		})
	}
}

// anonymous takes out what the vendor numbers itself.
func anonymous(v map[string]any) map[string]any {
	for _, row := range v["data"].(map[string]any)["processed_customer_events_set"].([]any) {
		m := row.(map[string]any)
		for _, key := range []string{"id", "number"} {
			if s, _ := m[key].(string); s != "" {
				m[key] = "given"
			}
		}
	}
	return v
}

func TestExpointsTakesThePagesSamples(t *testing.T) {
	// The samples' placeholders break rules that the same pages state: a batch type, an address twice.
	stated := strings.NewReplacer(`"TypeBatch": "sample string 3"`, `"TypeBatch": "email"`, `"AllowDuplicateEmail": false`, `"AllowDuplicateEmail": true`)
	for _, operation := range []string{"add", "addfinished", "addlock"} {
		t.Run(operation, func(t *testing.T) {
			s := New(Options{Expoints: ExpointsOptions{Columns: columns[:1], EventIDColumn: "event_id"}})
			body := stated.Replace(golden(t, "expoints."+operation+".request.json"))
			a := send(t, s, Expoints, expointsPath(operation), body)
			if a.status != http.StatusOK || a.body != "" {
				t.Fatalf("got %d %q, want 200 and no body", a.status, a.body)
			}
			for e := range s.Ledger().All("expoints." + operation) {
				if e.ID != "sample string 3" {
					t.Errorf("ledger has id %q", e.ID)
				}
			}
			if s.Ledger().Count("expoints."+operation) == 0 {
				t.Error("ledger is empty")
			}
		})
	}
}

func TestPropelCreatesThenUpdates(t *testing.T) {
	s := New(Options{Propel: PropelOptions{VersionField: "title"}})
	full := `{"customers":[{"source":"MBC","sourceId":"3002196","debtorId":7,"firstName":"A","middleName":"b","lastName":"C","abbreviation":"A.","title":"v1",
		"dateOfBirth":"1980-02-29","gender":"F","ssn":"1","phone":"1","email":"a@example.com","primaryLanguage":"NL","parent":{"id":1},
		"addresses":[{"type":"delivery","code":"D1","street":"S","city":"C","country":"NL","icp":"N","isDefault":"Y","gender":"U"}]}]}`
	for _, action := range []string{"create", "update"} {
		a := send(t, s, Propel, propelPath, full)
		want := `{"data":[{"action":"` + action + `","id":25494,"key":3002196,"lookupKey":"sourceId","success":true}],"messages":["Completed"],"total":1}`
		if a.status != http.StatusOK || a.body != want {
			t.Errorf("got %d %s, want %s", a.status, a.body, want)
		}
		if a.header.Get("x-request-id") == "" {
			t.Error("no x-request-id")
		}
	}
	entries := s.Ledger().Accepted("propel.customers")
	if len(entries) != 2 || entries[0].ID != "MBC/3002196" || entries[0].Version != "v1" || entries[1].Times != 2 {
		t.Errorf("ledger has %+v", entries)
	}
}

// TestPropelsDocumentedRefusalIsGivenWordForWord holds the answer against the page's example.
func TestPropelsDocumentedRefusalIsGivenWordForWord(t *testing.T) {
	s := New(Options{})
	a := send(t, s, Propel, propelPath, `{"customers":[{"source":"MBC","sourceId":"1","company":"x"}]}`)
	want := `{"error":{"code":10007,"messages":["#/customers/0: extraneous key [company] is not permitted"],"moreInfo":"https://www.propel.us/docs/errors/10007","status":400,"type":"SchemaValidationException"}}`
	if a.status != http.StatusBadRequest || a.body != want {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if s.Ledger().Count("propel.customers") != 0 {
		t.Error("the ledger holds a refused item")
	}
}

func TestLogins(t *testing.T) {
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
		{"key", CRMCOM, keyLoginPath, jsonMedia, `{"unit":"1"}`, basic(DefaultWebAPIKey), 200, `"code":"OK"`},
		{"key without body", CRMCOM, keyLoginPath, jsonMedia, ``, basic(DefaultWebAPIKey), 200, `"code":"OK"`},
		{"wrong key", CRMCOM, keyLoginPath, jsonMedia, ``, basic("other"), 200, `"code":"AuthenticationException"`},
		{"no key", CRMCOM, keyLoginPath, jsonMedia, ``, "", 200, `"code":"AuthenticationException"`},
		{"key with an unknown parameter", CRMCOM, keyLoginPath, jsonMedia, `{"units":"1"}`, basic(DefaultWebAPIKey), 200, `"code":"InvalidAPIParameterException"`},
		{"user", CRMCOM, userLoginPath, jsonMedia, fmt.Sprintf(user, ""), "", 200, `"code":"OK"`},
		{"user with unit", CRMCOM, userLoginPath, jsonMedia, fmt.Sprintf(user, `,"unit":"1"`), "", 200, `"code":"OK"`},
		{"wrong password", CRMCOM, userLoginPath, jsonMedia, strings.Replace(fmt.Sprintf(user, ""), "sandbox-password", "x", 1), "", 200, `"code":"AuthenticationException"`},
		{"no organisation", CRMCOM, userLoginPath, jsonMedia, `{"username":"a","password":"b"}`, "", 200, `organisation is mandatory`},
		{"user without JSON", CRMCOM, userLoginPath, jsonMedia, `x`, "", 200, `"code":"InvalidJSONException"`},
		{"Expoints client", Expoints, ExpointsTokenPath, formMedia, grantForm, "", 200, `"ext_expires_in":3600`},
		{"Propel client", Propel, PropelTokenPath, formMedia, grantForm, "", 200, `"expires_in":1800`},
		{"Basic client", Propel, PropelTokenPath, formMedia, "grant_type=client_credentials", "Basic c2FuZGJveC1jbGllbnQ6c2FuZGJveC1zZWNyZXQ=", 200, `"scope":"profile"`},
		{"wrong secret", Propel, PropelTokenPath, formMedia, grantForm + "x", "", 401, `invalid_client`},
		{"other grant", Propel, PropelTokenPath, formMedia, "grant_type=password", "", 400, `unsupported_grant_type`},
		{"JSON in place of a form", Propel, PropelTokenPath, jsonMedia, grantForm, "", 400, `invalid_request`},
		{"a parameter twice", Propel, PropelTokenPath, formMedia, grantForm + "&client_id=b", "", 400, `invalid_request`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := do(New(Options{}).Handler(tt.vendor), post(tt.path, tt.media, tt.body, "Authorization", tt.header))
			if a.status != tt.status || !strings.Contains(a.body, tt.has) {
				t.Errorf("got %d %s, want %d with %s", a.status, a.body, tt.status, tt.has)
			}
		})
	}
}

func TestAScopeThatIsConfiguredMustBeAskedFor(t *testing.T) {
	h := New(Options{Expoints: ExpointsOptions{Scope: "api://x/.default"}}).Handler(Expoints)
	if a := do(h, post(ExpointsTokenPath, formMedia, grantForm)); a.status != http.StatusBadRequest {
		t.Errorf("without scope: %d", a.status)
	}
	with := grantForm + "&scope=" + url.QueryEscape("api://x/.default")
	if a := do(h, post(ExpointsTokenPath, formMedia, with)); a.status != http.StatusOK {
		t.Errorf("with scope: %d", a.status)
	}
}

func TestTheColumnCatalogueIsFiltered(t *testing.T) {
	tests := map[string][]float64{
		"":                              {1, 15, 16},
		"?Archived=false":               {1, 15},
		"?Required=true":                {15, 16},
		"?Required=true&Archived=false": {15},
		"?CustomerDataColumnIds=1&CustomerDataColumnIds=16": {1, 16},
	}
	s := New(Options{Expoints: ExpointsOptions{Columns: columns, BearerToken: "static"}})
	for query, want := range tests {
		r := httptest.NewRequest(http.MethodGet, "/external/api/v3/customerdatacolumn"+query, nil)
		r.Header.Set("Authorization", "Bearer static")
		var ids []float64
		for _, column := range do(s.Handler(Expoints), r).json(t)["CustomerDataColumns"].([]any) {
			ids = append(ids, column.(map[string]any)["Id"].(float64))
		}
		if !reflect.DeepEqual(ids, want) {
			t.Errorf("%q: got %v, want %v", query, ids, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/external/api/v3/customerdatacolumn?Required=maybe", nil)
	r.Header.Set("Authorization", "Bearer static")
	if a := do(s.Handler(Expoints), r); a.status != http.StatusBadRequest {
		t.Errorf("a filter that is no boolean: %d", a.status)
	}
}

func TestAnUnknownVendorAnswers404(t *testing.T) {
	if a := do(New(Options{}).Handler("other"), post("/", jsonMedia, "{}")); a.status != http.StatusNotFound {
		t.Errorf("got %d", a.status)
	}
}

// TestInstantAnswersEveryItemOnce keeps a benchmark from being met by an answer that a sink could not use.
func TestInstantAnswersEveryItemOnce(t *testing.T) {
	s := New(Options{Instant: true})
	token := crmToken(t, s)
	a := crm(t, s, "purchases", token, purchaseItem, strings.Replace(purchaseItem, "p-0-1", `q\"\\`, 1))
	var ids []any
	for _, row := range a.json(t)["data"].(map[string]any)["processed_customer_events_set"].([]any) {
		ids = append(ids, row.(map[string]any)["request_unique_identifier"])
	}
	if want := []any{"p-0-1", `q"\`}; !reflect.DeepEqual(ids, want) {
		t.Errorf("CRM.COM: got %v, want %v", ids, want)
	}
	nested := `{"customers":[{"parent":{"source":"X","sourceId":"no"},"source":"sourceId","sourceId":"1"}]}`
	a = do(s.Handler(Propel), post(propelPath, jsonMedia, nested))
	if rows := a.json(t)["data"].([]any); len(rows) != 1 || rows[0].(map[string]any)["key"] != "1" {
		t.Errorf("Propel: %s", a.body)
	}
	if a = do(s.Handler(Expoints), post(expointsPath("add"), jsonMedia, "{}")); a.status != http.StatusOK {
		t.Errorf("Expoints: %d", a.status)
	}
}

func BenchmarkInstantPurchases(b *testing.B) { benchmarkPurchases(b, Options{Instant: true}) }

func BenchmarkStrictPurchases(b *testing.B) { benchmarkPurchases(b, Options{}) }

// benchmarkPurchases sends 1000 items a call through the handler, without a network.
func benchmarkPurchases(b *testing.B, o Options) {
	s := New(o)
	token := crmToken(b, s)
	items := make([]string, crmMaxItems)
	for i := range items {
		items[i] = strings.Replace(purchaseItem, "p-0-1", fmt.Sprint("p-0-", i), 1)
	}
	body := []byte(fmt.Sprintf(`{"token":%q,"purchase_customer_events_set":[%s]}`, token, strings.Join(items, ",")))
	h := s.Handler(CRMCOM)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, crmPath("purchases"), bytes.NewReader(body))
		r.Header.Set("Content-Type", jsonMedia)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
