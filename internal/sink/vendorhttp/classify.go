package vendorhttp

import (
	"errors"
	"net"
	"net/http"
	"time"

	"sluice/internal/sink"
)

// ClassifyExchange classifies an exchange by its transport error and HTTP status alone. The class
// Delivered means a 2xx status with a body that was read. The caller interprets the body, and fills
// in the vendor's code, message, request ID and item results.
//
// A 2xx status without a readable body is Unknown; the class of any other status does not depend on
// the body. Statuses outside 200 to 599 are Unknown.
func ClassifyExchange(exchange Exchange) sink.Response {
	response := sink.Response{Result: sink.Result{Status: exchange.Status}, Err: exchange.Err}
	if exchange.Status == 0 {
		response.Class = classifyError(exchange)
		return response
	}
	response.Class = classifyStatus(exchange.Status)
	switch {
	case response.Class == sink.Delivered && exchange.Err != nil:
		response.Class = sink.Unknown
	case exchange.Status == http.StatusTooManyRequests, exchange.Status == http.StatusServiceUnavailable:
		response.RetryAfter = ParseRetryAfter(exchange.Header, time.Now())
	case response.Class == sink.Unavailable:
		response.MayHaveActed = exchange.Status >= 500
	}
	return response
}

// Statuses of proxies that no RFC defines. As with 502 and 504, the proxy may have forwarded the
// request and does not know whether the vendor acted on it.
const (
	statusOriginError    = 520 // Cloudflare: the origin reset the connection or sent no HTTP
	statusOriginTimeout  = 524 // Cloudflare: the origin sent no response in time
	statusReadTimeout    = 598 // by convention: no response was read in time
	statusConnectTimeout = 599 // by convention: no connection in time, or any failure
)

func classifyStatus(status int) sink.ResultClass {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return sink.Unauthorized
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return sink.Misconfigured
	// These mean a proxy, the wrong host or the wrong protocol: the vendor has not seen the data.
	case http.StatusProxyAuthRequired, http.StatusMisdirectedRequest, http.StatusUpgradeRequired:
		return sink.Misconfigured
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusServiceUnavailable:
		return sink.Unavailable
	case http.StatusRequestEntityTooLarge:
		return sink.TooLarge
	case http.StatusTooManyRequests:
		return sink.Throttled
	case http.StatusBadGateway, http.StatusGatewayTimeout,
		statusOriginError, statusOriginTimeout, statusReadTimeout, statusConnectTimeout:
		return sink.Unknown
	}
	return classifyStatusRange(status)
}

func classifyStatusRange(status int) sink.ResultClass {
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

// classifyError classifies an exchange without a response. A host name is not wrong just because
// its lookup timed out or was canceled.
func classifyError(exchange Exchange) sink.ResultClass {
	var dnsErr *net.DNSError
	switch {
	case errors.Is(exchange.Err, ErrTLS):
		return sink.Misconfigured
	case exchange.RequestWritten:
		return sink.Unknown
	case errors.As(exchange.Err, &dnsErr) && !isInterrupted(exchange.Err):
		return sink.Misconfigured
	}
	return sink.Unavailable
}
