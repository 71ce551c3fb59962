package vendorhttp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/internal/sink"
)

// Whatever moment an attempt ends at, a request that the vendor had whole is never said not to have been written: what is Unavailable is sent again
// without being counted as a possible duplicate. Reading WroteRequest alone fails here, for net/http calls it on another goroutine than the one that returns.
func TestARequestThatTheVendorHadWholeCountsAsWritten(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			v := newReader(t, http2)
			client := newClient(t, Options{InsecureSkipVerify: true})
			whole, cutOff := 0, 0
			for _, size := range []int{1, 5_000, 40_000, 300_000} {
				for _, back := range []int{0, 1, 100, 4_096, 32_768} {
					for range 10 {
						written, had := v.attempt(t, client, size, max(size-back, 0))
						if had && !written {
							t.Fatalf("%d bytes, ended %d before the end: the vendor had them all, and they count as not written", size, back)
						}
						if had {
							whole++
						}
						if !written {
							cutOff++
						}
					}
				}
			}
			if whole == 0 || cutOff == 0 {
				t.Errorf("%d whole and %d not written: nothing was proved", whole, cutOff)
			}
		})
	}
}

// reader is a vendor that ends the attempt when it has read so many bytes, reads on, and tells whether it had the request whole.
type reader struct {
	url   string
	calls chan call
	had   chan bool
}

type call struct {
	size, endAt int
	end         context.CancelFunc
}

func newReader(t *testing.T, http2 bool) *reader {
	v := &reader{calls: make(chan call, 1), had: make(chan bool, 1)}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c := <-v.calls
		n, err := io.CopyN(io.Discard, r.Body, int64(c.endAt))
		c.end()
		if err == nil {
			var rest int64
			rest, _ = io.Copy(io.Discard, r.Body)
			n += rest
		}
		v.had <- n == int64(c.size)
		<-r.Context().Done()
	}))
	srv.EnableHTTP2 = http2
	srv.StartTLS()
	t.Cleanup(srv.Close)
	v.url = srv.URL
	return v
}

func (v *reader) attempt(t *testing.T, client *http.Client, size, endAt int) (written, had bool) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	req, err := http.NewRequest(http.MethodPost, v.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Body, req.ContentLength, req.GetBody = Body(nil, []sink.Item{{Body: make([]byte, size)}}, nil)
	v.calls <- call{size, endAt, end}
	reply := Do(ctx, client, req, 0)
	if reply.Err == nil {
		t.Fatalf("an answer came: %d", reply.Status)
	}
	return reply.Written, <-v.had
}
