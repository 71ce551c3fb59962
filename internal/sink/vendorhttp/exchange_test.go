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

// postSecrets makes a call with a secret in every possible place and checks that no error repeats
// it.
func postSecrets(t *testing.T, ctx context.Context, client *http.Client, base string, size int) (Exchange,
	sink.Response) {
	t.Helper()
	item := sink.Item{Body: []byte(secret + strings.Repeat("x", size))}
	target := strings.Replace(base, "://", "://user:"+secret+"@", 1) + "/bulk?token=" + secret
	req, err := http.NewRequest(http.MethodPost, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Body, req.ContentLength, req.GetBody = Body([]byte("["), []sink.Item{item}, []byte("]"))
	exchange := RoundTrip(ctx, client, req, 1<<10)
	if exchange.Err != nil && strings.Contains(exchange.Err.Error(), secret) {
		t.Errorf("got an error with a secret: %v", exchange.Err)
	}
	return exchange, ClassifyExchange(exchange)
}

func serveHTTP(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// serveConnections passes each connection to handle, one at a time, and returns the server's URL.
func serveConnections(t *testing.T, handle func(*net.TCPConn)) string {
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

func resetConnection(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

// readRequest reads a request up to the last byte of its body, which is "]".
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

func TestResponseIsReadWhole(t *testing.T) {
	srv := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", "r1")
		fmt.Fprintf(w, "%d of %d", len(body), r.ContentLength)
	})
	exchange, response := postSecrets(t, t.Context(), newClient(t, Options{}), srv.URL, 10)
	if exchange.Err != nil || string(exchange.Body) != "18 of 18" || !exchange.RequestWritten ||
		exchange.Header.Get("X-Request-Id") != "r1" {
		t.Errorf("got %+v", exchange)
	}
	if response.Class != sink.Delivered || response.Status != 200 {
		t.Errorf("got class %v, status %d; want delivered, 200", response.Class, response.Status)
	}
}

func TestConnectionsAreReused(t *testing.T) {
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
		if exchange, _ := postSecrets(t, t.Context(), client, srv.URL, 100); exchange.Err != nil {
			t.Fatal(exchange.Err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("5 calls took %d connections, want 1", n)
	}
}

func TestBodyOverTheBoundKeepsOnlyTheStatus(t *testing.T) {
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
			srv := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
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
			exchange, response := postSecrets(t, t.Context(), newClient(t, Options{}), srv.URL, 10)
			if got := errors.Is(exchange.Err, ErrBodyTooLarge); got != c.tooLarge {
				t.Fatalf("too large: %v, want %v (%v)", got, c.tooLarge, exchange.Err)
			}
			if exchange.Status != 200 || (exchange.Body == nil) != c.tooLarge {
				t.Errorf("got status %d, %d bytes of body; want 200 and a body only within the bound", exchange.Status,
					len(exchange.Body))
			}
			if want := map[bool]sink.ResultClass{true: sink.Unknown,
				false: sink.Delivered}[c.tooLarge]; response.Class != want {
				t.Errorf("got class %v, want %v", response.Class, want)
			}
		})
	}
}

func TestUnreadableBodyKeepsOnlyTheStatus(t *testing.T) {
	for name, text := range map[string]string{
		"shorter than its length":  "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
		"chunks without an end":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
		"half a gzip member":       "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00",
		"coding that nobody asked": "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
		"gzip twice over":          "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\n{}",
	} {
		base := serveConnections(t, func(conn *net.TCPConn) {
			readRequest(conn)
			io.WriteString(conn, text)
			conn.Close()
		})
		exchange, response := postSecrets(t, t.Context(), newClient(t, Options{}), base, 10)
		if response.Class != sink.Unknown || exchange.Status != 200 || exchange.Err == nil || exchange.Body != nil {
			t.Errorf("%s: got class %v, %d bytes of body, error %v; want unknown, no body and an error", name,
				response.Class, len(exchange.Body), exchange.Err)
		}
	}
}

func TestErrorQuotesNothingOfAnInvalidResponse(t *testing.T) {
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
		base := serveConnections(t, func(conn *net.TCPConn) {
			readRequest(conn)
			io.WriteString(conn, text+"\r\n\r\n")
			conn.Close()
		})
		// postSecrets looks for the secret.
		if exchange, response := postSecrets(t, t.Context(), newClient(t, Options{}), base,
			10); response.Class != sink.Unknown || exchange.Err == nil {
			t.Errorf("%q: got class %v, error %v; want unknown and an error", text, response.Class, exchange.Err)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var calls atomic.Int32
	for _, location := range []string{"/elsewhere", "", "http://%zz/?token=" + secret} {
		srv := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.Header()["Location"] = []string{location}
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		calls.Store(0)
		exchange, response := postSecrets(t, t.Context(), newClient(t, Options{}), srv.URL, 10)
		if exchange.Status != 307 || response.Class != sink.Misconfigured || calls.Load() != 1 {
			t.Errorf("Location %q: status %d, class %v, %d calls, error %v", location, exchange.Status, response.Class,
				calls.Load(), exchange.Err)
		}
	}
}

func TestClientItselfFollowsNoRedirect(t *testing.T) {
	srv := serveHTTP(t, func(w http.ResponseWriter,
		r *http.Request) {
		http.Redirect(w, r, "/again", http.StatusFound)
	})
	resp, err := newClient(t, Options{}).Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("got status %d, want 302", resp.StatusCode)
	}
}
