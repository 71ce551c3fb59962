package decode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

const (
	maxResponseBytes = 4 << 20
	maxReferences    = 100 // schemas that one schema may refer to, directly and indirectly
)

var (
	// errNotFound is a 404 in the registry's own format, for a schema ID or a reference.
	errNotFound = errors.New("not found")
	// errUnexpected404 is a 404 from something else, such as a proxy whose registry is unavailable.
	errUnexpected404 = errors.New("HTTP 404 without a schema registry's error code 404xx: " +
		"a proxy whose registry is unavailable, or a wrong base path")
)

// registry fetches schemas through the HTTP API of the Confluent Schema Registry.
type registry struct {
	clients []*sr.Client // one per URL: sr itself tries the next URL only if a connection fails, not on a 5xx
	http    *http.Client
	timeout time.Duration

	mu     sync.Mutex
	failed time.Time // when a lookup last failed at all URLs
}

func newRegistry(cfg Config) (*registry, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("no schema registry URL: want at least one such as http://localhost:8081")
	}
	client := &http.Client{Transport: &boundedTransport{base: cfg.Transport}}
	r := &registry{http: client, timeout: cfg.Timeout}
	for i, text := range cfg.URLs {
		c, err := newRegistryClient(cfg, client, text)
		if err != nil {
			return nil, fmt.Errorf("schema registry URL %d of %d: %w", i+1, len(cfg.URLs), err)
		}
		r.clients = append(r.clients, c)
	}
	return r, nil
}

// newRegistryClient removes the credentials from the URL, so that no error can print them.
func newRegistryClient(cfg Config, client *http.Client, text string) (*sr.Client, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		// The parser's error would print a password.
		return nil, errors.New("want an http or https URL with a host and, optionally, a base path")
	}
	user, password := cfg.Username, cfg.Password
	if u.User != nil && user == "" {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	u.User = nil
	opts := []sr.ClientOpt{sr.HTTPClient(client), sr.URLs(u.String()), sr.UserAgent("sluice")}
	if user != "" {
		opts = append(opts, sr.BasicAuth(user, password))
	}
	return sr.NewClient(opts...)
}

// schemaByID returns the schema of an ID, or errNotFound if no URL knows it.
func (r *registry) schemaByID(ctx context.Context, id int) (sr.Schema, error) {
	return r.firstResult(ctx, func(ctx context.Context, client *sr.Client) (sr.Schema, error) {
		return client.SchemaByID(ctx, id)
	})
}

// schemaByVersion returns a schema that another one refers to, even if it has since been deleted.
func (r *registry) schemaByVersion(ctx context.Context, ref sr.SchemaReference) (sr.Schema, error) {
	ctx = sr.WithParams(ctx, sr.ShowDeleted)
	return r.firstResult(ctx, func(ctx context.Context, client *sr.Client) (sr.Schema, error) {
		s, err := client.SchemaByVersion(ctx, ref.Subject, ref.Version)
		return s.Schema, err
	})
}

// schemaFetch fetches a schema with one client.
type schemaFetch func(context.Context, *sr.Client) (sr.Schema, error)

// firstResult fetches from each URL in turn and returns the first schema. If none has it, the error
// is errNotFound if any registry reported that in its own format, and the last error otherwise.
func (r *registry) firstResult(ctx context.Context, fetch schemaFetch) (sr.Schema, error) {
	var last error
	notFound := false
	for _, c := range r.clients {
		s, err := r.requestSchema(ctx, c, fetch)
		if ctx.Err() != nil {
			return sr.Schema{}, ctx.Err()
		}
		if err == nil {
			return s, nil
		}
		last = sanitizeError(err)
		notFound = notFound || errors.Is(last, errNotFound)
	}
	if notFound {
		return sr.Schema{}, errNotFound
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = time.Now()
	return sr.Schema{}, last
}

// lastFailure returns when a lookup last failed, or the zero time if none has.
func (r *registry) lastFailure() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *registry) requestSchema(ctx context.Context, client *sr.Client, fetch schemaFetch) (sr.Schema, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("no response within %s", r.timeout))
	defer cancel()
	s, err := fetch(ctx, client)
	switch {
	case err != nil && ctx.Err() != nil:
		return s, context.Cause(ctx)
	case err == nil && s.Schema == "":
		return s, errors.New("the response has no schema")
	}
	return s, err
}

// sanitizeError returns the error of a failed request without the response body, which may contain
// anything, and without the errors that it wraps, because a network timeout would match
// context.DeadlineExceeded.
func sanitizeError(err error) error {
	var response *sr.ResponseError
	if errors.As(err, &response) {
		switch {
		case response.StatusCode != http.StatusNotFound:
			return fmt.Errorf("HTTP %d, error code %d", response.StatusCode, response.ErrorCode)
		case response.ErrorCode/100 == http.StatusNotFound:
			// Registries differ in which of 40401 to 40403 they use for an ID.
			return errNotFound
		}
		return errUnexpected404
	}
	var transport *url.Error
	if errors.As(err, &transport) {
		err = transport.Err
	}
	return errors.New(truncateText(err.Error()))
}

// boundedTransport makes reading a response fail beyond maxResponseBytes.
type boundedTransport struct{ base http.RoundTripper }

func (t *boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxResponseBytes}
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the base transport.
func (t *boundedTransport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(buffer []byte) (int, error) {
	n, err := b.ReadCloser.Read(buffer)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("the response is longer than %d bytes", maxResponseBytes)
	}
	return n, err
}
