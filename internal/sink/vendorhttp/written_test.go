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

// Whatever moment an attempt ends at, a request that the vendor had whole is never said not to have
// been written: what is Unavailable is sent again without being counted as a possible duplicate.
// Reading WroteRequest alone fails here, for net/http calls it on another goroutine than the one
// that returns.
func TestARequestThatTheVendorHadWholeCountsAsWritten(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			v := newReader(t, http2)
			client := newClient(t, Options{InsecureSkipVerify: true})
			whole := 0
			for _, size := range []int{1, 5_000, 40_000, 300_000} {
				for _, back := range []int{0, 1, 100, 4_096, 32_768} {
					for range 10 {
						written, had := v.attempt(t, client, call{size: size, endAt: max(size-back, 0)})
						if had && !written {
							t.Fatalf("%d bytes, ended %d before the end: the vendor had them all, and they count as not written", size, back)
						}
						if had {
							whole++
						}
					}
				}
			}
			if whole == 0 {
				t.Error("no request was whole: nothing was proved")
			}
			if written, had := v.attempt(t, client, call{size: large, endAt: 100, stall: true}); written || had {
				t.Errorf("a vendor that stopped reading: written %v, had it whole %v", written, had)
			}
		})
	}
}

// reader is a vendor that ends the attempt when it has read so many bytes, reads on (with stall,
// once the attempt has ended), and tells whether it had the request whole.
type reader struct {
	url   string
	calls chan call
	had   chan bool
}

type call struct {
	size, endAt int
	stall       bool
	end         context.CancelFunc
	ended       chan struct{}
}

func newReader(t *testing.T, http2 bool) *reader {
	v := &reader{calls: make(chan call, 1), had: make(chan bool, 1)}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c := <-v.calls
		n, err := io.CopyN(io.Discard, r.Body, int64(c.endAt))
		c.end()
		if c.stall {
			<-c.ended
		}
		if err == nil {
			rest, _ := io.Copy(io.Discard, r.Body)
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

func (v *reader) attempt(t *testing.T, client *http.Client, c call) (written, had bool) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	req, err := http.NewRequest(http.MethodPost, v.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Body, req.ContentLength, req.GetBody = Body(nil, []sink.Item{{Body: make([]byte, c.size)}}, nil)
	c.end, c.ended = end, make(chan struct{})
	v.calls <- c
	// The server may answer while the connection is being closed, so that an answer is no fault
	// here.
	reply := RoundTrip(ctx, client, req, 0)
	close(c.ended)
	return reply.RequestWritten, <-v.had
}
