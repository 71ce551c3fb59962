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

func newTLSServer(t *testing.T, change func(*httptest.Server)) *httptest.Server {
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

func writeCAFile(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTLSFailuresAreMisconfigured(t *testing.T) {
	plain := serveHTTP(t, func(http.ResponseWriter, *http.Request) {})
	unknown := newTLSServer(t, func(*httptest.Server) {})
	old := newTLSServer(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	})
	host := newTLSServer(t, func(*httptest.Server) {})
	_, port, _ := net.SplitHostPort(host.Listener.Addr().String())
	for _, c := range []struct {
		name, base string
		options    Options
	}{
		{"unknown authority", unknown.URL, Options{}},
		{"TLS 1.1", old.URL, Options{CAFile: writeCAFile(t, old)}},
		{"another host's certificate", "https://localhost:" + port, Options{CAFile: writeCAFile(t, host)}},
		{"no TLS", "https" + plain.URL[len("http"):], Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			exchange, response := postSecrets(t, t.Context(), newClient(t, c.options), c.base, 10)
			if response.Class != sink.Misconfigured || exchange.RequestWritten || !errors.Is(exchange.Err, ErrTLS) {
				t.Errorf("got class %v, written %v, error %v; want misconfigured, false, ErrTLS",
					response.Class, exchange.RequestWritten, exchange.Err)
			}
		})
	}
}

func TestInterruptedHandshakeIsUnavailable(t *testing.T) {
	base := serveConnections(t, func(conn *net.TCPConn) { conn.Read(make([]byte, 64)); resetConnection(conn) })
	exchange, response := postSecrets(t, t.Context(), newClient(t, Options{}), "https"+base[len("http"):], 10)
	if response.Class != sink.Unavailable || exchange.RequestWritten || errors.Is(exchange.Err, ErrTLS) {
		t.Errorf("got class %v, written %v, error %v; want unavailable, false, not ErrTLS",
			response.Class, exchange.RequestWritten, exchange.Err)
	}
}

func TestContextThatEndsWithinTheHandshakeIsUnavailable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan *net.TCPConn, 1)
	base := serveConnections(t, func(conn *net.TCPConn) { conn.Read(make([]byte, 64)); held <- conn; cancel() })
	_, response := postSecrets(t, ctx, newClient(t, Options{}), "https"+base[len("http"):], 10)
	(<-held).Close()
	if response.Class != sink.Unavailable || !errors.Is(response.Err, context.Canceled) {
		t.Errorf("got class %v, error %v; want unavailable, canceled", response.Class, response.Err)
	}
}

func TestUnresolvableNameIsMisconfigured(t *testing.T) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	client := newClient(t, Options{Transport: &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}})
	exchange, response := postSecrets(t, t.Context(), client, "http://vendor.invalid", 10)
	if response.Class != sink.Misconfigured || exchange.RequestWritten {
		t.Errorf("got class %v, written %v, error %v; want misconfigured, false",
			response.Class, exchange.RequestWritten, exchange.Err)
	}
}

func TestTrustedServersAreReachedOverHTTP2(t *testing.T) {
	srv := newTLSServer(t, func(s *httptest.Server) { s.EnableHTTP2 = true })
	for name, o := range map[string]Options{"by CA file": {CAFile: writeCAFile(t, srv)},
		"by opting out": {InsecureSkipVerify: true}} {
		exchange, response := postSecrets(t, t.Context(), newClient(t, o), srv.URL, 100_000)
		if response.Class != sink.Delivered || string(exchange.Body) != "HTTP/2.0" || !exchange.RequestWritten {
			t.Errorf("%s: got class %v, %s, written %v, error %v; want delivered over HTTP/2.0", name, response.Class,
				exchange.Body, exchange.RequestWritten, exchange.Err)
		}
	}
}

func TestCAFileWithoutCertificateIsRefused(t *testing.T) {
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

func TestOnlyTheConfiguredProxyIsUsed(t *testing.T) {
	client := newClient(t, Options{Concurrency: 8})
	direct := client.Transport.(*http.Transport)
	if direct.Proxy != nil || direct.MaxIdleConnsPerHost != 8 {
		t.Errorf("proxy set: %v; idle connections %d, want 8", direct.Proxy != nil, direct.MaxIdleConnsPerHost)
	}
	proxy := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by proxy") })
	to, _ := url.Parse(proxy.URL)
	exchange, _ := postSecrets(t, t.Context(), newClient(t, Options{Proxy: http.ProxyURL(to)}), "http://vendor.example",
		10)
	if string(exchange.Body) != "by proxy" {
		t.Errorf("got %q, error %v", exchange.Body, exchange.Err)
	}
}
