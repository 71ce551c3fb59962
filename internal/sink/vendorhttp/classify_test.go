package vendorhttp

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"sluice/internal/sink"
)

// expectedClass has an independent table, in a different order than the code, with each status in
// exactly one row.
func expectedClass(status int) sink.ResultClass {
	statuses := map[sink.ResultClass][]int{
		sink.Unauthorized:  {401, 403},
		sink.Misconfigured: {404, 405, 407, 415, 421, 426},
		sink.TooLarge:      {413},
		sink.Throttled:     {429},
		sink.Unavailable:   {408, 425, 503},
		sink.Unknown:       {502, 504, 520, 524, 598, 599},
	}
	for class, list := range statuses {
		for _, s := range list {
			if s == status {
				return class
			}
		}
	}
	hundreds := map[int]sink.ResultClass{1: sink.Unknown, 2: sink.Delivered, 3: sink.Misconfigured, 4: sink.Rejected,
		5: sink.Unavailable}
	return hundreds[status/100]
}

func TestEveryStatusHasItsClass(t *testing.T) {
	for status := 100; status <= 599; status++ {
		header := http.Header{"Retry-After": {"7"}}
		a := ClassifyExchange(Exchange{Status: status, Header: header, Body: []byte{}, RequestWritten: true})
		want := expectedClass(status)
		if a.Class != want {
			t.Errorf("%d: got class %v, want %v", status, a.Class, want)
		}
		if a.Status != status {
			t.Errorf("%d: got status %d, want the same", status, a.Status)
		}
		acted := status >= 500 && want == sink.Unavailable && status != 503
		if a.MayHaveActed != acted {
			t.Errorf("%d: MayHaveActed %v, want %v", status, a.MayHaveActed, acted)
		}
		wait := time.Duration(0)
		if status == 429 || status == 503 {
			wait = 7 * time.Second
		}
		if a.RetryAfter != wait {
			t.Errorf("%d: RetryAfter %v, want %v", status, a.RetryAfter, wait)
		}
	}
}

func TestStatusOutsideHTTPIsUnknown(t *testing.T) {
	for _, status := range []int{1, 99, 600, 999} {
		if a := ClassifyExchange(Exchange{Status: status}); a.Class != sink.Unknown {
			t.Errorf("%d: got class %v, want unknown", status, a.Class)
		}
	}
}

func TestOnlySuccessNeedsItsBody(t *testing.T) {
	broken := errors.New("reading the response: reset")
	for status := 200; status <= 599; status++ {
		want := expectedClass(status)
		if want == sink.Delivered {
			want = sink.Unknown
		}
		a := ClassifyExchange(Exchange{Status: status, RequestWritten: true, Err: broken})
		if a.Class != want || !errors.Is(a.Err, broken) {
			t.Errorf("%d: got class %v, error %v, want %v with the error", status, a.Class, a.Err, want)
		}
	}
}

func TestErrorDecidesIfThereIsNoResponse(t *testing.T) {
	for _, c := range []struct {
		name     string
		exchange Exchange
		want     sink.ResultClass
	}{
		{"any error before the request was written", Exchange{Err: errors.New("x")}, sink.Unavailable},
		{"any error after it", Exchange{Err: errors.New("x"), RequestWritten: true}, sink.Unknown},
		{"a TLS failure", Exchange{Err: ErrTLS}, sink.Misconfigured},
		{"a TLS alert after the request", Exchange{Err: ErrTLS, RequestWritten: true}, sink.Misconfigured},
		{"a name that does not exist", Exchange{Err: &net.DNSError{IsNotFound: true}}, sink.Misconfigured},
		{"a name server that fails", Exchange{Err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}},
			sink.Misconfigured},
		{"a name server that does not respond", Exchange{Err: &net.DNSError{IsTimeout: true}}, sink.Unavailable},
	} {
		if a := ClassifyExchange(c.exchange); a.Class != c.want {
			t.Errorf("%s: got class %v, want %v", c.name, a.Class, c.want)
		}
	}
}

func TestAlertFromThePeerIsTLSFailure(t *testing.T) {
	if !isTLSFailure(&net.OpError{Op: "remote error", Err: errors.New("certificate required")}, nil) {
		t.Error("got false for an alert from the peer, want a TLS failure")
	}
}
