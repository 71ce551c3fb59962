// Package propel sends customer changes to Propel (Propeller Commerce, REST API v2): POST /customers/bulk/sourceId, as documented at
// https://docs.propeller-commerce.com/rest-v2/bulk-customers-by-source-id.
//
// The endpoint creates or updates by source and sourceId, so a call may be made again. Its answer repeats the sourceId and not
// the source, so that a call holds one source; and a call whose JSON breaks the vendor's schema is refused as a whole before
// anything is written, with a pointer to each customer to blame.
package propel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// account is one account, with its one operation.
type account struct {
	name      string
	cfg       Config
	url       string
	codes     map[string]string
	transient []*regexp.Regexp
	client    *http.Client
	tokens    *vendorhttp.TokenSource
	spec      sink.OperationSpec
}

const path = "/customers/bulk/sourceId"

// New gives the operation of an account: customers. The client must not follow redirects (vendorhttp.NewClient makes such ones). The error
// names every setting that cannot be used.
func New(name string, cfg Config, client *http.Client) ([]sink.Operation, error) {
	var faults []error
	cfg.Check(func(path, rule string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", path, fmt.Sprintf(rule, args...)))
	})
	if len(faults) > 0 {
		return nil, fmt.Errorf("configuring the Propel account %s: %w", name, errors.Join(faults...))
	}
	a := &account{
		name: name, cfg: cfg, url: strings.TrimRight(cfg.BaseURL, "/") + path, client: client, tokens: cfg.Auth.source(client), spec: Specs(cfg)[0],
	}
	a.codes = maps.Clone(defaultCodes)
	maps.Copy(a.codes, cfg.ErrorCodes)
	for _, p := range cfg.TransientErrors {
		a.transient = append(a.transient, regexp.MustCompile(p))
	}
	return []sink.Operation{a}, nil
}

// Specs gives the operation that New makes of an account so configured.
func Specs(cfg Config) []sink.OperationSpec {
	return []sink.OperationSpec{{Name: "customers", Event: "sluice.propel.CustomerChange", MaxItems: cfg.MaxItems, Repeatable: true, DefaultPipeline: "customer-changes", KeepOrder: true}}
}

// Spec says what the operation is.
func (a *account) Spec() sink.OperationSpec { return a.spec }

// Encode makes the vendor's item of an event.
func (a *account) Encode(_ context.Context, ev any, _ sink.Origin) (sink.Item, error) {
	e, ok := ev.(*event.CustomerChange)
	if !ok {
		return sink.Item{}, fmt.Errorf("encoding for %s.%s: the event is a %T, want a %T", a.name, a.spec.Name, ev, e)
	}
	return encode(a.cfg, e)
}

var prefix, suffix = []byte(`{"customers":[`), []byte(`]}`)

// EnvelopeSize is the bytes around the items of a call.
func (a *account) EnvelopeSize(string) int { return len(prefix) + len(suffix) }

// Send makes one call.
func (a *account) Send(ctx context.Context, items []sink.Item) sink.Response {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	token, generation, err := a.tokens.Get(ctx)
	if err != nil {
		return noToken(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, http.NoBody)
	if err != nil {
		return sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: errors.New("building the request: base_url cannot be used"), TokenVersion: generation}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(prefix, items, suffix)
	answer := a.readAnswer(vendorhttp.RoundTrip(ctx, a.client, req, 0), items)
	answer.TokenVersion = generation
	return answer
}

// noToken says what a call came to that had no token to go with.
func noToken(err error) sink.Response {
	var unready *sink.DependencyError
	if errors.As(err, &unready) {
		answer := unready.Response
		answer.Err = err
		return answer
	}
	return sink.Response{Result: sink.Result{Class: sink.Unavailable}, Err: err}
}

// The interface is found by a type assertion, so nothing else fails to build without it.
var _ sink.TokenRefresher = (*account)(nil)

// RefreshToken gets a token other than the one named used.
func (a *account) RefreshToken(ctx context.Context, used uint64) error {
	return a.tokens.Refresh(ctx, used)
}
