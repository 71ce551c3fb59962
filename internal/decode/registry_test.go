package decode

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

const emptySchema = `{"type":"record","name":"Empty","fields":[]}`

// emptyReaders returns a reader of records without fields.
func emptyReaders(t testing.TB) *readers {
	t.Helper()
	r := newReaders()
	if err := r.addSchema(emptySchema, func() any { return new(struct{}) }); err != nil {
		t.Fatal(err)
	}
	return r
}

func newEmptyDecoder(t testing.TB, cfg Config) *Decoder {
	t.Helper()
	d, err := newDecoder(cfg, emptyReaders(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// startRegistry runs a registry with that handler.
func startRegistry(t testing.TB, handler http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func respondWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// serveEmptySchema serves the empty schema for every ID.
func serveEmptySchema(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `{"schema":%q}`, emptySchema)
}

// isRegistryError reports whether the registry is at fault for an error, and neither the record nor
// the caller's context.
func isRegistryError(err error) bool {
	var (
		poison   *PoisonError
		unmapped *UnmappedError
		unknown  *UnknownSchemaError
	)
	return err != nil && !errors.As(err, &poison) && !errors.As(err, &unmapped) && !errors.As(err, &unknown) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func TestRegistryFailureIsNotTheRecordsFault(t *testing.T) {
	slow := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	tests := []struct {
		name    string
		respond http.HandlerFunc
		text    string
	}{
		{"500", respondWith(500, `{"error_code":50001,"message":"the store failed"}`), "HTTP 500, error code 50001"},
		{"401", respondWith(401, "who are you"), "HTTP 401"},
		{"503", respondWith(503, ""), "HTTP 503"},
		{"an HTML page", respondWith(200, "<html>welcome</html>"), "invalid character"},
		{"no schema in the response", respondWith(200, "{}"), "the response has no schema"},
		{"an unknown schema type", respondWith(200, `{"schemaType":"XML","schema":"x"}`), "XML"},
		{"no response in time", slow, "no response within 50ms"},
		{"an endless response",
			respondWith(200, `{"schema":"`+strings.Repeat("x", maxResponseBytes)+`"}`), "longer than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			timeout := 5 * time.Second
			if strings.Contains(test.text, "50ms") {
				timeout = 50 * time.Millisecond
			}
			d := newEmptyDecoder(t, Config{URLs: []string{startRegistry(t, test.respond)}, Timeout: timeout})
			_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
			if !isRegistryError(err) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got error %v, want one of the registry with %q", err, test.text)
			}
		})
	}
}

func TestRecoveredRegistryIsUsedAgain(t *testing.T) {
	var up atomic.Bool
	d := newEmptyDecoder(t, Config{URLs: []string{startRegistry(t, func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		serveEmptySchema(w, r)
	})}})
	if _, err := d.Decode(t.Context(), "topic", wireFormat(1, nil)); !isRegistryError(err) {
		t.Fatalf("got error %v, want one of the registry", err)
	}
	up.Store(true)
	if _, err := d.Decode(t.Context(), "topic", wireFormat(1, nil)); err != nil {
		t.Errorf("got error %v after the registry recovered, want none", err)
	}
}

func TestNextURLIsTriedWhenOneFails(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	tests := map[string]string{
		"refuses connections": closed.URL,
		"fails":               startRegistry(t, respondWith(500, "")),
		"lags behind":         startRegistry(t, respondWith(404, `{"error_code":40403}`)),
	}
	for name, first := range tests {
		t.Run(name, func(t *testing.T) {
			d := newEmptyDecoder(t, Config{URLs: []string{first, startRegistry(t, serveEmptySchema)}})
			if _, err := d.Decode(t.Context(), "topic", wireFormat(1, nil)); err != nil {
				t.Errorf("got error %v with a second URL that knows the ID, want none", err)
			}
		})
	}
}

// A proxy also responds 404 while its registry is unavailable. If that meant that the ID is
// unknown, every record with a new ID would be dead-lettered after its wait.
func TestOnlyARegistrysOwn404MeansUnknown(t *testing.T) {
	ownFormat := startRegistry(t, respondWith(404, `{"error_code":40403,"message":"Schema 1 not found"}`))
	proxyPage := startRegistry(t, respondWith(404, "<html>no such page</html>"))
	path := startRegistry(t, respondWith(404, `{"error_code":404,"message":"HTTP 404 Not Found"}`))
	gateway := startRegistry(t, respondWith(404, `{"message":"no Route matched with those values"}`))
	artifact := startRegistry(t, respondWith(404, `{"error_code":40401}`))
	down := startRegistry(t, respondWith(502, ""))
	tests := []struct {
		name    string
		urls    []string
		unknown bool
	}{
		{"in its own format", []string{ownFormat}, true},
		{"in its own format, the other URL unavailable", []string{ownFormat, down}, true},
		{"in its own format, after a proxy's", []string{proxyPage, ownFormat}, true},
		{"for an artifact, as some registries call it", []string{artifact}, true},
		{"a proxy's page", []string{proxyPage}, false},
		{"nothing but a status", []string{startRegistry(t, respondWith(404, ""))}, false},
		{"a gateway's JSON", []string{gateway}, false},
		{"of a wrong base path", []string{path}, false},
		{"none in its own format, by all URLs", []string{proxyPage, path, gateway}, false},
		{"a proxy's, the registry unavailable", []string{proxyPage, down}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newEmptyDecoder(t, Config{URLs: test.urls})
			_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
			var unknown *UnknownSchemaError
			if errors.As(err, &unknown) != test.unknown || isRegistryError(err) == test.unknown {
				t.Errorf("got error %v, want an *UnknownSchemaError: %t", err, test.unknown)
			}
			if !test.unknown && len(test.urls) == 1 && !strings.Contains(err.Error(), "base path") {
				t.Errorf("got error %v, want it to name the likely reasons", err)
			}
		})
	}
}

