package expoints

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"sluice/internal/config"
	"sluice/internal/sink"
)

// fakeVendor plays Expoints: its catalogue can change and fail, and it records the calls of the
// customer endpoints.
type fakeVendor struct {
	*httptest.Server
	mu        sync.Mutex
	catalogue string // body of customerdatacolumn
	status    int    // of customerdatacolumn; 0: 200
	fetches   int    // requests of customerdatacolumn
	calls     []recordedCall
	respond   http.HandlerFunc // plays the customer endpoints; nil: 200
}

type recordedCall struct {
	path   string
	header http.Header
	length int64
	body   []byte
}

func newFakeVendor(t *testing.T, catalogue string) *fakeVendor {
	t.Helper()
	v := &fakeVendor{catalogue: catalogue}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /external/api/v3/customerdatacolumn", func(w http.ResponseWriter, _ *http.Request) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.fetches++
		if v.status != 0 {
			w.WriteHeader(v.status)
			return
		}
		io.WriteString(w, v.catalogue)
	})
	mux.HandleFunc("POST /external/api/v3/customer/{operation}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.calls = append(v.calls, recordedCall{r.URL.Path, r.Header, r.ContentLength, body})
		if v.respond != nil {
			v.respond(w, r)
		}
	})
	v.Server = httptest.NewServer(mux)
	t.Cleanup(v.Close)
	return v
}

func (v *fakeVendor) setCatalogue(catalogue string, status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.catalogue, v.status = catalogue, status
}

func (v *fakeVendor) fetchCount() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.fetches
}

func (v *fakeVendor) accountConfig() Config {
	cfg := Default()
	cfg.BaseURL = v.URL
	cfg.Auth.BearerToken = config.NewSecret("static")
	return cfg
}

// newTestOperations returns the operations of an account. Their client keeps no connections alive,
// so that none of its goroutines outlives a call.
func newTestOperations(t *testing.T, cfg Config) (add, finished, lock sink.Operation) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ops, err := New("expoints", cfg, client)
	if err != nil {
		t.Fatal(err)
	}
	return ops[0], ops[1], ops[2]
}

func newTestAccount(t *testing.T, cfg Config) *account {
	t.Helper()
	a, err := newAccount("expoints", cfg, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var origin = sink.Origin{Topic: "feedback", Partition: 2, Offset: 41}

func parseInstant(t *testing.T, text string) *time.Time {
	t.Helper()
	instant, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return &instant
}

func readGolden(t *testing.T, file string) map[string]any {
	t.Helper()
	return decodeObject(t, readTestdata(t, file))
}

func readTestdata(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func decodeObject(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("decoding a JSON object: %v\n%s", err, text)
	}
	return object
}

func wantEqual(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		gotText, _ := json.MarshalIndent(got, "", " ")
		wantText, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got\n%s\nwant\n%s", gotText, wantText)
	}
}
