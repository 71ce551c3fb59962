package conformance

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"sluice/internal/demo/sandbox"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
	"sluice/internal/test/vendortest"
)

// setup configures the fake vendors and the accounts. The zero value is the default.
type setup struct {
	rules    []sandbox.Rule
	onAccept func(sandbox.LedgerEntry)
	// zone is the time zone of the accounts. Empty means their default.
	zone string
	// tls makes the servers use certificates that no account trusts.
	tls bool
	// everyField makes the accounts send every field of the vendors' pages.
	everyField bool
}

// harness has all vendors of a suite in one sandbox, with a server and an account for each.
type harness struct {
	sandbox    *sandbox.Server
	operations map[string]sink.Operation // by full name
	servers    []*httptest.Server

	mu       sync.Mutex
	requests map[string][]byte // the last request's body, by path
}

func (s suite) newHarness(t testing.TB, with setup) *harness {
	t.Helper()
	options := s.sandboxOptions()
	options.KeepBodies, options.OnAccept = true, with.onAccept
	var err error
	if options.Script, err = sandbox.NewScriptFor(options.AdditionalPages, with.rules...); err != nil {
		t.Fatal(err)
	}
	h := &harness{sandbox: sandbox.New(options), operations: map[string]sink.Operation{},
		requests: map[string][]byte{}}
	client, err := vendorhttp.NewClient(vendorhttp.Options{Concurrency: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	for _, page := range slices.Concat(sandbox.BuiltinPages(options), options.AdditionalPages) {
		name := string(page.Vendor)
		fixture, ok := s.fixtures[name]
		if !ok {
			continue
		}
		settings := []string{page.AccountSettings(h.serveVendor(t, page.Vendor, with.tls)), fixture.accountSettings}
		if with.zone != "" && fixture.zoneSetting != "" {
			settings = append(settings, fmt.Sprintf("%s: %s", fixture.zoneSetting, with.zone))
		}
		if with.everyField {
			settings = append(settings, fixture.everyField)
		}
		for _, op := range vendortest.OpenAccount(t, s.vendors, name, client, settings...) {
			h.operations[name+"."+op.Spec().Name] = op
		}
	}
	return h
}

// serveVendor starts a vendor's server, which keeps the last request to each endpoint, and returns
// its base URL.
func (h *harness) serveVendor(t testing.TB, name sandbox.Vendor, withTLS bool) string {
	t.Helper()
	handler := h.sandbox.Handler(name)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &requestRecorder{harness: h, path: r.URL.Path}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, recorder), r.Body}
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are intended
	if withTLS {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	h.servers = append(h.servers, server)
	return server.URL
}

// requestRecorder keeps the body of a request as the vendor reads it.
type requestRecorder struct {
	harness *harness
	path    string
	body    []byte
}

func (r *requestRecorder) Write(p []byte) (int, error) {
	r.harness.mu.Lock()
	defer r.harness.mu.Unlock()
	r.body = append(r.body, p...)
	r.harness.requests[r.path] = r.body
	return len(p), nil
}

// lastRequest returns the body of the last request to an endpoint.
func (h *harness) lastRequest(path string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests[path]
}

func originOf(i int) sink.Origin { return sink.Origin{Topic: "t", Offset: int64(i)} }

// encodeItems encodes the events with the numbers from first to end-1.
func (o operationFixture) encodeItems(t testing.TB, op sink.Operation, first, end int) []sink.Item {
	t.Helper()
	var items []sink.Item
	for i := first; i < end; i++ {
		item, err := op.Encode(t.Context(), o.newEvent(i), originOf(i))
		if err != nil {
			t.Fatalf("encoding event %d: %v", i, err)
		}
		items = append(items, item)
	}
	return items
}

func encodeEvent(t *testing.T, op sink.Operation, ev any) sink.Item {
	t.Helper()
	item, err := op.Encode(t.Context(), ev, originOf(0))
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// openWithFault returns a harness whose vendor has a fault that starts after the first call, and
// makes that call, so that the account has a token and a column catalogue.
func (s suite) openWithFault(t testing.TB, o operationFixture, with setup, rule sandbox.Rule) (*harness,
	sink.Operation) {
	t.Helper()
	rule.Name = "fault"
	if rule.Operation == "" {
		rule.Operation = o.name
	}
	if rule.Operation == o.name {
		rule.When.AfterCalls = 1
	}
	with.rules = append(with.rules, rule)
	h := s.newHarness(t, with)
	op := h.operations[o.name]
	first := op.Send(t.Context(), o.encodeItems(t, op, 0, 1))
	wantItemClasses(t, first, sink.Delivered)
	return h, op
}

// wantClass ends the test unless the response has the class.
func wantClass(t testing.TB, resp sink.Response, class sink.ResultClass) {
	t.Helper()
	if resp.Class != class {
		t.Fatalf("got class %s (HTTP %d, code %q, message %q, error %v), want %s",
			resp.Class, resp.Status, resp.Code, resp.Message, resp.Err, class)
	}
}

// wantItemClasses ends the test unless the call was delivered and its items have these classes.
func wantItemClasses(t testing.TB, resp sink.Response, classes ...sink.ResultClass) {
	t.Helper()
	wantClass(t, resp, sink.Delivered)
	got := make([]sink.ResultClass, len(resp.ItemResults))
	for i, r := range resp.ItemResults {
		got[i] = r.Class
	}
	if !slices.Equal(got, classes) {
		t.Fatalf("got item results %v, want %v", got, classes)
	}
}
