package decode

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/test/testkit"
)

// fakeRegistry responds to requests without a network, so that the clock of a synctest bubble
// advances only where the test waits.
type fakeRegistry struct {
	respond  http.HandlerFunc
	requests atomic.Int32
}

func (p *fakeRegistry) RoundTrip(req *http.Request) (*http.Response, error) {
	p.requests.Add(1)
	w := httptest.NewRecorder()
	p.respond(w, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

var unknownToRegistry = respondWith(404, `{"error_code":40403,"message":"Schema not found"}`)

// serveOnly responds like a registry that knows only the given ID.
func serveOnly(id string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/schemas/ids/"+id {
			serveEmptySchema(w, r)
			return
		}
		unknownToRegistry(w, r)
	}
}

func newFakeRegistry(t testing.TB, cfg Config, handler http.HandlerFunc) (*Decoder, *fakeRegistry) {
	p := &fakeRegistry{respond: handler}
	cfg.URLs, cfg.Transport = []string{"http://registry"}, p
	return newEmptyDecoder(t, cfg), p
}

func decodeUnknown(t *testing.T, d *Decoder, id uint32) *UnknownSchemaError {
	t.Helper()
	_, err := d.Decode(t.Context(), "topic", wireFormat(id, nil))
	var unknown *UnknownSchemaError
	if !errors.As(err, &unknown) {
		t.Fatalf("ID %d: got error %v, want an *UnknownSchemaError", id, err)
	}
	return unknown
}

func TestKnownIDIsLookedUpOnce(t *testing.T) {
	d, p := newFakeRegistry(t, Config{}, serveEmptySchema)
	for range 3 {
		if _, err := d.Decode(t.Context(), "topic", wireFormat(1, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.requests.Load(); got != 1 {
		t.Errorf("got %d lookups, want 1", got)
	}
}

func TestUnknownIDIsLookedUpAgainOnlyAfterItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newFakeRegistry(t, Config{UnknownIDCacheTTL: 2 * time.Second}, unknownToRegistry)
		start := time.Now()
		for second, want := range []int32{1, 1, 2, 2, 3} {
			if first := decodeUnknown(t, d, 7).FirstSeen; !first.Equal(start) {
				t.Errorf("second %d: got first seen at %s, want %s", second, first, start)
			}
			if got := p.requests.Load(); got != want {
				t.Errorf("second %d: got %d lookups, want %d", second, got, want)
			}
			testkit.AdvanceClock(time.Second)
		}
	})
}

func TestIDRegisteredLaterIsDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newFakeRegistry(t, Config{UnknownIDCacheTTL: time.Second}, unknownToRegistry)
		_ = decodeUnknown(t, d, 7)
		p.respond = serveEmptySchema
		testkit.AdvanceClock(time.Second)
		if _, err := d.Decode(t.Context(), "topic", wireFormat(7, nil)); err != nil {
			t.Error(err)
		}
	})
}

func TestFirstSeenIsResetOnceAnIDWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newFakeRegistry(t, Config{UnknownIDCacheTTL: time.Second, MaxIDs: 1}, unknownToRegistry)
		_ = decodeUnknown(t, d, 7)
		p.respond = serveEmptySchema
		testkit.AdvanceClock(time.Minute)
		for _, id := range []uint32{7, 8} { // 8 evicts 7
			if _, err := d.Decode(t.Context(), "topic", wireFormat(id, nil)); err != nil {
				t.Fatal(err)
			}
		}
		p.respond = unknownToRegistry
		testkit.AdvanceClock(time.Minute)
		if first := decodeUnknown(t, d, 7).FirstSeen; !first.Equal(time.Now()) {
			t.Errorf("got first seen %v ago, want now", time.Since(first))
		}
	})
}

// The wrong registry knows no ID at all. The caller must be able to distinguish it from one that
// lacks a single ID.
func TestEverResolvedDistinguishesAWrongRegistryFromAMissingID(t *testing.T) {
	d, _ := newFakeRegistry(t, Config{}, serveOnly("1"))
	if decodeUnknown(t, d, 7).EverResolved {
		t.Error("got EverResolved before any ID was known, want it false")
	}
	if _, err := d.Decode(t.Context(), "topic", wireFormat(1, nil)); err != nil {
		t.Fatal(err)
	}
	if !decodeUnknown(t, d, 7).EverResolved {
		t.Error("got EverResolved false after ID 1 was known, want it true")
	}
}

