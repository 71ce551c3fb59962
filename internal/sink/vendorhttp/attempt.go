package vendorhttp

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// attempt watches how far one request got. Transport goroutines may outlive the call, so all of it is behind one mutex.
//
// Whether a request was written cannot be read from the trace alone: net/http calls WroteRequest before it flushes, and on another goroutine than
// the one that returns the error, so that a request may be on the wire and not yet traced. The body tells it without a race: a request with
// Content-Length is not whole before its last byte has been handed to the transport, and after seal none is handed out.
type attempt struct {
	mu        sync.Mutex
	handed    bool // the last byte of the body was given to the transport
	sealed    bool
	wrote     bool  // WroteRequest without error
	writeErr  bool  // WroteRequest with an error: something is missing
	connected bool  // a connection was had
	tlsErr    error // of the last handshake
}

func (a *attempt) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			a.mu.Lock()
			defer a.mu.Unlock()
			// net/http starts over on another connection only where nothing was written, the server said that it did nothing, or the method is safe.
			a.connected, a.wrote, a.writeErr = true, false, false
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.tlsErr = err
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.wrote, a.writeErr = info.Err == nil, info.Err != nil
		},
	}
}

// watch puts the attempt between the request's body and the transport.
func (a *attempt) watch(req *http.Request) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	req.Body = &watchedBody{ReadCloser: req.Body, attempt: a, left: req.ContentLength}
	if again := req.GetBody; again != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			a.handed = false
			return &watchedBody{ReadCloser: body, attempt: a, left: req.ContentLength}, nil
		}
	}
}

// seal ends the attempt: nothing more is handed out. It says whether the whole request may have been written.
func (a *attempt) seal(hasBody bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sealed = true
	if hasBody {
		return a.handed && !a.writeErr
	}
	return a.wrote
}

// handshakeErr is the TLS error that kept the attempt from getting a connection, nil where there was none.
func (a *attempt) handshakeErr() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.connected {
		return nil
	}
	return a.tlsErr
}

var errSealed = errors.New("reading the body of a call that has ended")

type watchedBody struct {
	io.ReadCloser
	attempt *attempt
	left    int64 // bytes until the body is whole; below 0 where its length is not known
}

// Read holds the attempt's mutex: bodies are in memory, and seal must not pass a read that is under way.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.attempt.mu.Lock()
	defer b.attempt.mu.Unlock()
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.attempt.sealed {
		return 0, errSealed
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left == 0 || errors.Is(err, io.EOF) {
		b.attempt.handed = true
	}
	return n, err
}
