package crmcom

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"sluice/internal/config"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// seen is one request that the vendor got.
type seen struct {
	method, path, contentType, authorization string
	length                                   int64
	body                                     []byte
}

// vendor is CRM.COM as far as a test says: logins are answered with login, calls with answer.
type vendor struct {
	mu       sync.Mutex
	requests []seen
	login    func(n int) (status int, body string) // n counts logins from 1
	answer   func(call seen) (status int, body string)
}

const loginOK = `{"data":{"token":"{{token}}"},"status":{"code":"OK","description":"","message":""}}`

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	call := seen{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), r.ContentLength, body}
	v.mu.Lock()
	v.requests = append(v.requests, call)
	logins := len(v.under("/authentication/"))
	v.mu.Unlock()
	status, text := http.StatusOK, loginOK
	switch {
	case !isLoginPath(r.URL.Path):
		status, text = v.answer(call)
	case v.login != nil:
		status, text = v.login(logins)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func isLoginPath(path string) bool {
	return path == "/crmapi/rest/v2/authentication/token" || path == "/crmapi/rest/v2/authentication/web_api_key/token"
}

// under gives the requests whose path, below the base, begins with prefix. The caller holds mu.
func (v *vendor) under(prefix string) []seen {
	const base = "/crmapi/rest/v2"
	return slices.DeleteFunc(slices.Clone(v.requests), func(s seen) bool {
		return len(s.path) < len(base+prefix) || s.path[:len(base+prefix)] != base+prefix
	})
}

func (v *vendor) logins() []seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.under("/authentication/")
}

func (v *vendor) calls() []seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.under("/customer_events/")
}

// start serves v and gives the account's operations by name.
func (v *vendor) start(t *testing.T, change func(*Config)) map[string]sink.Operation {
	t.Helper()
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	cfg := accountAt(server.URL+"/crmapi/rest/v2/", Auth{WebAPIKey: config.NewSecret("key")})
	if change != nil {
		change(&cfg)
	}
	return operations(t, cfg, vendorhttp.Options{})
}

func accountAt(base string, auth Auth) Config {
	cfg := Default()
	cfg.BaseURL, cfg.Auth = base, auth
	return cfg
}

func operations(t testing.TB, cfg Config, o vendorhttp.Options) map[string]sink.Operation {
	t.Helper()
	client, err := vendorhttp.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	ops, err := New("crmcom", cfg, client)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]sink.Operation{}
	for _, o := range ops {
		byName[o.Spec().Name] = o
	}
	return byName
}

// unsent gives the operations of an account that is never called.
func unsent(t testing.TB, change func(*Config)) map[string]sink.Operation {
	t.Helper()
	cfg := accountAt("http://crm.invalid/crmapi/rest/v2", Auth{WebAPIKey: config.NewSecret("key")})
	if change != nil {
		change(&cfg)
	}
	return operations(t, cfg, vendorhttp.Options{})
}

func originAt(offset int64) sink.Origin { return sink.Origin{Topic: "events", Offset: offset} }

// fakeItems are n items with the identifiers of originAt(0) onward.
func fakeItems(n int) []sink.Item {
	items := make([]sink.Item, n)
	for i := range items {
		id := originAt(int64(i)).ID()
		items[i] = sink.Item{ID: id, Body: []byte(`{"request_unique_identifier":` + strconv.Quote(id) + `}`)}
	}
	return items
}
