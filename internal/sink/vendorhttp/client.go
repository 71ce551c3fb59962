// Package vendorhttp is the HTTP layer that the vendors share: one bounded attempt of a call, its
// classification by transport error and HTTP status, and one access token per account.
//
// A vendor's Send is usually this:
//
//	func (o *operation) Send(ctx context.Context, items []sink.Item) sink.Response {
//		return o.account.tokens.CallWithToken(ctx, func(token string) sink.Response {
//			req := ... // with a body from vendorhttp.Body
//			exchange := vendorhttp.RoundTrip(ctx, o.account.client, req, 0)
//			response := vendorhttp.ClassifyExchange(exchange)
//			... // the vendor's body decides what the status leaves open
//			return response
//		})
//	}
//
// and its RefreshToken calls TokenSource.Refresh. Vendors with OAuth 2.0 client credentials fetch
// their tokens with ClientCredentials. Others implement a FetchToken, which returns the LoginError
// of the login's classified response. A call that carries no items and changes nothing, such as a
// catalogue request or a probe, passes its response through DependencyResponse.
//
// The package retries nothing, logs nothing and starts no goroutine. Its errors contain no token,
// query or body.
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

// Options configure the client of an account. The zero value connects directly and trusts the
// system's certificate authorities.
type Options struct {
	// Transport replaces the transport that the other fields describe; nil means none.
	Transport http.RoundTripper
	// Concurrency is the maximum number of calls in flight, and the number of idle connections that
	// are kept. Values below 1 count as 1.
	Concurrency int
	// Proxy chooses the proxy of a request, such as http.ProxyFromEnvironment; nil means no proxy,
	// whatever the environment says.
	Proxy func(*http.Request) (*url.URL, error)
	// CAFile is a PEM file of certificate authorities to trust besides the system's; empty means
	// none.
	CAFile string
	// InsecureSkipVerify accepts any certificate. Anyone on the network path can then read and
	// change what is sent.
	InsecureSkipVerify bool
}

// idleTimeout is below the keep-alive timeouts of common servers (Apache 5 s, Tomcat 20 s, nginx 75
// s). A request on a connection that the vendor has just closed has an unknown outcome, which is
// expensive; a new connection is cheap.
const idleTimeout = 4 * time.Second

// NewClient returns the client of one account. The client follows no redirect, because a POST would
// become a GET and the token would go to whatever host the vendor names. The context of a call is
// the only limit on its duration. NewClient returns an error only if CAFile cannot be used.
func NewClient(options Options) (*http.Client, error) {
	transport := options.Transport
	if transport == nil {
		own, err := newTransport(options)
		if err != nil {
			return nil, err
		}
		transport = own
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func newTransport(options Options) (*http.Transport, error) {
	roots, err := loadRoots(options.CAFile)
	if err != nil {
		return nil, err
	}
	idle := max(options.Concurrency, 1)
	return &http.Transport{
		Proxy:               options.Proxy,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			InsecureSkipVerify: options.InsecureSkipVerify,
		},
		ForceAttemptHTTP2: true,
		// Pings detect an unreachable peer. Without them, each call on its connection would time
		// out.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 256 << 10,
	}, nil
}

// loadRoots returns the system's certificate authorities and those in file. If file is empty, it
// returns nil, which means those of the system.
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

var errNoCertificate = errors.New("no PEM certificate found")
