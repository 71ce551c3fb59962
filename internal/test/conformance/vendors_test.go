// Package conformance holds every operation to one suite, against the sandbox: what one call may carry, what comes back for each way a vendor
// can answer, which events are refused before any call, and that every field of the vendors' pages is carried.
package conformance

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"sluice/internal/config"
	"sluice/internal/demo/sandbox"
	"sluice/internal/sink"
	"sluice/internal/sink/crmcom"
	"sluice/internal/sink/expoints"
	"sluice/internal/sink/propel"
	"sluice/internal/sink/vendorhttp"
)

// columns are the tenant's: one for the event's id, one of each kind that a row can meet.
var columns = []sandbox.Column{
	{ID: 11, Name: "EventId"},
	{ID: 15, Name: "First_name_customer", Required: true},
	{ID: 19, Name: "ProductNumber"},
	{ID: 20, Name: "Fax", Archived: true},
}

const (
	eventIDColumn  = "EventId"
	requiredColumn = "First_name_customer"
	freeColumn     = "ProductNumber"
	archivedColumn = "Fax"
)

func columnID(name string) int32 {
	i := slices.IndexFunc(columns, func(c sandbox.Column) bool { return c.Name == name })
	return int32(columns[i].ID)
}

// setup is how the vendors and the accounts at them are made. The zero value is the default.
type setup struct {
	script   []sandbox.Rule
	onAccept func(sandbox.LedgerEntry)
	zone     string // of the accounts; empty: their default
	tls      bool   // the servers have certificates that no account trusts
	crmcom   func(*crmcom.Config)
	expoints func(*expoints.Config)
}

// vendors are the three in one sandbox, each behind a server, with an account at each.
type vendors struct {
	sandbox    *sandbox.Server
	operations map[string]sink.Operation // by full name
	servers    []*httptest.Server

	mu       sync.Mutex
	requests map[string][]byte // the last request's body, by path
}

func open(t testing.TB, s setup) *vendors {
	t.Helper()
	script, err := sandbox.NewScript(s.script...)
	if err != nil {
		t.Fatal(err)
	}
	v := &vendors{operations: map[string]sink.Operation{}, requests: map[string][]byte{}}
	v.sandbox = sandbox.New(sandbox.Options{
		Expoints:   sandbox.ExpointsOptions{Columns: columns, EventIDColumn: eventIDColumn},
		Propel:     sandbox.PropelOptions{MaxItems: propel.Default().MaxItems},
		Script:     script,
		KeepBodies: true,
		OnAccept:   s.onAccept,
	})
	client, err := vendorhttp.NewClient(vendorhttp.Options{Concurrency: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	v.add(t, "crmcom", func(name string) ([]sink.Operation, error) {
		return crmcom.New(name, crmcomAt(v.serve(t, s, sandbox.CRMCOM), s), client)
	})
	v.add(t, "expoints", func(name string) ([]sink.Operation, error) {
		return expoints.New(name, expointsAt(v.serve(t, s, sandbox.Expoints), s), client)
	})
	v.add(t, "propel", func(name string) ([]sink.Operation, error) {
		return propel.New(name, propelAt(v.serve(t, s, sandbox.Propel)), client)
	})
	return v
}

func (v *vendors) add(t testing.TB, account string, open func(string) ([]sink.Operation, error)) {
	t.Helper()
	ops, err := open(account)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range ops {
		v.operations[account+"."+op.Spec().Name] = op
	}
}

// serve gives the address of a vendor's server, which keeps each endpoint's last request.
func (v *vendors) serve(t testing.TB, s setup, name sandbox.Vendor) string {
	t.Helper()
	handler := v.sandbox.Handler(name)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note := &request{v: v, path: r.URL.Path}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, note), r.Body}
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are meant
	if s.tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	v.servers = append(v.servers, server)
	return server.URL
}

// request keeps the body of one as the vendor reads it.
type request struct {
	v    *vendors
	path string
	body []byte
}

func (r *request) Write(p []byte) (int, error) {
	r.v.mu.Lock()
	defer r.v.mu.Unlock()
	r.body = append(r.body, p...)
	r.v.requests[r.path] = r.body
	return len(p), nil
}

// requested is the last request's body to an endpoint.
func (v *vendors) requested(path string) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requests[path]
}

func crmcomAt(url string, s setup) crmcom.Config {
	cfg := crmcom.Default()
	cfg.BaseURL, cfg.Auth.WebAPIKey = url+"/crmapi/rest/v2", config.NewSecret(sandbox.DefaultWebAPIKey)
	if s.zone != "" {
		cfg.TimeZone = s.zone
	}
	if s.crmcom != nil {
		s.crmcom(&cfg)
	}
	return cfg
}

func expointsAt(url string, s setup) expoints.Config {
	cfg := expoints.Default()
	cfg.BaseURL, cfg.EventIDColumn = url, eventIDColumn
	cfg.Auth = expoints.Auth{
		TokenURL: url + sandbox.ExpointsTokenPath, ClientID: sandbox.DefaultClientID, ClientSecret: config.NewSecret(sandbox.DefaultClientSecret),
	}
	if s.zone != "" {
		cfg.TimeZone = s.zone
	}
	if s.expoints != nil {
		s.expoints(&cfg)
	}
	return cfg
}

func propelAt(url string) propel.Config {
	cfg := propel.Default()
	cfg.BaseURL, cfg.Auth.TokenURL = url+"/v2", url+sandbox.PropelTokenPath
	cfg.Auth.ClientID, cfg.Auth.ClientSecret = sandbox.DefaultClientID, config.NewSecret(sandbox.DefaultClientSecret)
	return cfg
}

func originOf(i int) sink.Origin { return sink.Origin{Topic: "t", Offset: int64(i)} }

// encode makes the items numbered from to to-1.
func (o operation) encode(t testing.TB, op sink.Operation, from, to int) []sink.Item {
	t.Helper()
	var items []sink.Item
	for i := from; i < to; i++ {
		item, err := op.Encode(t.Context(), o.event(i), originOf(i))
		if err != nil {
			t.Fatalf("encoding event %d: %v", i, err)
		}
		items = append(items, item)
	}
	return items
}

// want stops the test where an answer is not of the class.
func want(t testing.TB, a sink.Response, class sink.ResultClass) {
	t.Helper()
	if a.Class != class {
		t.Fatalf("the call is %s (HTTP %d, code %q, message %q, error %v), want %s", a.Class, a.Status, a.Code, a.Message, a.Err, class)
	}
}

// wantItems stops the test where the items' classes are others.
func wantItems(t testing.TB, a sink.Response, classes ...sink.ResultClass) {
	t.Helper()
	want(t, a, sink.Delivered)
	got := make([]sink.ResultClass, len(a.ItemResults))
	for i, r := range a.ItemResults {
		got[i] = r.Class
	}
	if !slices.Equal(got, classes) {
		t.Fatalf("the items are %v, want %v", got, classes)
	}
}
