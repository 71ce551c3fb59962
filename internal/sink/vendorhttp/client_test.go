package vendorhttp

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"sluice/internal/sink"
)

func tlsServer(t *testing.T, change func(*httptest.Server)) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.Proto)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	change(srv)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func caFile(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTLSFailuresAreMisconfigured(t *testing.T) {
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	unknown := tlsServer(t, func(*httptest.Server) {})
	old := tlsServer(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	})
	host := tlsServer(t, func(*httptest.Server) {})
	_, port, _ := net.SplitHostPort(host.Listener.Addr().String())
	for _, c := range []struct {
		name, base string
		options    Options
	}{
		{"unknown authority", unknown.URL, Options{}},
		{"TLS 1.1", old.URL, Options{CAFile: caFile(t, old)}},
		{"another host's certificate", "https://localhost:" + port, Options{CAFile: caFile(t, host)}},
		{"no TLS", "https" + plain.URL[len("http"):], Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply, answer := post(t, t.Context(), newClient(t, c.options), c.base, 10)
			if answer.Class != sink.Misconfigured || reply.RequestWritten || !errors.Is(reply.Err, ErrTLS) {
				t.Errorf("class %v, written %v, error %v", answer.Class, reply.RequestWritten, reply.Err)
			}
		})
	}
}

func TestAHandshakeCutShortIsUnavailable(t *testing.T) {
	base := listen(t, func(conn *net.TCPConn) { conn.Read(make([]byte, 64)); reset(conn) })
	reply, answer := post(t, t.Context(), newClient(t, Options{}), "https"+base[len("http"):], 10)
	if answer.Class != sink.Unavailable || reply.RequestWritten || errors.Is(reply.Err, ErrTLS) {
		t.Errorf("class %v, written %v, error %v", answer.Class, reply.RequestWritten, reply.Err)
	}
}

func TestAContextThatEndsWithinTheHandshakeIsUnavailable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan *net.TCPConn, 1)
	base := listen(t, func(conn *net.TCPConn) { conn.Read(make([]byte, 64)); held <- conn; cancel() })
	_, answer := post(t, ctx, newClient(t, Options{}), "https"+base[len("http"):], 10)
	(<-held).Close()
	if answer.Class != sink.Unavailable || !errors.Is(answer.Err, context.Canceled) {
		t.Errorf("class %v, error %v", answer.Class, answer.Err)
	}
}

func TestANameThatCannotBeResolvedIsMisconfigured(t *testing.T) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	client := newClient(t, Options{Transport: &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}})
	reply, answer := post(t, t.Context(), client, "http://vendor.invalid", 10)
	if answer.Class != sink.Misconfigured || reply.RequestWritten {
		t.Errorf("class %v, written %v, error %v", answer.Class, reply.RequestWritten, reply.Err)
	}
}

func TestTrustedServersAreReachedOverHTTP2(t *testing.T) {
	srv := tlsServer(t, func(s *httptest.Server) { s.EnableHTTP2 = true })
	for name, o := range map[string]Options{"by CA file": {CAFile: caFile(t, srv)}, "by opting out": {InsecureSkipVerify: true}} {
		reply, answer := post(t, t.Context(), newClient(t, o), srv.URL, 100_000)
		if answer.Class != sink.Delivered || string(reply.Body) != "HTTP/2.0" || !reply.RequestWritten {
			t.Errorf("%s: class %v, %s, written %v, error %v", name, answer.Class, reply.Body, reply.RequestWritten, reply.Err)
		}
	}
}

func TestACAFileThatHoldsNoCertificateIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := NewClient(Options{CAFile: file}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(file, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(Options{CAFile: file}); !errors.Is(err, errNoCertificate) {
		t.Errorf("no certificate: %v", err)
	}
}

func TestTheProxyIsTheConfiguredOneAndNotTheEnvironments(t *testing.T) {
	client := newClient(t, Options{Concurrency: 8})
	direct := client.Transport.(*http.Transport)
	if direct.Proxy != nil || direct.MaxIdleConnsPerHost != 8 {
		t.Errorf("proxy set: %v; idle connections %d, want 8", direct.Proxy != nil, direct.MaxIdleConnsPerHost)
	}
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by proxy") })
	to, _ := url.Parse(proxy.URL)
	reply, _ := post(t, t.Context(), newClient(t, Options{Proxy: http.ProxyURL(to)}), "http://vendor.example", 10)
	if string(reply.Body) != "by proxy" {
		t.Errorf("got %q, error %v", reply.Body, reply.Err)
	}
}
