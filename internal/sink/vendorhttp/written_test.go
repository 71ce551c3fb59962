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

// A request that the vendor has read completely must count as written, whenever the attempt ends:
// an Unavailable call is sent again without being counted as a possible duplicate. Relying on
// WroteRequest alone fails here, because net/http calls it on a goroutine other than the one that
// returns.
func TestRequestThatTheVendorReadWholeCountsAsWritten(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			v := newEndingVendor(t, http2)
			client := newClient(t, Options{InsecureSkipVerify: true})
			whole := 0
			for _, size := range []int{1, 5_000, 40_000, 300_000} {
				for _, back := range []int{0, 1, 100, 4_096, 32_768} {
					for range 10 {
						written, readWhole := v.makeCall(t, client, endingCall{size: size, endAfter: max(size-back, 0)})
						if readWhole && !written {
							t.Fatalf("%d bytes, ended %d before the end: the vendor read them all, want them counted as written", size, back)
						}
						if readWhole {
							whole++
						}
					}
				}
			}
			if whole == 0 {
				t.Error("got no request that was read completely, want some: the test proves nothing")
			}
			if written, readWhole := v.makeCall(t, client,
				endingCall{size: large, endAfter: 100, stall: true}); written || readWhole {
				t.Errorf("got written %v and read whole %v from a vendor that stopped reading, want neither", written,
					readWhole)
			}
		})
	}
}

// endingVendor is a fake vendor that ends the attempt once it has read a given number of bytes,
// then reads the rest (with stall only after the attempt has ended) and reports whether it received
// the whole request.
type endingVendor struct {
	url      string
	calls    chan endingCall
	gotWhole chan bool
}

type endingCall struct {
	size, endAfter int
	stall          bool
	endCall        context.CancelFunc
	ended          chan struct{}
}

func newEndingVendor(t *testing.T, http2 bool) *endingVendor {
	v := &endingVendor{calls: make(chan endingCall, 1), gotWhole: make(chan bool, 1)}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c := <-v.calls
		n, err := io.CopyN(io.Discard, r.Body, int64(c.endAfter))
		c.endCall()
		if c.stall {
			<-c.ended
		}
		if err == nil {
			rest, _ := io.Copy(io.Discard, r.Body)
			n += rest
		}
		v.gotWhole <- n == int64(c.size)
		<-r.Context().Done()
	}))
	srv.EnableHTTP2 = http2
	srv.StartTLS()
	t.Cleanup(srv.Close)
	v.url = srv.URL
	return v
}

func (v *endingVendor) makeCall(t *testing.T, client *http.Client, c endingCall) (written, readWhole bool) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	req, err := http.NewRequest(http.MethodPost, v.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Body, req.ContentLength, req.GetBody = Body(nil, []sink.Item{{Body: make([]byte, c.size)}}, nil)
	c.endCall, c.ended = end, make(chan struct{})
	v.calls <- c
	// The server may respond while the connection is being closed, so a response is not a failure
	// here.
	exchange := RoundTrip(ctx, client, req, 0)
	close(c.ended)
	return exchange.RequestWritten, <-v.gotWhole
}
