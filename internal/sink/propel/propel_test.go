package propel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"sluice/internal/config"
	"sluice/internal/event"
	"sluice/internal/sink"
)

// fakeVendor plays Propel: its token endpoint issues token-1, token-2, and so on, and it records
// the calls of the bulk endpoint.
type fakeVendor struct {
	*httptest.Server
	mu      sync.Mutex
	logins  int
	basic   bool // credentials are expected in the Authorization header
	calls   []recordedCall
	respond http.HandlerFunc // plays the bulk endpoint
}

type recordedCall struct {
	path   string
	header http.Header
	length int64
	body   []byte
}

func newFakeVendor(t *testing.T) *fakeVendor {
	t.Helper()
	v := &fakeVendor{respond: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"data":[]}`) }}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", v.handleLogin)
	mux.HandleFunc("POST /v2/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.calls = append(v.calls, recordedCall{r.URL.Path, r.Header, r.ContentLength, body})
		v.respond(w, r)
	})
	v.Server = httptest.NewServer(mux)
	t.Cleanup(v.Close)
	return v
}

func (v *fakeVendor) handleLogin(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	if r.FormValue("grant_type") != "client_credentials" || id != "id" || secret != "secret" || basic != v.basic {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	v.logins++
	const response = `{"access_token":"token-%d","expires_in":"1899","token_type":"BearerToken","status":"approved"}`
	fmt.Fprintf(w, response, v.logins)
}

func (v *fakeVendor) accountConfig() Config {
	cfg := Default()
	cfg.BaseURL, cfg.Auth.TokenURL = v.URL+"/v2", v.URL+"/oauth2/token"
	cfg.Auth.ClientID, cfg.Auth.ClientSecret = "id", config.NewSecret("secret")
	return cfg
}

func openOperation(t *testing.T, cfg Config) sink.Operation {
	t.Helper()
	ops, err := New("propel", cfg, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return ops[0]
}

func newCustomerChange(source, id string) *event.CustomerChange {
	return &event.CustomerChange{Source: source, SourceId: id}
}

func mustEncode(t *testing.T, op sink.Operation, change *event.CustomerChange) sink.Item {
	t.Helper()
	item, err := op.Encode(t.Context(), change, sink.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	return item
}

func readGolden(t testing.TB, file string) []byte {
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
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestSendMakesTheDocumentedCall(t *testing.T) {
	for _, basic := range []bool{false, true} {
		v := newFakeVendor(t)
		cfg := v.accountConfig()
		if v.basic = basic; basic {
			cfg.Auth.Style = "basic"
		}
		v.respond = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-request-id", "5f2b-1")
			io.WriteString(w, `{"data":[{"key":"b","success":true},{"key":"a","success":true}],`+
				`"messages":["Completed"],"total":2}`)
		}
		op := openOperation(t, cfg)
		response := op.Send(t.Context(), []sink.Item{
			mustEncode(t, op, newCustomerChange("MBC", "a")), mustEncode(t, op, newCustomerChange("MBC", "b")),
		})
		delivered := sink.Result{Class: sink.Delivered, Status: 200, RequestID: "5f2b-1"}
		if response.Result != delivered || response.Err != nil {
			t.Fatalf("got %+v, want %+v without an error", response, delivered)
		}
		wantEqual(t, response.ItemResults, []sink.Result{delivered, delivered})
		got := v.calls[0]
		const body = `{"customers":[{"source":"MBC","sourceId":"a"},{"source":"MBC","sourceId":"b"}]}`
		if got.path != "/v2/customers/bulk/sourceId" || string(got.body) != body || got.length != int64(len(body)) {
			t.Errorf("got %s with Content-Length %d and body\n%s\nwant\n%s", got.path, got.length, got.body, body)
		}
		authorization, contentType := got.header.Get("Authorization"), got.header.Get("Content-Type")
		if authorization != "Bearer token-1" || contentType != "application/json" {
			t.Errorf("got header %v, want token-1 and JSON", got.header)
		}
		if got, want := op.EnvelopeSize("MBC"), len(`{"customers":[]}`); got != want {
			t.Errorf("got envelope size %d, want %d", got, want)
		}
	}
}

func TestRefusedTokenIsRefreshed(t *testing.T) {
	v := newFakeVendor(t)
	v.respond = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"data":[{"key":"a","success":true}]}`)
	}
	op := openOperation(t, v.accountConfig())
	items := []sink.Item{mustEncode(t, op, newCustomerChange("MBC", "a"))}
	refused := op.Send(t.Context(), items)
	if refused.Class != sink.Unauthorized || refused.TokenVersion == 0 {
		t.Fatalf("got %v with token version %d, want unauthorized with a version", refused.Class, refused.TokenVersion)
	}
	if err := op.(sink.TokenRefresher).RefreshToken(t.Context(), refused.TokenVersion); err != nil {
		t.Fatal(err)
	}
	again := op.Send(t.Context(), items)
	if again.Class != sink.Delivered || again.ItemResults[0].Class != sink.Delivered {
		t.Errorf("with the new token: got %+v, want delivered", again)
	}
}

func TestRefusedLoginBecomesTheResponse(t *testing.T) {
	v := newFakeVendor(t)
	cfg := v.accountConfig()
	cfg.Auth.ClientSecret = config.NewSecret("hunter2")
	op := openOperation(t, cfg)
	response := op.Send(t.Context(), []sink.Item{mustEncode(t, op, newCustomerChange("MBC", "a"))})
	if response.Class != sink.Unauthorized || response.TokenVersion != 0 || len(v.calls) != 0 {
		t.Errorf("got %v with token version %d after %d calls, want unauthorized without a token or call",
			response.Class, response.TokenVersion, len(v.calls))
	}
	if response.Err == nil || strings.Contains(response.Err.Error(), "hunter2") {
		t.Errorf("got error %v, want one without the secret", response.Err)
	}
}

func TestContextEndIsUnavailableBeforeAndUnknownAfterTheRequest(t *testing.T) {
	v := newFakeVendor(t)
	op := openOperation(t, v.accountConfig())
	items := []sink.Item{mustEncode(t, op, newCustomerChange("MBC", "a"))}
	ctx, cancel := context.WithCancel(t.Context())
	v.respond = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // a response could still overtake the cancellation
	}
	if got := op.Send(ctx, items); got.Class != sink.Unknown || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("after the request: got %v with error %v, want unknown with context.Canceled", got.Class, got.Err)
	}
	if got := op.Send(ctx, items); got.Class != sink.Unavailable || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("before the request: got %v with error %v, want unavailable with context.Canceled", got.Class, got.Err)
	}
}

func TestSpecFollowsMaxItems(t *testing.T) {
	cfg := newFakeVendor(t).accountConfig()
	cfg.MaxItems = 250
	got := openOperation(t, cfg).Spec()
	if got.MaxItems != 250 || !got.Repeatable || got.Event != "sluice.propel.CustomerChange" {
		t.Errorf("got %+v, want a repeatable operation of CustomerChange with 250 items", got)
	}
}