func TestManyUnknownIDsAreBoundedAndEvictNoKnownID(t *testing.T) {
	d, p := newFakeRegistry(t, Config{MaxIDs: 10}, serveOnly("1"))
	for id := range uint32(100) {
		_, err := d.Decode(t.Context(), "topic", wireFormat(id, nil))
		if known := id == 1; (err == nil) != known {
			t.Fatalf("ID %d: got error %v, want one: %t", id, err, !known)
		}
	}
	before := p.requests.Load()
	if _, err := d.Decode(t.Context(), "topic", wireFormat(1, nil)); err != nil || p.requests.Load() != before {
		t.Errorf("got %d more lookups of the known ID and error %v, want none", p.requests.Load()-before, err)
	}
	if got := d.unknownIDs.order.Len(); got != 10 {
		t.Errorf("got %d cached unknown IDs, want 10", got)
	}
}

func TestConcurrentCallersShareOneLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		d, p := newFakeRegistry(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			<-gate
			serveEmptySchema(w, r)
		})
		results := make(chan error, 5)
		for range cap(results) {
			go func() {
				_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
				results <- err
			}()
		}
		synctest.Wait()
		close(gate)
		for range cap(results) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if got := p.requests.Load(); got != 1 {
			t.Errorf("got %d lookups, want 1", got)
		}
	})
}

// The context of the caller that makes the lookup may be canceled. Callers that wait for it must
// not get the error of that context.
func TestWaitingCallerRepeatsTheLookupOfACanceledOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newFakeRegistry(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
				serveEmptySchema(w, r)
			}
		})
		stopping, stop := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := d.Decode(stopping, "topic", wireFormat(1, nil))
			first <- err
		}()
		synctest.Wait()
		go func() {
			_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
			second <- err
		}()
		synctest.Wait()
		stop()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled caller: got error %v, want context.Canceled", err)
		}
		if err := <-second; err != nil {
			t.Errorf("waiting caller: got error %v, want none", err)
		}
		if got := p.requests.Load(); got != 2 {
			t.Errorf("got %d lookups, want 2", got)
		}
	})
}

func TestWaitForAnotherCallersLookupEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		d, _ := newFakeRegistry(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			<-gate
			serveEmptySchema(w, r)
		})
		first := make(chan error, 1)
		go func() {
			_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
			first <- err
		}()
		synctest.Wait()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if _, err := d.Decode(stopped, "topic", wireFormat(1, nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want context.Canceled", err)
		}
		close(gate)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestEachURLHasItsOwnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeRegistry{respond: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		d := newEmptyDecoder(t, Config{URLs: []string{"http://a", "http://b"}, Transport: p, Timeout: 10 * time.Second})
		start := time.Now()
		_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
		if !isRegistryError(err) || time.Since(start) != 20*time.Second {
			t.Errorf("got error %v after %s, want one of the registry after 20s", err, time.Since(start))
		}
	})
}

// The model is a slice of the IDs by last use.
func TestCacheKeepsTheMostRecentlyUsedIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 4
		c := newLRU[int](most)
		var model []int // the last used at the end
		use := func(id int) {
			removeID(&model, id)
			model = append(model, id)
		}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			id := rapid.IntRange(0, 7).Draw(t, "id")
			switch rapid.SampledFrom([]string{"put", "get", "remove"}).Draw(t, "step") {
			case "put":
				c.put(id, id*10)
				if use(id); len(model) > most {
					model = model[1:]
				}
			case "remove":
				c.removeEntry(id)
				removeID(&model, id)
			case "get":
				value, ok := c.get(id)
				if want := removeID(&model, id); ok != want || (ok && value != id*10) {
					t.Fatalf("get %d: got %d and %t, want %t", id, value, ok, want)
				} else if want {
					model = append(model, id)
				}
			}
			if len(c.byID) != len(model) || c.order.Len() != len(model) {
				t.Fatalf("got %d IDs and %d entries, want %d", len(c.byID), c.order.Len(), len(model))
			}
		}
	})
}

// removeID removes an ID from the model and reports whether it was there.
func removeID(model *[]int, id int) bool {
	for i, have := range *model {
		if have == id {
			*model = append((*model)[:i:i], (*model)[i+1:]...)
			return true
		}
	}
	return false
}
