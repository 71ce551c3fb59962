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
	maxAnswer     = 4 << 20 // bytes of one answer of the registry
	maxReferences = 100     // schemas that one schema may refer to, in all
)

var (
	// errNotFound is the registry's own 404, for a schema id or a reference.
	errNotFound = errors.New("not found")
	// errForeign404 is a 404 of something else, such as a proxy whose registry is away, or of a wrong base path.
	errForeign404 = errors.New("HTTP 404 that is not of a schema registry's form (no error code 404xx): a proxy whose registry is away, or a wrong base path")
)

// registry reads schemas over the Confluent Schema Registry's HTTP API.
type registry struct {
	clients []*sr.Client // one a URL: sr itself moves to the next URL only when a connection fails, not on a 5xx
	http    *http.Client
	timeout time.Duration

	mu     sync.Mutex
	failed time.Time // when all URLs failed last, each in its way
}

func newRegistry(cfg Config) (*registry, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("no schema registry URL: want at least one such as http://localhost:8081")
	}
	client := &http.Client{Transport: &boundedTransport{base: cfg.Transport}}
	r := &registry{http: client, timeout: cfg.Timeout}
	for i, text := range cfg.URLs {
		c, err := newClient(cfg, client, text)
		if err != nil {
			return nil, fmt.Errorf("schema registry URL %d of %d: %w", i+1, len(cfg.URLs), err)
		}
		r.clients = append(r.clients, c)
	}
	return r, nil
}

// newClient moves a login out of the URL, so that no error can print it.
func newClient(cfg Config, client *http.Client, text string) (*sr.Client, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("want http or https, a host, and a base path if there is one") // the parser's error would print a password
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

// byID gives the schema of an id; errNotFound where no URL knows it.
func (r *registry) byID(ctx context.Context, id int) (sr.Schema, error) {
	return r.first(ctx, func(ctx context.Context, c *sr.Client) (sr.Schema, error) {
		return c.SchemaByID(ctx, id)
	})
}

// byVersion gives a schema that another one refers to, also when it was deleted since.
func (r *registry) byVersion(ctx context.Context, ref sr.SchemaReference) (sr.Schema, error) {
	return r.first(sr.WithParams(ctx, sr.ShowDeleted), func(ctx context.Context, c *sr.Client) (sr.Schema, error) {
		s, err := c.SchemaByVersion(ctx, ref.Subject, ref.Version)
		return s.Schema, err
	})
}

// first is the first URL's answer that has a schema. With none: errNotFound where a registry said so, in its own form; else the last error.
func (r *registry) first(ctx context.Context, get func(context.Context, *sr.Client) (sr.Schema, error)) (sr.Schema, error) {
	var last error
	notFound := false
	for _, c := range r.clients {
		s, err := r.once(ctx, c, get)
		if ctx.Err() != nil {
			return sr.Schema{}, ctx.Err()
		}
		if err == nil {
			return s, nil
		}
		last = plain(err)
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

// lastFailure is when a look-up failed last, zero where none has.
func (r *registry) lastFailure() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *registry) once(ctx context.Context, c *sr.Client, get func(context.Context, *sr.Client) (sr.Schema, error)) (sr.Schema, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("no answer within %s", r.timeout))
	defer cancel()
	s, err := get(ctx, c)
	switch {
	case err != nil && ctx.Err() != nil:
		return s, context.Cause(ctx)
	case err == nil && s.Schema == "":
		return s, errors.New("the answer has no schema")
	}
	return s, err
}

// plain is a failed look-up's error without the registry's body, which may be anything, and without the errors that it wraps: a network
// timeout passes for a context's.
func plain(err error) error {
	var answer *sr.ResponseError
	if errors.As(err, &answer) {
		switch {
		case answer.StatusCode != http.StatusNotFound:
			return fmt.Errorf("HTTP %d, error code %d", answer.StatusCode, answer.ErrorCode)
		case answer.ErrorCode/100 == http.StatusNotFound: // 40401 to 40403: which of them stands for an id differs between registries
			return errNotFound
		}
		return errForeign404
	}
	var transport *url.Error
	if errors.As(err, &transport) {
		err = transport.Err
	}
	return errors.New(cut(err.Error()))
}

// boundedTransport fails an answer that is longer than maxAnswer.
type boundedTransport struct{ base http.RoundTripper }

func (t *boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// CloseIdleConnections reaches the base transport through http.Client.CloseIdleConnections.
func (t *boundedTransport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return n, err
}
