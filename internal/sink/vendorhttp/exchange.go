package vendorhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"syscall"
)

// DefaultMaxBody is the default limit for the body of a response in bytes. It is about ten times
// the longest documented response, 1,000 items of CRM.COM.
const DefaultMaxBody = 4 << 20

// Exchange is the HTTP side of one call.
type Exchange struct {
	// Status is the HTTP status, or 0 if there was no response.
	Status int
	// Header is the header of the response, or nil.
	Header http.Header
	// Body is the whole body, decompressed. It is nil if it could not be read; Err is then the
	// reason.
	Body []byte
	// RequestWritten means that the vendor may have received the whole request. If it is false, the
	// vendor received at most a part of it and did not act.
	RequestWritten bool
	// Err is the reason why there is no response or no body. It wraps ctx.Err() if the context
	// ended the attempt.
	Err error
}

// The kinds of Exchange.Err, besides those of packages net and context.
var (
	// ErrBodyTooLarge: the body of the response exceeds the limit. The status is valid.
	ErrBodyTooLarge = errors.New("the response body is too large")
	// ErrContentCoding: the body is compressed in a way that was not asked for and cannot be read.
	// The status is valid.
	ErrContentCoding = errors.New("the response body has a content coding that was not asked for")
	// ErrTLS: no secure connection could be established.
	ErrTLS = errors.New("TLS failure")
)

// RoundTrip makes one call and reads its response. The decompressed body may have at
// most maxBody bytes, or DefaultMaxBody if maxBody is not positive. RoundTrip follows no redirect
// and uses neither the client's cookie jar nor its timeout: the context is the only limit on the
// duration. The request's body must be in memory. It is not read after RoundTrip returns, so its
// bytes may then be reused.
func RoundTrip(ctx context.Context, client *http.Client, req *http.Request, maxBody int64) Exchange {
	a := &attempt{}
	hasBody := req.Body != nil && req.Body != http.NoBody
	req = req.WithContext(httptrace.WithClientTrace(ctx, a.clientTrace()))
	a.watchBody(req)
	// The call bypasses the client and uses its transport: the client's errors quote the URL with
	// its query, and it fails on a redirect whose Location cannot be parsed.
	resp, err := transportOf(client).RoundTrip(req)
	if err != nil {
		return Exchange{RequestWritten: a.seal(hasBody), Err: callError(ctx, req, err, a.handshakeError())}
	}
	defer resp.Body.Close()
	exchange := Exchange{Status: resp.StatusCode, Header: resp.Header}
	exchange.Body, exchange.Err = readBody(ctx, resp.Body, maxBody)
	if len(exchange.Body) > 0 && hasContentCoding(resp.Header) {
		exchange.Body, exchange.Err = nil, fmt.Errorf("reading the response: %w", ErrContentCoding)
	}
	exchange.RequestWritten = a.seal(hasBody)
	return exchange
}

func transportOf(client *http.Client) http.RoundTripper {
	if client.Transport == nil {
		return http.DefaultTransport
	}
	return client.Transport
}

// hasContentCoding reports whether a body is still compressed. The transport removes the header
// when it decompresses a body; any other coding was not asked for.
func hasContentCoding(header http.Header) bool {
	coding := header.Get("Content-Encoding")
	return coding != "" && !strings.EqualFold(coding, "identity")
}

// readBody reads the body to its end, so that the connection can be reused, or stops one byte over
// the limit.
func readBody(ctx context.Context, body io.Reader, maxBody int64) ([]byte, error) {
	if maxBody <= 0 {
		maxBody = DefaultMaxBody
	}
	b, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return nil, withContextError(ctx, fmt.Errorf("reading the response: %w", maskedError{err}))
	}
	if int64(len(b)) > maxBody {
		return nil, fmt.Errorf("reading the response: %w: over %d bytes", ErrBodyTooLarge, maxBody)
	}
	return b, nil
}

func callError(ctx context.Context, req *http.Request, err, handshakeErr error) error {
	action := fmt.Sprintf("calling %s %s%s", req.Method, req.URL.Host, req.URL.Path)
	if isTLSFailure(err, handshakeErr) {
		return fmt.Errorf("%s: %w: %w", action, ErrTLS, err)
	}
	return withContextError(ctx, fmt.Errorf("%s: %w", action, maskedError{err}))
}

// maskedError masks the quoted parts of an error's text. net/http quotes what it cannot parse in
// a response, which may be personal data.
type maskedError struct{ err error }

var quotedPart = regexp.MustCompile(`"(?:[^"\\]|\\.)*("|$)`)

func (e maskedError) Error() string { return quotedPart.ReplaceAllLiteralString(e.err.Error(), mask) }
func (e maskedError) Unwrap() error { return e.err }

// withContextError makes the error of an attempt wrap ctx.Err() if its context has ended, whatever
// the transport returned.
func withContextError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil, errors.Is(err, ctx.Err()):
		return err
	case err == nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", err, ctx.Err())
}

// isTLSFailure reports whether the peers could not agree (on a certificate, on a version, or on TLS
// at all), as opposed to a handshake that the network interrupted.
func isTLSFailure(err, handshakeErr error) bool {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	// The peer may send an alert after the handshake, for example for a missing client certificate
	// in TLS 1.3. crypto/tls does not export its type.
	var opErr *net.OpError
	if errors.As(err, &opErr) && opErr.Op == "remote error" {
		return true
	}
	return handshakeErr != nil && !isInterrupted(handshakeErr)
}

// isInterrupted reports whether err means that the network or the context interrupted something.
func isInterrupted(err error) bool {
	var netErr net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return true
	}
	return errors.As(err, &netErr) && netErr.Timeout()
}
