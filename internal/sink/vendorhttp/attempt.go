package vendorhttp

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// attempt records how far one request got. Goroutines of the transport may outlive the call, so mu
// guards all fields.
//
// The trace alone does not show whether a request was written: net/http calls WroteRequest before
// it flushes, and on a goroutine other than the one that returns the error, so a request may be on
// the wire before it is traced. The body shows it without a race. A request with a Content-Length
// is incomplete until the transport has read the last byte of its body, and after seal the
// transport can read none.
type attempt struct {
	mu           sync.Mutex
	bodyHanded   bool  // the transport has read the last byte of the body
	sealed       bool  // the transport can read no more of the body
	wroteRequest bool  // the last WroteRequest had no error
	writeFailed  bool  // the last WroteRequest had an error: the request is incomplete on the wire
	connected    bool  // the attempt got a connection
	tlsErr       error // the error of the last TLS handshake
}

func (a *attempt) clientTrace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			a.mu.Lock()
			defer a.mu.Unlock()
			// net/http repeats a request on another connection only if nothing was written, the
			// server reported that it did not process it, or the method is safe.
			a.connected, a.wroteRequest, a.writeFailed = true, false, false
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.tlsErr = err
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.wroteRequest, a.writeFailed = info.Err == nil, info.Err != nil
		},
	}
}

// watchBody wraps the request's body so that the attempt sees what the transport reads.
func (a *attempt) watchBody(req *http.Request) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	req.Body = &watchedBody{ReadCloser: req.Body, attempt: a, remaining: req.ContentLength}
	getBody := req.GetBody
	if getBody == nil {
		return
	}
	req.GetBody = func() (io.ReadCloser, error) {
		body, err := getBody()
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.bodyHanded = false
		return &watchedBody{ReadCloser: body, attempt: a, remaining: req.ContentLength}, nil
	}
}

// seal ends the attempt, so that the transport can read no more of the body. It reports whether the
// whole request may have been written.
func (a *attempt) seal(hasBody bool) (mayBeWritten bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sealed = true
	if hasBody {
		return a.bodyHanded && !a.writeFailed
	}
	return a.wroteRequest
}

// handshakeError returns the TLS error that kept the attempt from getting a connection, or nil.
func (a *attempt) handshakeError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.connected {
		return nil
	}
	return a.tlsErr
}

var errSealed = errors.New("reading the body of a call that has ended")

// watchedBody is a request's body that records its reads in the attempt.
type watchedBody struct {
	io.ReadCloser
	attempt   *attempt
	remaining int64 // bytes until the body is complete; below 0 if its length is not known
}

// Read holds the attempt's mutex while it reads: bodies are in memory, and seal must not overtake a
// read that has begun.
func (b *watchedBody) Read(buf []byte) (int, error) {
	b.attempt.mu.Lock()
	defer b.attempt.mu.Unlock()
	if b.remaining == 0 {
		return 0, io.EOF
	}
	if b.attempt.sealed {
		return 0, errSealed
	}
	n, err := b.ReadCloser.Read(buf)
	b.remaining -= int64(n)
	if b.remaining == 0 || errors.Is(err, io.EOF) {
		b.attempt.bodyHanded = true
	}
	return n, err
}
