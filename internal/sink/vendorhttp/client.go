// Package vendorhttp is the HTTP part of the vendor kit: one bounded attempt of a call, the result class
// that transport and HTTP status imply, and one access token per account.
//
// A vendor's Send is usually this:
//
//	func (o *operation) Send(ctx context.Context, items []sink.Item) sink.Response {
//		return o.account.tokens.CallWithToken(ctx, func(token string) sink.Response {
//			req := ... // req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(prefix, items, suffix)
//			exchange := vendorhttp.RoundTrip(ctx, o.account.client, req, 0)
//			response := vendorhttp.ClassifyExchange(exchange)
//			... // the vendor's body decides what the status leaves open
//			return response
//		})
//	}
//
// and its RefreshToken calls TokenSource.Refresh. Vendors with OAuth 2.0 client credentials take their
// tokens from ClientCredentials. Others write a FetchToken, whose error LoginError makes from the
// classified response of the login. A call that carries no items and changes nothing (a catalogue, a
// probe) passes its response through DependencyResponse.
//
// The package retries nothing, logs nothing and holds no goroutine. Its errors carry no token, no query
// and no body.
package vendorhttp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Options are how one vendor account is reached. The zero value is a direct connection with the system's roots.
type Options struct {
	// Transport replaces the transport that the other fields describe; nil: one is made.
	Transport http.RoundTripper
	// Concurrency is the number of calls at a time; so many idle connections are kept. Below 1 counts as 1.
	Concurrency int
	// Proxy picks a proxy for a request, such as http.ProxyFromEnvironment; nil: none, whatever the environment says.
	Proxy func(*http.Request) (*url.URL, error)
	// CAFile is a PEM file of roots that are trusted besides the system's; empty: none.
	CAFile string
	// InsecureSkipVerify accepts any certificate. The connection can then be read and changed by anyone on its way.
	InsecureSkipVerify bool
}

// idleTimeout is below the keep-alive time-out that common servers ship with (Apache 5 s, Tomcat 20 s, nginx 75 s). A request that meets a connection
// just closed by the vendor has an unknown outcome, which is dear; a new connection after a pause is cheap.
const idleTimeout = 4 * time.Second

// NewClient makes the client of one account. It never follows a redirect: a POST would come back as a GET, and the token would go
// to whoever the vendor's host names. The only limit on an answer's time is the context of the call. The error is about CAFile.
func NewClient(o Options) (*http.Client, error) {
	rt := o.Transport
	if rt == nil {
		t, err := newTransport(o)
		if err != nil {
			return nil, err
		}
		rt = t
	}
	return &http.Client{
		Transport:     rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func newTransport(o Options) (*http.Transport, error) {
	roots, err := loadRoots(o.CAFile)
	if err != nil {
		return nil, err
	}
	idle := max(o.Concurrency, 1)
	return &http.Transport{
		Proxy:               o.Proxy,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			InsecureSkipVerify: o.InsecureSkipVerify,
		},
		ForceAttemptHTTP2: true,
		// A peer that has gone without a word is found by pings, not by the time-out of each call on its connection.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 256 << 10,
	}, nil
}

// loadRoots is nil, the system's roots, where no file is named.
func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the CA file %s: %w", file, errNoCertificate)
	}
	return roots, nil
}

var errNoCertificate = errors.New("no PEM certificate in it")
