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

// Large is more than the socket buffers of both sides hold, so that the request cannot have been
// written unless it was read.
const large = 32 << 20

func TestRefusedConnectionsAreUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	reply, answer := post(t, t.Context(), newClient(t, Options{}), "http://"+l.Addr().String(), 10)
	if reply.RequestWritten || answer.Class != sink.Unavailable || reply.Err == nil {
		t.Errorf("written %v, class %v, error %v", reply.RequestWritten, answer.Class, reply.Err)
	}
}

func TestAResetTellsWhetherTheRequestWasWritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		handle  func(*net.TCPConn)
		written bool
		want    sink.ResultClass
	}{
		{"before all of it was read", large, func(conn *net.TCPConn) { io.CopyN(io.Discard, conn, 100); reset(conn) }, false, sink.Unavailable},
		{"after it was read", 10, func(conn *net.TCPConn) { readRequest(conn); reset(conn) }, true, sink.Unknown},
		{"closed after it was read", 10, func(conn *net.TCPConn) { readRequest(conn); conn.Close() }, true, sink.Unknown},
		{"within the answer", 10, func(conn *net.TCPConn) {
			readRequest(conn)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			conn.Close()
		}, true, sink.Unknown},
		{"no HTTP at all", 10, func(conn *net.TCPConn) { readRequest(conn); io.WriteString(conn, "hello\r\n\r\n"); conn.Close() }, true, sink.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply, answer := post(t, t.Context(), newClient(t, Options{}), listen(t, c.handle), c.size)
			if reply.Err == nil || reply.Body != nil || reply.RequestWritten != c.written || answer.Class != c.want {
				t.Errorf("written %v, class %v, error %v; want %v, %v and an error", reply.RequestWritten, answer.Class, reply.Err, c.written, c.want)
			}
		})
	}
}

// The context ends at a named moment, so that nothing depends on how long anything takes.
func TestAContextThatEndsTellsWhetherTheRequestWasWritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		until   func(*net.TCPConn)
		written bool
		want    sink.ResultClass
	}{
		{"before all of it was read", large, func(conn *net.TCPConn) { io.CopyN(io.Discard, conn, 100) }, false, sink.Unavailable},
		{"before the answer", 10, func(conn *net.TCPConn) { readRequest(conn) }, true, sink.Unknown},
	} {
		for _, cause := range []error{nil, errors.New("revoked")} {
			t.Run(fmt.Sprintf("%s, cause %v", c.name, cause), func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				held := make(chan *net.TCPConn, 1)
				base := listen(t, func(conn *net.TCPConn) { c.until(conn); held <- conn; cancel(cause) })
				reply, answer := post(t, ctx, newClient(t, Options{}), base, c.size)
				(<-held).Close()
				if reply.RequestWritten != c.written || answer.Class != c.want || !errors.Is(answer.Err, context.Canceled) {
					t.Errorf("written %v, class %v, error %v; want %v, %v, canceled", reply.RequestWritten, answer.Class, answer.Err, c.written, c.want)
				}
			})
		}
	}
}

func TestAContextThatEndsWithinTheAnswerIsUnknown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	client := newClient(t, Options{Transport: cancelAfterHeaders{cancel}})
	reply, answer := post(t, ctx, client, srv.URL, 10)
	if reply.Status != 200 || answer.Class != sink.Unknown || !errors.Is(reply.Err, context.Canceled) {
		t.Errorf("status %d, class %v, error %v", reply.Status, answer.Class, reply.Err)
	}
}

type cancelAfterHeaders struct{ cancel context.CancelFunc }

func (c cancelAfterHeaders) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	c.cancel()
	return resp, err
}

func TestAContextThatHasEndedSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request came") })
	reply, answer := post(t, ctx, newClient(t, Options{}), srv.URL, 10)
	if reply.RequestWritten || answer.Class != sink.Unavailable || !errors.Is(answer.Err, context.Canceled) {
		t.Errorf("written %v, class %v, error %v", reply.RequestWritten, answer.Class, answer.Err)
	}
}

// net/http sends a POST again when the connection that it took up turns out to be closed and
// nothing was written; the second attempt then counts, not the first.
func TestAnEarlierConnectionDoesNotCountAsWritten(t *testing.T) {
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
		t.Fatal("the second body cannot be read")
	}
	if a.seal(true) {
		t.Error("a body of which half was handed out counts as written")
	}
	if _, err := again.Read(make([]byte, 1)); !errors.Is(err, errSealed) {
		t.Errorf("a sealed body was read on: %v", err)
	}
}

func TestACallWithoutABodyIsWrittenWhenItsHeadersAre(t *testing.T) {
	base := listen(t, func(conn *net.TCPConn) { conn.Read(make([]byte, 4096)); reset(conn) })
	req, _ := http.NewRequest(http.MethodGet, base, nil)
	if reply := RoundTrip(t.Context(), newClient(t, Options{}), req, 0); !reply.RequestWritten || reply.Err == nil {
		t.Errorf("written %v, error %v", reply.RequestWritten, reply.Err)
	}
}
