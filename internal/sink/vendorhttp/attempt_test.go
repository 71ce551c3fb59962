package vendorhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"sluice/internal/sink"
)

// large exceeds the socket buffers of both sides, so that such a request cannot have been written
// unless it was read.
const large = 32 << 20

func TestRefusedConnectionsAreUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	exchange, response := postSecrets(t, t.Context(), newClient(t, Options{}), "http://"+l.Addr().String(), 10)
	if exchange.RequestWritten || response.Class != sink.Unavailable || exchange.Err == nil {
		t.Errorf("got written %v, class %v, error %v; want false, unavailable and an error",
			exchange.RequestWritten, response.Class, exchange.Err)
	}
}

func TestResetIsClassifiedByWhetherTheRequestWasWritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		handle  func(*net.TCPConn)
		written bool
		want    sink.ResultClass
	}{
		{"before all of it was read", large, func(conn *net.TCPConn) {
			io.CopyN(io.Discard, conn,
				100)
			resetConnection(conn)
		}, false, sink.Unavailable},
		{"after it was read", 10, func(conn *net.TCPConn) { readRequest(conn); resetConnection(conn) }, true,
			sink.Unknown},
		{"closed after it was read", 10, func(conn *net.TCPConn) { readRequest(conn); conn.Close() }, true,
			sink.Unknown},
		{"within the response", 10, func(conn *net.TCPConn) {
			readRequest(conn)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			conn.Close()
		}, true, sink.Unknown},
		{"no HTTP at all", 10, func(conn *net.TCPConn) {
			readRequest(conn)
			io.WriteString(conn,
				"hello\r\n\r\n")
			conn.Close()
		}, true, sink.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			exchange, response := postSecrets(t, t.Context(), newClient(t, Options{}), serveConnections(t, c.handle),
				c.size)
			if exchange.Err == nil || exchange.Body != nil || exchange.RequestWritten != c.written ||
				response.Class != c.want {
				t.Errorf("got written %v, class %v, error %v; want %v, %v and an error", exchange.RequestWritten,
					response.Class, exchange.Err, c.written, c.want)
			}
		})
	}
}

// The context ends at a defined moment, so that the result does not depend on timing.
func TestEndedContextIsClassifiedByWhetherTheRequestWasWritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		until   func(*net.TCPConn)
		written bool
		want    sink.ResultClass
	}{
		{"before all of it was read", large, func(conn *net.TCPConn) { io.CopyN(io.Discard, conn, 100) }, false,
			sink.Unavailable},
		{"before the response", 10, func(conn *net.TCPConn) { readRequest(conn) }, true, sink.Unknown},
	} {
		for _, cause := range []error{nil, errors.New("revoked")} {
			t.Run(fmt.Sprintf("%s, cause %v", c.name, cause), func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				held := make(chan *net.TCPConn, 1)
				base := serveConnections(t, func(conn *net.TCPConn) { c.until(conn); held <- conn; cancel(cause) })
				exchange, response := postSecrets(t, ctx, newClient(t, Options{}), base, c.size)
				(<-held).Close()
				if exchange.RequestWritten != c.written || response.Class != c.want ||
					!errors.Is(response.Err, context.Canceled) {
					t.Errorf("got written %v, class %v, error %v; want %v, %v, canceled", exchange.RequestWritten,
						response.Class, response.Err, c.written, c.want)
				}
			})
		}
	}
}

func TestContextThatEndsWithinTheResponseIsUnknown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	client := newClient(t, Options{Transport: cancelAfterHeaders{cancel}})
	exchange, response := postSecrets(t, ctx, client, srv.URL, 10)
	if exchange.Status != 200 || response.Class != sink.Unknown || !errors.Is(exchange.Err, context.Canceled) {
		t.Errorf("got status %d, class %v, error %v; want 200, unknown, canceled", exchange.Status, response.Class,
			exchange.Err)
	}
}

type cancelAfterHeaders struct{ cancel context.CancelFunc }

func (c cancelAfterHeaders) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	c.cancel()
	return resp, err
}

func TestEndedContextSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv := serveHTTP(t, func(http.ResponseWriter, *http.Request) { t.Error("got a request, want none") })
	exchange, response := postSecrets(t, ctx, newClient(t, Options{}), srv.URL, 10)
	if exchange.RequestWritten || response.Class != sink.Unavailable || !errors.Is(response.Err, context.Canceled) {
		t.Errorf("got written %v, class %v, error %v; want false, unavailable, canceled",
			exchange.RequestWritten, response.Class, response.Err)
	}
}

// net/http sends a POST again if the connection that it reused turns out to be closed before
// anything was written. Then the second attempt counts, not the first.
func TestBodyOfAnEarlierConnectionDoesNotCountAsWritten(t *testing.T) {
	a := &attempt{}
	req, _ := http.NewRequest(http.MethodPost, "http://vendor.example", nil)
	req.Body, req.ContentLength, req.GetBody = Body([]byte("["), nil, []byte("]"))
	a.watchBody(req)
	if _, err := io.ReadAll(req.Body); err != nil {
		t.Fatal(err)
	}
	again, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := again.Read(make([]byte, 1)); n != 1 {
		t.Fatal("got no byte of the second body, want one")
	}
	if a.seal(true) {
		t.Error("got a half-read body counted as written")
	}
	if _, err := again.Read(make([]byte, 1)); !errors.Is(err, errSealed) {
		t.Errorf("got error %v from a sealed body, want errSealed", err)
	}
}

func TestCallWithoutBodyIsWrittenWithItsHeaders(t *testing.T) {
	base := serveConnections(t, func(conn *net.TCPConn) { conn.Read(make([]byte, 4096)); resetConnection(conn) })
	req, _ := http.NewRequest(http.MethodGet, base, nil)
	if exchange := RoundTrip(t.Context(), newClient(t, Options{}), req, 0); !exchange.RequestWritten ||
		exchange.Err == nil {
		t.Errorf("got written %v, error %v; want true and an error", exchange.RequestWritten, exchange.Err)
	}
}
