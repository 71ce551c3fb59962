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

// tenant is an Expoints of one's own: a catalogue that can change or fail, and a record of what was asked.
type tenant struct {
	*httptest.Server
	mu        sync.Mutex
	catalogue string // answer of customerdatacolumn
	status    int    // of customerdatacolumn; 0: 200
	reads     int    // of customerdatacolumn
	calls     []call
	answer    http.HandlerFunc // of the customer endpoints; nil: 200
}

type call struct {
	path   string
	header http.Header
	length int64
	body   []byte
}

func newTenant(t *testing.T, catalogue string) *tenant {
	t.Helper()
	v := &tenant{catalogue: catalogue}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /external/api/v3/customerdatacolumn", func(w http.ResponseWriter, _ *http.Request) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.reads++
		if v.status != 0 {
			w.WriteHeader(v.status)
			return
		}
		io.WriteString(w, v.catalogue)
	})
	mux.HandleFunc("POST /external/api/v3/customer/{what}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.calls = append(v.calls, call{r.URL.Path, r.Header, r.ContentLength, body})
		if v.answer != nil {
			v.answer(w, r)
		}
	})
	v.Server = httptest.NewServer(mux)
	t.Cleanup(v.Close)
	return v
}

func (v *tenant) set(catalogue string, status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.catalogue, v.status = catalogue, status
}

func (v *tenant) readCount() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reads
}

func (v *tenant) config() Config {
	cfg := Default()
	cfg.BaseURL = v.URL
	cfg.Auth.BearerToken = config.NewSecret("static")
	return cfg
}

// open makes the operations add, addfinished and addlock of an account. The client keeps no connection, so that nothing of it outlives a call.
func open(t *testing.T, cfg Config) (add, finished, lock sink.Operation) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ops, err := New("expoints", cfg, client)
	if err != nil {
		t.Fatal(err)
	}
	return ops[0], ops[1], ops[2]
}

func accountOf(t *testing.T, cfg Config) *account {
	t.Helper()
	add, _, _ := open(t, cfg)
	return add.(interface{ of() *account }).of()
}

func (o *operation[E]) of() *account { return o.account }

var origin = sink.Origin{Topic: "feedback", Partition: 2, Offset: 41}

func instant(t *testing.T, s string) *time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return &v
}

func golden(t *testing.T, file string) map[string]any {
	t.Helper()
	return object(t, mustRead(t, file))
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func object(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("not a JSON object: %v\n%s", err, b)
	}
	return v
}

func wantEqual(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.MarshalIndent(got, "", " ")
		w, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}
