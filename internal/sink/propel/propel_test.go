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

// tenant is a Propel of one's own: a token endpoint that gives token-1, token-2, ..., and a record of what was asked.
type tenant struct {
	*httptest.Server
	mu     sync.Mutex
	logins int
	basic  bool // credentials must come by HTTP Basic
	calls  []call
	answer http.HandlerFunc // of the bulk endpoint
}

type call struct {
	path   string
	header http.Header
	length int64
	body   []byte
}

func newTenant(t *testing.T) *tenant {
	t.Helper()
	v := &tenant{answer: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"data":[]}`) }}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", v.login)
	mux.HandleFunc("POST /v2/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.calls = append(v.calls, call{r.URL.Path, r.Header, r.ContentLength, body})
		v.answer(w, r)
	})
	v.Server = httptest.NewServer(mux)
	t.Cleanup(v.Close)
	return v
}

func (v *tenant) login(w http.ResponseWriter, r *http.Request) {
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
	fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":"1899","token_type":"BearerToken","status":"approved"}`, v.logins)
}

func (v *tenant) config() Config {
	cfg := Default()
	cfg.BaseURL, cfg.Auth.TokenURL = v.URL+"/v2", v.URL+"/oauth2/token"
	cfg.Auth.ClientID, cfg.Auth.ClientSecret = "id", config.NewSecret("secret")
	return cfg
}

func open(t *testing.T, cfg Config) sink.Operation {
	t.Helper()
	ops, err := New("propel", cfg, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return ops[0]
}

func change(source, id string) *event.CustomerChange {
	return &event.CustomerChange{Source: source, SourceId: id}
}

func mustEncode(t *testing.T, op sink.Operation, e *event.CustomerChange) sink.Item {
	t.Helper()
	item, err := op.Encode(t.Context(), e, sink.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	return item
}

func golden(t testing.TB, file string) []byte {
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
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestSendMakesTheDocumentedCall(t *testing.T) {
	for _, basic := range []bool{false, true} {
		v := newTenant(t)
		cfg := v.config()
		if v.basic = basic; basic {
			cfg.Auth.Style = "basic"
		}
		v.answer = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-request-id", "5f2b-1")
			io.WriteString(w, `{"data":[{"key":"b","success":true},{"key":"a","success":true}],"messages":["Completed"],"total":2}`)
		}
		op := open(t, cfg)
		answer := op.Send(t.Context(), []sink.Item{mustEncode(t, op, change("MBC", "a")), mustEncode(t, op, change("MBC", "b"))})
		one := sink.Result{Class: sink.Delivered, Status: 200, RequestID: "5f2b-1"}
		if answer.Result != one || answer.Err != nil {
			t.Fatalf("got %+v", answer)
		}
		wantEqual(t, answer.ItemResults, []sink.Result{one, one})
		got := v.calls[0]
		const body = `{"customers":[{"source":"MBC","sourceId":"a"},{"source":"MBC","sourceId":"b"}]}`
		if got.path != "/v2/customers/bulk/sourceId" || string(got.body) != body || got.length != int64(len(body)) {
			t.Errorf("got %s with Content-Length %d\n%s", got.path, got.length, got.body)
		}
		if got.header.Get("Authorization") != "Bearer token-1" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("wrong header %v", got.header)
		}
		if size := op.EnvelopeSize("MBC"); size != len(`{"customers":[]}`) {
			t.Errorf("EnvelopeSize is %d", size)
		}
	}
}

func TestRefusedTokenIsRenewed(t *testing.T) {
	v := newTenant(t)
	v.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"data":[{"key":"a","success":true}]}`)
	}
	op := open(t, v.config())
	items := []sink.Item{mustEncode(t, op, change("MBC", "a"))}
	refused := op.Send(t.Context(), items)
	if refused.Class != sink.Unauthorized || refused.TokenVersion == 0 {
		t.Fatalf("got %v with token %d, want unauthorized with the token's name", refused.Class, refused.TokenVersion)
	}
	if err := op.(sink.TokenRefresher).RefreshToken(t.Context(), refused.TokenVersion); err != nil {
		t.Fatal(err)
	}
	if again := op.Send(t.Context(), items); again.Class != sink.Delivered || again.ItemResults[0].Class != sink.Delivered {
		t.Errorf("with the new token: %+v", again)
	}
}

func TestRefusedLoginIsTheAnswer(t *testing.T) {
	v := newTenant(t)
	cfg := v.config()
	cfg.Auth.ClientSecret = config.NewSecret("hunter2")
	op := open(t, cfg)
	answer := op.Send(t.Context(), []sink.Item{mustEncode(t, op, change("MBC", "a"))})
	if answer.Class != sink.Unauthorized || answer.TokenVersion != 0 || len(v.calls) != 0 {
		t.Errorf("got %v with token %d after %d calls, want unauthorized without any", answer.Class, answer.TokenVersion, len(v.calls))
	}
	if answer.Err == nil || strings.Contains(answer.Err.Error(), "hunter2") {
		t.Errorf("the error is %v", answer.Err)
	}
}

func TestContextThatEndsIsUnavailableBeforeAndUnknownAfterTheRequest(t *testing.T) {
	v := newTenant(t)
	op := open(t, v.config())
	items := []sink.Item{mustEncode(t, op, change("MBC", "a"))}
	ctx, cancel := context.WithCancel(t.Context())
	v.answer = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // an answer could still overtake the cancellation
	}
	if answer := op.Send(ctx, items); answer.Class != sink.Unknown || !errors.Is(answer.Err, context.Canceled) {
		t.Errorf("after the request: %v, %v", answer.Class, answer.Err)
	}
	if answer := op.Send(ctx, items); answer.Class != sink.Unavailable || !errors.Is(answer.Err, context.Canceled) {
		t.Errorf("before the request: %v, %v", answer.Class, answer.Err)
	}
}

func TestSpecFollowsMaxItems(t *testing.T) {
	cfg := newTenant(t).config()
	cfg.MaxItems = 250
	if got := open(t, cfg).Spec(); got.MaxItems != 250 || !got.Repeatable || got.Event != "sluice.propel.CustomerChange" {
		t.Errorf("got %+v", got)
	}
}
