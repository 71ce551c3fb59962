// Package vendorhttp is the HTTP part of the vendor kit: one bounded attempt of a call, the result
// class that transport and HTTP status imply, and one access token per account.
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
// and its RefreshToken calls TokenSource.Refresh. Vendors with OAuth 2.0 client credentials take
// their tokens from ClientCredentials. Others write a FetchToken, whose error LoginError makes from
// the classified response of the login. A call that carries no items and changes nothing (a
// catalogue, a probe) passes its response through DependencyResponse.
//
// The package retries nothing, logs nothing and holds no goroutine. Its errors carry no token, no
// query and no body.
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

// Options say how an account's vendor is reached. The zero value is a direct connection that trusts
// the system's certificate authorities.
type Options struct {
	// Transport replaces the transport that the other fields describe; nil means none.
	Transport http.RoundTripper
	// Concurrency is the number of calls in flight at a time. As many idle connections are kept.
	// Values below 1 count as 1.
	Concurrency int
	// Proxy chooses the proxy of a request, such as http.ProxyFromEnvironment; nil means no proxy,
	// whatever the environment says.
	Proxy func(*http.Request) (*url.URL, error)
	// CAFile is a PEM file of certificate authorities to trust besides the system's; empty means
	// none.
	CAFile string
	// InsecureSkipVerify accepts any certificate. Anyone on the way can then read and change what
	// is sent.
	InsecureSkipVerify bool
}

// idleTimeout is below the keep-alive timeouts of common servers (Apache 5 s, Tomcat 20 s, nginx 75
// s). A request that meets a connection which the vendor has just closed has an unknown outcome,
// and that is expensive. A new connection after a pause is cheap.
const idleTimeout = 4 * time.Second

// NewClient returns the client of one account. It follows no redirect: a POST would come back as a
// GET, and the token would go to whatever host the vendor names. The context of a call is the only
// limit on its duration. The error is about CAFile.
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
		// Pings find a peer that is gone. Without them each call on its connection would time out.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 256 << 10,
	}, nil
}

// loadRoots returns the system's certificate authorities and those of file, or nil, which means the
// system's, if there is no file.
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
