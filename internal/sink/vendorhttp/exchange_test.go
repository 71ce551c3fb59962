package vendorhttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/internal/sink"
)

const secret = "s3cr3t"

func newClient(t *testing.T, o Options) *http.Client {
	t.Helper()
	client, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// post has a secret wherever one could stand, and checks that none comes out.
func post(t *testing.T, ctx context.Context, client *http.Client, base string, size int) (Exchange, sink.Response) {
	t.Helper()
	item := sink.Item{Body: []byte(secret + strings.Repeat("x", size))}
	target := strings.Replace(base, "://", "://user:"+secret+"@", 1) + "/bulk?token=" + secret
	req, err := http.NewRequest(http.MethodPost, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Body, req.ContentLength, req.GetBody = Body([]byte("["), []sink.Item{item}, []byte("]"))
	reply := RoundTrip(ctx, client, req, 1<<10)
	if reply.Err != nil && strings.Contains(reply.Err.Error(), secret) {
		t.Errorf("the error tells a secret: %v", reply.Err)
	}
	return reply, ClassifyExchange(reply)
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// listen gives each connection to handle, one at a time.
func listen(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handle(conn.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

// readRequest reads up to and with the body's last byte.
func readRequest(conn net.Conn) {
	var got bytes.Buffer
	b := make([]byte, 4096)
	for !bytes.HasSuffix(got.Bytes(), []byte("]")) {
		n, err := conn.Read(b)
		got.Write(b[:n])
		if err != nil {
			return
		}
	}
}

func TestAnAnswerIsReadWhole(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", "r1")
		fmt.Fprintf(w, "%d of %d", len(body), r.ContentLength)
	})
	reply, answer := post(t, t.Context(), newClient(t, Options{}), srv.URL, 10)
	if reply.Err != nil || string(reply.Body) != "18 of 18" || !reply.RequestWritten || reply.Header.Get("X-Request-Id") != "r1" {
		t.Errorf("got %+v", reply)
	}
	if answer.Class != sink.Delivered || answer.Status != 200 {
		t.Errorf("class %v, status %d", answer.Class, answer.Status)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var connections atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), 1000))
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	client := newClient(t, Options{})
	for range 5 {
		if reply, _ := post(t, t.Context(), client, srv.URL, 100); reply.Err != nil {
			t.Fatal(reply.Err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("5 calls took %d connections, want 1", n)
	}
}

func TestABodyOverTheBoundKeepsTheStatusOnly(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     int
		zip      bool
		tooLarge bool
	}{
		{"at the bound", 1 << 10, false, false},
		{"over it", 1<<10 + 1, false, true},
		{"over it after decompression only", 1 << 20, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body := bytes.Repeat([]byte("y"), c.size)
				if !c.zip {
					w.Write(body)
					return
				}
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				z.Write(body)
				z.Close()
			})
			reply, answer := post(t, t.Context(), newClient(t, Options{}), srv.URL, 10)
			if got := errors.Is(reply.Err, ErrBodyTooLarge); got != c.tooLarge {
				t.Fatalf("too large: %v, want %v (%v)", got, c.tooLarge, reply.Err)
			}
			if reply.Status != 200 || (reply.Body == nil) != c.tooLarge {
				t.Errorf("status %d, %d bytes of body", reply.Status, len(reply.Body))
			}
			if want := map[bool]sink.ResultClass{true: sink.Unknown, false: sink.Delivered}[c.tooLarge]; answer.Class != want {
				t.Errorf("class %v, want %v", answer.Class, want)
			}
		})
	}
}

func TestBodyThatCannotBeReadToItsEndKeepsTheStatusOnly(t *testing.T) {
	for name, text := range map[string]string{
		"shorter than its length":  "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
		"chunks without an end":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
		"half a gzip member":       "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00",
		"coding that nobody asked": "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
		"gzip twice over":          "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\n{}",
	} {
		base := listen(t, func(conn *net.TCPConn) {
			readRequest(conn)
			io.WriteString(conn, text)
			conn.Close()
		})
		reply, answer := post(t, t.Context(), newClient(t, Options{}), base, 10)
		if answer.Class != sink.Unknown || reply.Status != 200 || reply.Err == nil || reply.Body != nil {
			t.Errorf("%s: class %v, %d bytes of body, error %v", name, answer.Class, len(reply.Body), reply.Err)
		}
	}
}

func TestAnErrorRepeatsNothingOfAnAnswerThatIsNoHTTP(t *testing.T) {
	for _, text := range []string{
		`{"email": "` + secret + `"}`,
		"HTTP/1.1 " + secret + " OK",
		"HTTP/" + secret + " 200 OK",
		"HTTP/1.1 200 OK\r\n" + secret,
		"HTTP/1.1 200 OK\r\n " + secret + ": x",
		"HTTP/1.1 200 OK\r\nContent-Length: " + secret,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret,
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + secret,
	} {
		base := listen(t, func(conn *net.TCPConn) {
			readRequest(conn)
			io.WriteString(conn, text+"\r\n\r\n")
			conn.Close()
		})
		// post looks for the secret.
		if reply, answer := post(t, t.Context(), newClient(t, Options{}), base, 10); answer.Class != sink.Unknown || reply.Err == nil {
			t.Errorf("%q: class %v, error %v", text, answer.Class, reply.Err)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var calls atomic.Int32
	for _, location := range []string{"/elsewhere", "", "http://%zz/?token=" + secret} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.Header()["Location"] = []string{location}
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		calls.Store(0)
		reply, answer := post(t, t.Context(), newClient(t, Options{}), srv.URL, 10)
		if reply.Status != 307 || answer.Class != sink.Misconfigured || calls.Load() != 1 {
			t.Errorf("Location %q: status %d, class %v, %d calls, error %v", location, reply.Status, answer.Class, calls.Load(), reply.Err)
		}
	}
}

func TestTheClientItselfFollowsNoRedirectEither(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	resp, err := newClient(t, Options{}).Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("status %d, want 302", resp.StatusCode)
	}
}
