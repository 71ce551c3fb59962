// Package propel sends customer changes to Propel (Propeller Commerce, REST API v2) with
// POST /customers/bulk/sourceId, as documented at
// https://docs.propeller-commerce.com/rest-v2/bulk-customers-by-source-id.
//
// The endpoint is an upsert by source and sourceId, so its calls are repeatable. Two properties of
// the endpoint shape the package. A response echoes the sourceId but not the source, so all items
// of a call have the same source. And a call whose JSON violates the vendor's schema is rejected as
// a whole, before anything is written, with a pointer to each invalid customer.
package propel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"

	"sluice/internal/config"
	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

const endpointPath = "/customers/bulk/sourceId"

// operation is the operation "customers" of one account.
type operation struct {
	account         string
	cfg             Config
	url             string
	codeMeanings    map[string]string // by vendor code
	transientErrors []*regexp.Regexp
	client          *http.Client
	tokens          *vendorhttp.TokenSource
	spec            sink.OperationSpec
}

// sink.TokenRefresher is discovered by a type assertion: without this line a method that no longer
// implements it would still compile.
var _ sink.TokenRefresher = (*operation)(nil)

// New returns the operation of an account, "customers". The client must not follow redirects;
// vendorhttp.NewClient returns such clients. The error names every invalid setting.
func New(name string, cfg Config, client *http.Client) ([]sink.Operation, error) {
	if err := config.CheckSettings(cfg.Check); err != nil {
		return nil, fmt.Errorf("configuring the Propel account %s: %w", name, err)
	}
	o := &operation{
		account:      name,
		cfg:          cfg,
		url:          strings.TrimRight(cfg.BaseURL, "/") + endpointPath,
		codeMeanings: maps.Clone(defaultCodeMeanings),
		client:       client,
		tokens:       cfg.Auth.newTokenSource(client),
		spec:         Specs(cfg)[0],
	}
	maps.Copy(o.codeMeanings, cfg.ErrorCodes)
	for _, pattern := range cfg.TransientErrors {
		o.transientErrors = append(o.transientErrors, regexp.MustCompile(pattern))
	}
	return []sink.Operation{o}, nil
}

// Specs returns the specs of the operations that New returns for cfg, in the same order.
func Specs(cfg Config) []sink.OperationSpec {
	return []sink.OperationSpec{{
		Name: "customers", Event: "sluice.propel.CustomerChange", MaxItems: cfg.MaxItems, Repeatable: true,
		DefaultPipeline: "customer-changes", KeepOrder: true,
	}}
}

// Spec implements [sink.Operation].
func (o *operation) Spec() sink.OperationSpec { return o.spec }

// Encode implements [sink.Operation]. The event must be an *event.CustomerChange.
func (o *operation) Encode(_ context.Context, ev any, _ sink.Origin) (sink.Item, error) {
	change, ok := ev.(*event.CustomerChange)
	if !ok {
		return sink.Item{}, fmt.Errorf("encoding for %s.%s: the event is a %T, want a %T",
			o.account, o.spec.Name, ev, change)
	}
	return encodeCustomer(o.cfg, change)
}

var bodyPrefix, bodySuffix = []byte(`{"customers":[`), []byte(`]}`)

// EnvelopeSize implements [sink.Operation]. All envelopes have the same size.
func (o *operation) EnvelopeSize(string) int { return len(bodyPrefix) + len(bodySuffix) }

// Send implements [sink.Operation]. The configured timeout covers a login as well.
func (o *operation) Send(ctx context.Context, items []sink.Item) sink.Response {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeout)
	defer cancel()
	return o.tokens.CallWithToken(ctx, func(token string) sink.Response {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, http.NoBody)
		if err != nil {
			return sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: errBaseURL}
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(bodyPrefix, items, bodySuffix)
		return o.parseResponse(vendorhttp.RoundTrip(ctx, o.client, req, 0), items)
	})
}

// errBaseURL replaces the error of net/http, which quotes the URL.
var errBaseURL = errors.New("building the request: base_url cannot be used")

// RefreshToken implements [sink.TokenRefresher].
func (o *operation) RefreshToken(ctx context.Context, used uint64) error {
	return o.tokens.Refresh(ctx, used)
}
