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

// emptyReaders read records of no fields.
func emptyReaders(t testing.TB) *readers {
	t.Helper()
	r := newReaders()
	if err := r.add(emptySchema, func() any { return new(struct{}) }); err != nil {
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

// serve runs a registry that answers as told.
func serve(t testing.TB, answer http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// knows serves the empty schema for every id.
func knows(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"schema":%q}`, emptySchema) }

// isRegistrys tells whether an error is of the registry's kind: none of the record's, and none of the caller's context.
func isRegistrys(err error) bool {
	var (
		poison   *PoisonError
		unmapped *UnmappedError
		unknown  *UnknownSchemaError
	)
	return err != nil && !errors.As(err, &poison) && !errors.As(err, &unmapped) && !errors.As(err, &unknown) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func TestARegistryThatFailsIsNotTheRecordsFault(t *testing.T) {
	slow := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	tests := []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"500", answering(500, `{"error_code":50001,"message":"the store failed"}`), "HTTP 500, error code 50001"},
		{"401", answering(401, "who are you"), "HTTP 401"},
		{"503", answering(503, ""), "HTTP 503"},
		{"a page instead of an answer", answering(200, "<html>welcome</html>"), "invalid character"},
		{"an answer without a schema", answering(200, "{}"), "the answer has no schema"},
		{"an unknown schema type", answering(200, `{"schemaType":"XML","schema":"x"}`), "XML"},
		{"no answer in time", slow, "no answer within 50ms"},
		{"an endless answer", answering(200, `{"schema":"`+strings.Repeat("x", maxAnswer)+`"}`), "longer than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			timeout := 5 * time.Second
			if strings.Contains(test.says, "50ms") {
				timeout = 50 * time.Millisecond
			}
			d := newEmptyDecoder(t, Config{URLs: []string{serve(t, test.answer)}, Timeout: timeout})
			_, err := d.Decode(t.Context(), "topic", framed(1, nil))
			if !isRegistrys(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one of the registry that says %q", err, test.says)
			}
		})
	}
}

func TestARegistryThatRecoversIsAskedAgain(t *testing.T) {
	var up atomic.Bool
	d := newEmptyDecoder(t, Config{URLs: []string{serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		knows(w, r)
	})}})
	if _, err := d.Decode(t.Context(), "topic", framed(1, nil)); !isRegistrys(err) {
		t.Fatalf("error %v, want one of the registry", err)
	}
	up.Store(true)
	if _, err := d.Decode(t.Context(), "topic", framed(1, nil)); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestTheNextURLIsAskedWhenOneFails(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	tests := map[string]string{
		"refuses connections": closed.URL,
		"fails":               serve(t, answering(500, "")),
		"lags behind":         serve(t, answering(404, `{"error_code":40403}`)),
	}
	for name, first := range tests {
		t.Run(name, func(t *testing.T) {
			d := newEmptyDecoder(t, Config{URLs: []string{first, serve(t, knows)}})
			if _, err := d.Decode(t.Context(), "topic", framed(1, nil)); err != nil {
				t.Errorf("with a second URL that knows the id: %v", err)
			}
		})
	}
}

// A proxy answers 404 too, while its registry is away: taken for the registry's, each record of a new id would be dead after its wait.
func TestA404IsUnknownOnlyWhenARegistrySaysIt(t *testing.T) {
	own := serve(t, answering(404, `{"error_code":40403,"message":"Schema 1 not found"}`))
	proxys := serve(t, answering(404, "<html>no such page</html>"))
	path := serve(t, answering(404, `{"error_code":404,"message":"HTTP 404 Not Found"}`))
	gateway := serve(t, answering(404, `{"message":"no Route matched with those values"}`))
	down := serve(t, answering(502, ""))
	tests := []struct {
		name    string
		urls    []string
		unknown bool
	}{
		{"in its own form", []string{own}, true},
		{"in its own form, the other one down", []string{own, down}, true},
		{"in its own form, behind a proxy's", []string{proxys, own}, true},
		{"of an artifact, as some registries call it", []string{serve(t, answering(404, `{"error_code":40401}`))}, true},
		{"a proxy's page", []string{proxys}, false},
		{"nothing but a status", []string{serve(t, answering(404, ""))}, false},
		{"a gateway's JSON", []string{gateway}, false},
		{"of a wrong base path", []string{path}, false},
		{"none in its own form, by all", []string{proxys, path, gateway}, false},
		{"a proxy's, the registry down", []string{proxys, down}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newEmptyDecoder(t, Config{URLs: test.urls})
			_, err := d.Decode(t.Context(), "topic", framed(1, nil))
			var unknown *UnknownSchemaError
			if errors.As(err, &unknown) != test.unknown || isRegistrys(err) == test.unknown {
				t.Errorf("error %v, want an *UnknownID: %t", err, test.unknown)
			}
			if !test.unknown && len(test.urls) == 1 && !strings.Contains(err.Error(), "base path") {
				t.Errorf("error %v, want it to say what answers so", err)
			}
		})
	}
}

func TestTheBasePathAndTheLoginAreSent(t *testing.T) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:secret"))
	fake := srfake.NewRegistry(srfake.WithAuth(want))
	fake.SeedSchema("s", 1, 1, sr.Schema{Schema: emptySchema})
	url := serve(t, http.StripPrefix("/apis/ccompat/v7", fake.Handler()).ServeHTTP)
	withLogin := strings.Replace(url, "http://", "http://user:secret@", 1)
	for name, cfg := range map[string]Config{
		"configured":    {URLs: []string{url + "/apis/ccompat/v7"}, Username: "user", Password: "secret"},
		"slash at last": {URLs: []string{url + "/apis/ccompat/v7/"}, Username: "user", Password: "secret"},
		"in the URL":    {URLs: []string{withLogin + "/apis/ccompat/v7"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newEmptyDecoder(t, cfg).Decode(t.Context(), "topic", framed(1, nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNoErrorPrintsTheLogin(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	_, bad := NewDecoder(Config{URLs: []string{"http://user:secret@host:port"}})
	d := newEmptyDecoder(t, Config{URLs: []string{strings.Replace(closed.URL, "http://", "http://user:secret@", 1)}})
	_, refused := d.Decode(t.Context(), "topic", framed(1, nil))
	page := newEmptyDecoder(t, Config{URLs: []string{strings.Replace(serve(t, answering(200, "<html>")), "http://", "http://user:secret@", 1)}})
	_, rubbish := page.Decode(t.Context(), "topic", framed(1, nil))
	for _, err := range []error{bad, refused, rubbish} {
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "user:") {
			t.Errorf("error %v, want one without the login", err)
		}
	}
}

func TestAConfigWithoutAUsableURLIsRefused(t *testing.T) {
	for _, urls := range [][]string{nil, {""}, {"localhost:8081"}, {"ftp://host"}, {"http://"}, {"http://ok", "nonsense"}} {
		if _, err := NewDecoder(Config{URLs: urls}); err == nil {
			t.Errorf("URLs %q: no error", urls)
		}
	}
}

func TestASchemaIsReadWithThoseThatItRefersTo(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	ref := func(name, subject string) sr.SchemaReference {
		return sr.SchemaReference{Name: name, Subject: subject, Version: 1}
	}
	fake.SeedSchema("leaf", 1, 1, sr.Schema{Schema: `{"type":"record","name":"Leaf","fields":[]}`})
	fake.SeedSchema("middle", 1, 2, sr.Schema{Schema: `{"type":"record","name":"Middle","fields":[{"name":"l","type":"Leaf"}]}`,
		References: []sr.SchemaReference{ref("Leaf", "leaf")}})
	fake.SeedSchema("top", 1, 3, sr.Schema{Schema: `{"type":"record","name":"Empty","fields":[{"name":"m","type":"Middle"},{"name":"l","type":"Leaf"}]}`,
		References: []sr.SchemaReference{ref("Middle", "middle"), ref("Leaf", "leaf")}})
	d := newEmptyDecoder(t, Config{URLs: []string{fake.URL()}})
	if got, err := d.Decode(t.Context(), "topic", framed(3, nil)); err != nil || got.Name != "Empty" {
		t.Errorf("got %+v, error %v", got, err)
	}
}

// A subject that was deleted keeps its versions for those who refer to them; a registry gives them only when it is asked so.
func TestAReferenceIsReadAlsoWhenItWasDeleted(t *testing.T) {
	d := newEmptyDecoder(t, Config{URLs: []string{serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/subjects/"):
			fmt.Fprint(w, `{"schema":"{\"type\":\"record\",\"name\":\"Empty\",\"fields\":[{\"name\":\"l\",\"type\":\"Leaf\"}]}","references":[{"name":"Leaf","subject":"leaf","version":1}]}`)
		case r.URL.Query().Get("deleted") != "true":
			answering(404, `{"error_code":40402}`)(w, r)
		default:
			fmt.Fprint(w, `{"subject":"leaf","version":1,"id":2,"schema":"{\"type\":\"record\",\"name\":\"Leaf\",\"fields\":[]}"}`)
		}
	})}})
	if _, err := d.Decode(t.Context(), "topic", framed(1, nil)); err != nil {
		t.Error(err)
	}
}

func TestSchemasThatReferToEachOtherArePoison(t *testing.T) {
	var asked atomic.Int32
	d := newEmptyDecoder(t, Config{URLs: []string{serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		name, other := "A", "B"
		if strings.HasPrefix(r.URL.Path, "/subjects/B/") {
			name, other = "B", "A"
		}
		fmt.Fprintf(w, `{"schema":"{\"type\":\"record\",\"name\":\"%s\",\"fields\":[{\"name\":\"f\",\"type\":\"%s\"}]}","references":[{"name":"%[2]s","subject":"%[2]s","version":1}]}`, name, other)
	})}})
	_, err := d.Decode(t.Context(), "topic", framed(1, nil))
	if poison := new(PoisonError); !errors.As(err, &poison) || asked.Load() != 3 {
		t.Errorf("error %v after %d requests, want a *Poison after 3", err, asked.Load())
	}
}

func TestAReferenceThatTheRegistryLostIsItsOwnFault(t *testing.T) {
	d := newEmptyDecoder(t, Config{URLs: []string{serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/subjects/") {
			answering(404, `{"error_code":40402}`)(w, r)
			return
		}
		fmt.Fprint(w, `{"schema":"{}","references":[{"name":"Leaf","subject":"leaf","version":1}]}`)
	})}})
	if _, err := d.Decode(t.Context(), "topic", framed(1, nil)); !isRegistrys(err) || !strings.Contains(err.Error(), "leaf") {
		t.Errorf("error %v, want one of the registry that names the reference", err)
	}
}

func TestASchemaThatCannotBeReadIsPoison(t *testing.T) {
	var endless atomic.Int32
	tests := []struct {
		name, says string
		answer     http.HandlerFunc
	}{
		{"no Avro", "want AVRO", answering(200, `{"schemaType":"PROTOBUF","schema":"message M {}"}`)},
		{"broken", "parsing the schema", answering(200, `{"schema":"{\"type\":\"record\"}"}`)},
		{"long and broken", "parsing the schema", answering(200, `{"schema":"{\"type\":\"`+strings.Repeat("x", 10_000)+`\"}"}`)},
		{"endless references", "more than 100", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"schema":"\"int\"","references":[{"name":"n","subject":"s","version":%d}]}`, endless.Add(1))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newEmptyDecoder(t, Config{URLs: []string{serve(t, test.answer)}})
			_, err := d.Decode(t.Context(), "topic", framed(1, nil))
			var poison *PoisonError
			if !errors.As(err, &poison) || !strings.Contains(poison.Reason, test.says) || len(poison.Reason) > maxText {
				t.Errorf("error %v, want a short *Poison that says %q", err, test.says)
			}
		})
	}
}