func TestBasePathAndCredentialsAreSent(t *testing.T) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:secret"))
	fake := srfake.NewRegistry(srfake.WithAuth(want))
	fake.SeedSchema("s", 1, 1, sr.Schema{Schema: emptySchema})
	url := startRegistry(t, http.StripPrefix("/apis/ccompat/v7", fake.Handler()).ServeHTTP)
	withLogin := strings.Replace(url, "http://", "http://user:secret@", 1)
	for name, cfg := range map[string]Config{
		"configured":     {URLs: []string{url + "/apis/ccompat/v7"}, Username: "user", Password: "secret"},
		"trailing slash": {URLs: []string{url + "/apis/ccompat/v7/"}, Username: "user", Password: "secret"},
		"in the URL":     {URLs: []string{withLogin + "/apis/ccompat/v7"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newEmptyDecoder(t, cfg).Decode(t.Context(), "topic", wireFormat(1, nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestErrorsDoNotContainCredentials(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	_, bad := NewDecoder(Config{URLs: []string{"http://user:secret@host:port"}})
	d := newEmptyDecoder(t, Config{URLs: []string{strings.Replace(closed.URL, "http://", "http://user:secret@", 1)}})
	_, refused := d.Decode(t.Context(), "topic", wireFormat(1, nil))
	pageURL := strings.Replace(startRegistry(t, respondWith(200, "<html>")), "http://", "http://user:secret@", 1)
	page := newEmptyDecoder(t, Config{URLs: []string{pageURL}})
	_, rubbish := page.Decode(t.Context(), "topic", wireFormat(1, nil))
	for _, err := range []error{bad, refused, rubbish} {
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "user:") {
			t.Errorf("got error %v, want one without the credentials", err)
		}
	}
}

func TestConfigWithoutAValidURLIsRejected(t *testing.T) {
	for _, urls := range [][]string{
		nil, {""}, {"localhost:8081"}, {"ftp://host"}, {"http://"}, {"http://ok", "nonsense"},
	} {
		if _, err := NewDecoder(Config{URLs: urls}); err == nil {
			t.Errorf("URLs %q: got no error, want one", urls)
		}
	}
}

func TestReferencedSchemasAreResolved(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	ref := func(name, subject string) sr.SchemaReference {
		return sr.SchemaReference{Name: name, Subject: subject, Version: 1}
	}
	fake.SeedSchema("leaf", 1, 1, sr.Schema{Schema: `{"type":"record","name":"Leaf","fields":[]}`})
	fake.SeedSchema("middle", 1, 2, sr.Schema{
		Schema:     `{"type":"record","name":"Middle","fields":[{"name":"l","type":"Leaf"}]}`,
		References: []sr.SchemaReference{ref("Leaf", "leaf")}})
	fake.SeedSchema("top", 1, 3, sr.Schema{
		Schema:     `{"type":"record","name":"Empty","fields":[{"name":"m","type":"Middle"},{"name":"l","type":"Leaf"}]}`,
		References: []sr.SchemaReference{ref("Middle", "middle"), ref("Leaf", "leaf")}})
	d := newEmptyDecoder(t, Config{URLs: []string{fake.URL()}})
	if got, err := d.Decode(t.Context(), "topic", wireFormat(3, nil)); err != nil || got.Name != "Empty" {
		t.Errorf("got %+v and error %v, want Empty", got, err)
	}
}

// The registry keeps the versions of a deleted subject for the schemas that refer to them, but
// serves them only if the request asks for deleted ones.
func TestDeletedReferenceIsResolved(t *testing.T) {
	d := newEmptyDecoder(t, Config{URLs: []string{startRegistry(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/subjects/"):
			fmt.Fprint(w, `{"schema":"{\"type\":\"record\",\"name\":\"Empty\",\"fields\":[{\"name\":\"l\",\"type\":\"Leaf\"}]}",`+
				`"references":[{"name":"Leaf","subject":"leaf","version":1}]}`)
		case r.URL.Query().Get("deleted") != "true":
			respondWith(404, `{"error_code":40402}`)(w, r)
		default:
			fmt.Fprint(w, `{"subject":"leaf","version":1,"id":2,"schema":"{\"type\":\"record\",\"name\":\"Leaf\",\"fields\":[]}"}`)
		}
	})}})
	if _, err := d.Decode(t.Context(), "topic", wireFormat(1, nil)); err != nil {
		t.Error(err)
	}
}

func TestCyclicReferencesArePoison(t *testing.T) {
	var requests atomic.Int32
	d := newEmptyDecoder(t, Config{URLs: []string{startRegistry(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		name, other := "A", "B"
		if strings.HasPrefix(r.URL.Path, "/subjects/B/") {
			name, other = "B", "A"
		}
		fmt.Fprintf(w, `{"schema":"{\"type\":\"record\",\"name\":\"%s\",\"fields\":[{\"name\":\"f\",\"type\":\"%s\"}]}",`+
			`"references":[{"name":"%[2]s","subject":"%[2]s","version":1}]}`, name, other)
	})}})
	_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
	if poison := new(PoisonError); !errors.As(err, &poison) || requests.Load() != 3 {
		t.Errorf("got error %v after %d requests, want a *PoisonError after 3", err, requests.Load())
	}
}

func TestMissingReferenceIsTheRegistrysFault(t *testing.T) {
	d := newEmptyDecoder(t, Config{URLs: []string{startRegistry(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/subjects/") {
			respondWith(404, `{"error_code":40402}`)(w, r)
			return
		}
		fmt.Fprint(w, `{"schema":"{}","references":[{"name":"Leaf","subject":"leaf","version":1}]}`)
	})}})
	_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
	if !isRegistryError(err) || !strings.Contains(err.Error(), "leaf") {
		t.Errorf("got error %v, want one of the registry that names the reference", err)
	}
}

func TestInvalidSchemaIsPoison(t *testing.T) {
	var endless atomic.Int32
	tests := []struct {
		name, text string
		respond    http.HandlerFunc
	}{
		{"not Avro", "want AVRO", respondWith(200, `{"schemaType":"PROTOBUF","schema":"message M {}"}`)},
		{"broken", "parsing the schema", respondWith(200, `{"schema":"{\"type\":\"record\"}"}`)},
		{"long and broken", "parsing the schema",
			respondWith(200, `{"schema":"{\"type\":\"`+strings.Repeat("x", 10_000)+`\"}"}`)},
		{"endless references", "more than 100", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"schema":"\"int\"","references":[{"name":"n","subject":"s","version":%d}]}`, endless.Add(1))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newEmptyDecoder(t, Config{URLs: []string{startRegistry(t, test.respond)}})
			_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
			var poison *PoisonError
			if !errors.As(err, &poison) || !strings.Contains(poison.Reason, test.text) ||
				len(poison.Reason) > maxTextBytes {
				t.Errorf("got error %v, want a short *PoisonError with %q", err, test.text)
			}
		})
	}
}
