package vendorhttp

import (
	"errors"
	"net"
	"net/http"
	"time"

	"sluice/internal/sink"
)

// ClassifyExchange is the outcome table as far as transport and HTTP status decide it. Class Delivered means a 2xx whose body is there to be read;
// whether it says what is due is the caller's to find out, and so are the items, the vendor's code, message and request id.
//
// A 2xx whose body could not be read is Unknown; a refusal without a readable body is still that refusal. 1xx and 600 and above,
// which HTTP does not know as final answers, are Unknown.
func ClassifyExchange(r Exchange) sink.Response {
	a := sink.Response{Result: sink.Result{Status: r.Status}, Err: r.Err}
	if r.Status == 0 {
		a.Class = classifyError(r)
		return a
	}
	a.Class = classifyStatus(r.Status)
	switch {
	case a.Class == sink.Delivered && r.Err != nil:
		a.Class = sink.Unknown
	case r.Status == http.StatusTooManyRequests, r.Status == http.StatusServiceUnavailable:
		a.RetryAfter = ParseRetryAfter(r.Header, time.Now())
	case a.Class == sink.Unavailable:
		a.MayHaveActed = r.Status >= 500
	}
	return a
}

func classifyStatus(status int) sink.ResultClass {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return sink.Unauthorized
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return sink.Misconfigured
	// The proxy, the wrong host and the wrong protocol speak here: none of them has looked at the data.
	case http.StatusProxyAuthRequired, http.StatusMisdirectedRequest, http.StatusUpgradeRequired:
		return sink.Misconfigured
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusServiceUnavailable:
		return sink.Unavailable
	case http.StatusRequestEntityTooLarge:
		return sink.TooLarge
	case http.StatusTooManyRequests:
		return sink.Throttled
	case http.StatusBadGateway, http.StatusGatewayTimeout, statusOriginError, statusOriginTimeout, statusReadTimeout, statusConnectTimeout:
		return sink.Unknown
	}
	return classifyHundred(status)
}

// Statuses of proxies that no RFC defines. As with 502 and 504, the proxy forwarded the request, or may
// have, and knows nothing of what the vendor made of it.
const (
	statusOriginError    = 520 // Cloudflare: the origin reset the connection or gave an answer that is not HTTP
	statusOriginTimeout  = 524 // Cloudflare: the origin was connected and did not answer in time
	statusReadTimeout    = 598 // by convention: no answer was read in time
	statusConnectTimeout = 599 // by convention: no connection in time; some use it for any failure
)

func classifyHundred(status int) sink.ResultClass {
	switch status / 100 {
	case 2:
		return sink.Delivered
	case 3:
		return sink.Misconfigured
	case 4:
		return sink.Rejected
	case 5:
		return sink.Unavailable
	}
	return sink.Unknown
}

// classifyError: a name look-up that timed out or that the context ended does not say that the name is wrong.
func classifyError(r Exchange) sink.ResultClass {
	var dns *net.DNSError
	switch {
	case errors.Is(r.Err, ErrTLS):
		return sink.Misconfigured
	case r.RequestWritten:
		return sink.Unknown
	case errors.As(r.Err, &dns) && !cutShort(r.Err):
		return sink.Misconfigured
	}
	return sink.Unavailable
}
