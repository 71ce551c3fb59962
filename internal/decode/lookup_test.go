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

// inProcess answers requests without a network, so that a bubble's clock stands still only where the test waits.
type inProcess struct {
	answer http.HandlerFunc
	asked  atomic.Int32
}

func (p *inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	p.asked.Add(1)
	w := httptest.NewRecorder()
	p.answer(w, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

var unknownToRegistry = answering(404, `{"error_code":40403,"message":"Schema not found"}`)

// knownOnly is a registry that knows that id and no other.
func knownOnly(id string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/schemas/ids/"+id {
			knows(w, r)
			return
		}
		unknownToRegistry(w, r)
	}
}

func newInProcess(t testing.TB, cfg Config, answer http.HandlerFunc) (*Decoder, *inProcess) {
	p := &inProcess{answer: answer}
	cfg.URLs, cfg.Transport = []string{"http://registry"}, p
	return newEmptyDecoder(t, cfg), p
}

func unknownOf(t *testing.T, d *Decoder, id uint32) *UnknownSchemaError {
	t.Helper()
	_, err := d.Decode(t.Context(), "topic", framed(id, nil))
	var unknown *UnknownSchemaError
	if !errors.As(err, &unknown) {
		t.Fatalf("id %d: error %v, want an *UnknownID", id, err)
	}
	return unknown
}

func TestAKnownIDIsAskedForOnce(t *testing.T) {
	d, p := newInProcess(t, Config{}, knows)
	for range 3 {
		if _, err := d.Decode(t.Context(), "topic", framed(1, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.asked.Load(); got != 1 {
		t.Errorf("%d look-ups, want 1", got)
	}
}

func TestAnUnknownIDIsAskedForAgainOnlyAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newInProcess(t, Config{UnknownIDCacheTTL: 2 * time.Second}, unknownToRegistry)
		start := time.Now()
		for step, want := range []int32{1, 1, 2, 2, 3} {
			if first := unknownOf(t, d, 7).FirstSeen; !first.Equal(start) {
				t.Errorf("second %d: first seen at %s, want the first look-up's %s", step, first, start)
			}
			if got := p.asked.Load(); got != want {
				t.Errorf("second %d: %d look-ups, want %d", step, got, want)
			}
			testkit.AdvanceClock(time.Second)
		}
	})
}

func TestAnIDThatTheRegistryLearnsDecodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newInProcess(t, Config{UnknownIDCacheTTL: time.Second}, unknownToRegistry)
		_ = unknownOf(t, d, 7)
		p.answer = knows
		testkit.AdvanceClock(time.Second)
		if _, err := d.Decode(t.Context(), "topic", framed(7, nil)); err != nil {
			t.Error(err)
		}
	})
}

func TestAnIDThatWasKnownIsUnknownFromThenOnOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newInProcess(t, Config{UnknownIDCacheTTL: time.Second, MaxIDs: 1}, unknownToRegistry)
		_ = unknownOf(t, d, 7)
		p.answer = knows
		testkit.AdvanceClock(time.Minute)
		for _, id := range []uint32{7, 8} { // 8 pushes 7 out
			if _, err := d.Decode(t.Context(), "topic", framed(id, nil)); err != nil {
				t.Fatal(err)
			}
		}
		p.answer = unknownToRegistry
		testkit.AdvanceClock(time.Minute)
		if first := unknownOf(t, d, 7).FirstSeen; !first.Equal(time.Now()) {
			t.Errorf("first seen %v ago, want now", time.Since(first))
		}
	})
}

// A wrong registry knows no id at all: the caller has to see that apart from a registry that lacks one.
func TestEverResolvedTellsAWrongRegistryFromAMissingID(t *testing.T) {
	d, _ := newInProcess(t, Config{}, knownOnly("1"))
	if unknownOf(t, d, 7).EverResolved {
		t.Error("EverResolved before any id was known")
	}
	if _, err := d.Decode(t.Context(), "topic", framed(1, nil)); err != nil {
		t.Fatal(err)
	}
	if !unknownOf(t, d, 7).EverResolved {
		t.Error("not EverResolved after id 1 was known")
	}
}

