// Package expoints sends feedback events to Expoints: customers to survey (customer/add), finished
// surveys (customer/addfinished) and locks (customer/addlock), as documented at
// https://documentation.expoints.nl/external/Help.
//
// Two properties of the vendor shape the package. Data columns are addressed by the tenant's column
// IDs, so the package fetches the column catalogue and resolves column names before a call. And the
// vendor documents no response bodies: a call is accepted or rejected as a whole, and an invalid
// email address is visible only in Expoints itself.
package expoints

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/internal/config"
	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// account is what the operations of one account share.
type account struct {
	name      string
	cfg       Config
	baseURL   string // without a trailing slash
	zone      *time.Location
	timeOfDay time.Time // batch.send_time
	client    *http.Client
	tokens    *vendorhttp.TokenSource
	catalogue *catalogueCache
}

// New returns the operations of an account: add, addfinished and addlock. The client must not
// follow redirects; vendorhttp.NewClient returns such clients. The error names every invalid
// setting.
func New(name string, cfg Config, client *http.Client) ([]sink.Operation, error) {
	a, err := newAccount(name, cfg, client)
	if err != nil {
		return nil, fmt.Errorf("configuring the Expoints account %s: %w", name, err)
	}
	return []sink.Operation{
		&operation[event.FeedbackRequest]{
			account: a, spec: specs[0], encode: encodeAdd,
			envelope: a.addEnvelope, maxEnvelopeSize: a.maxEnvelopeSize(),
		},
		&operation[event.FeedbackFinished]{account: a, spec: specs[1], encode: encodeFinished, envelope: emptyEnvelope},
		&operation[event.FeedbackLock]{account: a, spec: specs[2], encode: encodeLock, envelope: emptyEnvelope},
	}, nil
}

func newAccount(name string, cfg Config, client *http.Client) (*account, error) {
	if err := config.CheckSettings(cfg.Check); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(cfg.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time_zone: %w", err)
	}
	timeOfDay, err := parseTimeOfDay(cfg.Batch.SendTime)
	if err != nil {
		return nil, fmt.Errorf("batch.send_time: %w", err)
	}
	a := &account{
		name:      name,
		cfg:       cfg,
		baseURL:   strings.TrimRight(cfg.BaseURL, "/"),
		zone:      zone,
		timeOfDay: timeOfDay,
		client:    client,
		tokens:    cfg.Auth.newTokenSource(client),
	}
	a.catalogue = newCatalogueCache(cfg.ColumnsRefresh, a.fetchCatalogue)
	return a, nil
}

// specs has the three operations. The vendor recommends at most 200 customers in a call of add; the
// other two accept one. None is repeatable, and unknown outcomes are dead-lettered, because a
// second survey mail to a customer is worse than a record that an operator has to look at.
var specs = [...]sink.OperationSpec{
	newSpec("add", "FeedbackRequest", 200),
	newSpec("addfinished", "FeedbackFinished", 1),
	newSpec("addlock", "FeedbackLock", 1),
}

func newSpec(name, eventName string, maxItems int) sink.OperationSpec {
	return sink.OperationSpec{
		Name: name, Event: "sluice.expoints." + eventName, MaxItems: maxItems,
		UnknownPolicy: sink.UnknownDeadLetter, DefaultPipeline: "feedback",
	}
}

// Specs returns the specs of the operations that New returns, in the same order.
func Specs() []sink.OperationSpec { return slices.Clone(specs[:]) }

// operation is one endpoint; E is the type of its events.
type operation[E any] struct {
	account         *account
	spec            sink.OperationSpec
	encode          func(context.Context, *account, *E, sink.Origin) (sink.Item, error)
	envelope        func(kind envelopeKind, now time.Time) (prefix, suffix []byte)
	maxEnvelopeSize int // in bytes
}

// sink.TokenRefresher is discovered by a type assertion: without this line a method that no longer
// implements it would still compile.
var _ sink.TokenRefresher = (*operation[event.FeedbackLock])(nil)

// emptyEnvelope is the envelope of an operation that sends its one item as the whole body.
func emptyEnvelope(envelopeKind, time.Time) (prefix, suffix []byte) { return nil, nil }

// Spec implements [sink.Operation].
func (o *operation[E]) Spec() sink.OperationSpec { return o.spec }

// Encode implements [sink.Operation]. The event must be an *E.
func (o *operation[E]) Encode(ctx context.Context, ev any, origin sink.Origin) (sink.Item, error) {
	typed, ok := ev.(*E)
	if !ok {
		return sink.Item{}, fmt.Errorf("encoding for %s.%s: the event is a %T, want a %T",
			o.account.name, o.spec.Name, ev, typed)
	}
	return o.encode(ctx, o.account, typed, origin)
}

// EnvelopeSize implements [sink.Operation]. The bound is the same for all envelope keys.
func (o *operation[E]) EnvelopeSize(string) int { return o.maxEnvelopeSize }

// Send implements [sink.Operation].
func (o *operation[E]) Send(ctx context.Context, items []sink.Item) sink.Response {
	prefix, suffix := o.envelope(parseEnvelopeKey(items[0].EnvelopeKey), time.Now())
	body := &requestBody{prefix: prefix, items: items, suffix: suffix}
	parse := func(exchange vendorhttp.Exchange) sink.Response { return parseResponse(exchange, len(items)) }
	return o.account.callVendor(ctx, http.MethodPost, "/external/api/v3/customer/"+o.spec.Name, body, parse)
}

// RefreshToken implements [sink.TokenRefresher]. A static bearer token cannot be refreshed: the
// error has the class Unauthorized.
func (o *operation[E]) RefreshToken(ctx context.Context, used uint64) error {
	return o.account.tokens.Refresh(ctx, used)
}

// Probe implements [sink.Prober] with a request for the column catalogue, which changes nothing.
func (o *operation[E]) Probe(ctx context.Context) sink.Response {
	_, response := o.account.requestCatalogue(ctx)
	return response
}
