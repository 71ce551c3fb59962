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

// DefaultMaxBody bounds an answer's body in bytes where the caller names no bound. The longest documented answer, 1000 items of
// CRM.COM, is about a tenth of it.
const DefaultMaxBody = 4 << 20

// Exchange is what one attempt came to.
type Exchange struct {
	// Status is the HTTP status; 0 where no answer came.
	Status int
	// Header is the answer's; nil where none came.
	Header http.Header
	// Body is the whole body, decompressed; nil where it could not be read or was too large, which Err then says.
	Body []byte
	// RequestWritten says that the vendor may have the whole request. Where it is false, what the vendor got is at most a part, and nothing was done.
	RequestWritten bool
	// Err is why there is no answer or no body. It wraps ctx.Err() where the context ended the attempt.
	Err error
}

// Kinds of error in Reply.Err, besides those of net and context.
var (
	// ErrBodyTooLarge: the answer's body is over the bound. The status holds.
	ErrBodyTooLarge = errors.New("the answer's body is too large")
	// ErrContentCoding: the body is compressed in a way that was not asked for, and cannot be read.
	// The status holds.
	ErrContentCoding = errors.New("the answer's body has a content coding that was not asked for")
	// ErrTLS: no secure connection could be agreed on.
	ErrTLS = errors.New("TLS failure")
)

// RoundTrip makes one attempt and reads the answer, at most maxBody bytes of body after decompression (0 or less: DefaultMaxBody). It follows no
// redirect, and uses neither the client's jar nor its time-out: the context is the only limit of time. The request's body must be in memory; it
// is not read any more after Do has returned, so its bytes may be used again.
func RoundTrip(ctx context.Context, client *http.Client, req *http.Request, maxBody int64) Exchange {
	a := &attempt{}
	hasBody := req.Body != nil && req.Body != http.NoBody
	req = req.WithContext(httptrace.WithClientTrace(ctx, a.trace()))
	a.watch(req)
	// The transport and not the client: a client's errors carry the URL with its query, and a redirect whose Location cannot
	// be parsed is an error to it.
	resp, err := transport(client).RoundTrip(req)
	if err != nil {
		return Exchange{RequestWritten: a.seal(hasBody), Err: sendError(ctx, req, err, a.handshakeErr())}
	}
	defer resp.Body.Close()
	reply := Exchange{Status: resp.StatusCode, Header: resp.Header}
	reply.Body, reply.Err = readBody(ctx, resp.Body, maxBody)
	if coding := resp.Header.Get("Content-Encoding"); len(reply.Body) > 0 && coding != "" && !strings.EqualFold(coding, "identity") {
		// The transport removes the header of what it decoded. The rest was not asked for.
		reply.Body, reply.Err = nil, fmt.Errorf("reading the answer: %w", ErrContentCoding)
	}
	reply.RequestWritten = a.seal(hasBody)
	return reply
}

func transport(client *http.Client) http.RoundTripper {
	if client.Transport == nil {
		return http.DefaultTransport
	}
	return client.Transport
}

// readBody reads to the end, so that the connection can be used again, or gives up one byte over the bound.
func readBody(ctx context.Context, body io.Reader, maxBody int64) ([]byte, error) {
	if maxBody <= 0 {
		maxBody = DefaultMaxBody
	}
	b, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return nil, withContext(ctx, fmt.Errorf("reading the answer: %w", unquoted{err}))
	}
	if int64(len(b)) > maxBody {
		return nil, fmt.Errorf("reading the answer: %w: over %d bytes", ErrBodyTooLarge, maxBody)
	}
	return b, nil
}

func sendError(ctx context.Context, req *http.Request, err, handshake error) error {
	doing := fmt.Sprintf("calling %s %s%s", req.Method, req.URL.Host, req.URL.Path)
	if isTLS(err, handshake) {
		return fmt.Errorf("%s: %w: %w", doing, ErrTLS, err)
	}
	return withContext(ctx, fmt.Errorf("%s: %w", doing, unquoted{err}))
}

// unquoted is an error without what stands in quotes: net/http quotes there what it cannot read of an answer, which may be of a customer.
type unquoted struct{ err error }

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*("|$)`)

func (u unquoted) Error() string { return quoted.ReplaceAllLiteralString(u.err.Error(), mask) }
func (u unquoted) Unwrap() error { return u.err }

// withContext makes sure that an attempt that its context ended can be told by errors.Is, whatever the transport made of it.
func withContext(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil, errors.Is(err, ctx.Err()):
		return err
	case err == nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", err, ctx.Err())
}

// isTLS tells a refusal to talk (certificate, version, not TLS at all) from a handshake that the network cut short.
func isTLS(err, handshake error) bool {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	// An alert that the peer sends after the handshake, such as for a missing client certificate in TLS 1.3; crypto/tls keeps its type to itself.
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return true
	}
	return handshake != nil && !cutShort(handshake)
}

func cutShort(err error) bool {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return true
	}
	return errors.As(err, &timeout) && timeout.Timeout()
}