func TestAFloodOfUnknownIDsStaysBoundedAndPushesNoKnownOneOut(t *testing.T) {
	d, p := newInProcess(t, Config{MaxIDs: 10}, knownOnly("1"))
	for id := range uint32(100) {
		_, err := d.Decode(t.Context(), "topic", framed(id, nil))
		if known := id == 1; (err == nil) != known {
			t.Fatalf("id %d: error %v", id, err)
		}
	}
	before := p.asked.Load()
	if _, err := d.Decode(t.Context(), "topic", framed(1, nil)); err != nil || p.asked.Load() != before {
		t.Errorf("after the flood: %d look-ups more for the known id, error %v", p.asked.Load()-before, err)
	}
	if got := d.unknown.order.Len(); got != 10 {
		t.Errorf("%d unknown ids remembered, want 10", got)
	}
}

func TestOneLookUpServesAllThatWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		d, p := newInProcess(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			<-gate
			knows(w, r)
		})
		results := make(chan error, 5)
		for range cap(results) {
			go func() {
				_, err := d.Decode(t.Context(), "topic", framed(1, nil))
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
		if got := p.asked.Load(); got != 1 {
			t.Errorf("%d look-ups, want 1", got)
		}
	})
}

// The caller that makes the look-up may be one that stops: the others must not be told that their context ended.
func TestAWaiterTakesTheLookUpOverFromACallerThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newInProcess(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
				knows(w, r)
			}
		})
		stopping, stop := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := d.Decode(stopping, "topic", framed(1, nil))
			first <- err
		}()
		synctest.Wait()
		go func() {
			_, err := d.Decode(t.Context(), "topic", framed(1, nil))
			second <- err
		}()
		synctest.Wait()
		stop()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that stops: error %v, want its context's", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the one that waits: %v", err)
		}
		if got := p.asked.Load(); got != 2 {
			t.Errorf("%d look-ups, want 2", got)
		}
	})
}

func TestACallerThatWaitsForAnothersLookUpStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		d, _ := newInProcess(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			<-gate
			knows(w, r)
		})
		first := make(chan error, 1)
		go func() {
			_, err := d.Decode(t.Context(), "topic", framed(1, nil))
			first <- err
		}()
		synctest.Wait()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if _, err := d.Decode(stopped, "topic", framed(1, nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want its context's", err)
		}
		close(gate)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestEachURLHasItsOwnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &inProcess{answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		d := newEmptyDecoder(t, Config{URLs: []string{"http://a", "http://b"}, Transport: p, Timeout: 10 * time.Second})
		start := time.Now()
		_, err := d.Decode(t.Context(), "topic", framed(1, nil))
		if !isRegistrys(err) || time.Since(start) != 20*time.Second {
			t.Errorf("after %s: error %v, want one of the registry after 20s", time.Since(start), err)
		}
	})
}

// The cache against a model: a slice of the ids by last use.
func TestTheCacheKeepsTheIDsUsedLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 4
		c := newLRU[int](most)
		var model []int // the last used at the end
		use := func(id int) {
			forget(&model, id)
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
				c.remove(id)
				forget(&model, id)
			case "get":
				value, ok := c.get(id)
				if want := forget(&model, id); ok != want || (ok && value != id*10) {
					t.Fatalf("get %d: %d, %t, want known %t", id, value, ok, want)
				} else if want {
					model = append(model, id)
				}
			}
			if len(c.byID) != len(model) || c.order.Len() != len(model) {
				t.Fatalf("holds %d and %d, want %d", len(c.byID), c.order.Len(), len(model))
			}
		}
	})
}

// forget takes an id out of the model and tells whether it was there.
func forget(model *[]int, id int) bool {
	for i, have := range *model {
		if have == id {
			*model = append((*model)[:i:i], (*model)[i+1:]...)
			return true
		}
	}
	return false
}
