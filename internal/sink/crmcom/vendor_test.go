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

// receivedRequest is one request that the fake vendor received.
type receivedRequest struct {
	method, path, contentType, authorization string
	length                                   int64
	body                                     []byte
}

// fakeVendor is a server that plays CRM.COM with the responses that a test chooses.
type fakeVendor struct {
	mu             sync.Mutex
	requests       []receivedRequest
	respondToLogin func(n int) (status int, body string) // n counts logins from 1
	respondToCall  func(call receivedRequest) (status int, body string)
}

const loginBody = `{"data":{"token":"{{token}}"},"status":{"code":"OK","description":"","message":""}}`

func (v *fakeVendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	call := receivedRequest{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Authorization"),
		r.ContentLength, body}
	v.mu.Lock()
	v.requests = append(v.requests, call)
	logins := len(v.requestsUnder("/authentication/"))
	v.mu.Unlock()
	status, text := http.StatusOK, loginBody
	switch {
	case !isLoginRequest(r.URL.Path):
		status, text = v.respondToCall(call)
	case v.respondToLogin != nil:
		status, text = v.respondToLogin(logins)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func isLoginRequest(path string) bool {
	return path == "/crmapi/rest/v2/authentication/token" || path == "/crmapi/rest/v2/authentication/web_api_key/token"
}

// requestsUnder returns the requests whose path below the base URL begins with prefix. The caller
// holds mu.
func (v *fakeVendor) requestsUnder(prefix string) []receivedRequest {
	const base = "/crmapi/rest/v2"
	return slices.DeleteFunc(slices.Clone(v.requests), func(s receivedRequest) bool {
		return len(s.path) < len(base+prefix) || s.path[:len(base+prefix)] != base+prefix
	})
}

func (v *fakeVendor) loginRequests() []receivedRequest {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requestsUnder("/authentication/")
}

func (v *fakeVendor) callRequests() []receivedRequest {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requestsUnder("/customer_events/")
}

// startServer serves the fake vendor and returns the operations of an account there, by name.
func (v *fakeVendor) startServer(t *testing.T, change func(*Config)) map[string]sink.Operation {
	t.Helper()
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	cfg := configFor(server.URL+"/crmapi/rest/v2/", Auth{WebAPIKey: config.NewSecret("key")})
	if change != nil {
		change(&cfg)
	}
	return newOperations(t, cfg, vendorhttp.Options{})
}

func configFor(base string, auth Auth) Config {
	cfg := Default()
	cfg.BaseURL, cfg.Auth = base, auth
	return cfg
}

func newOperations(t testing.TB, cfg Config, o vendorhttp.Options) map[string]sink.Operation {
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

// newUncalledOperations returns the operations of an account for tests that make no call.
func newUncalledOperations(t testing.TB, change func(*Config)) map[string]sink.Operation {
	t.Helper()
	cfg := configFor("http://crm.invalid/crmapi/rest/v2", Auth{WebAPIKey: config.NewSecret("key")})
	if change != nil {
		change(&cfg)
	}
	return newOperations(t, cfg, vendorhttp.Options{})
}

func originAt(offset int64) sink.Origin { return sink.Origin{Topic: "events", Offset: offset} }

// newTestItems returns n items whose IDs are those of originAt(0) to originAt(n-1).
func newTestItems(n int) []sink.Item {
	items := make([]sink.Item, n)
	for i := range items {
		id := originAt(int64(i)).ID()
		items[i] = sink.Item{ID: id, Body: []byte(`{"request_unique_identifier":` + strconv.Quote(id) + `}`)}
	}
	return items
}
