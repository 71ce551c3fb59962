// Package expoints sends feedback events to Expoints: customers to survey (customer/add), finished surveys (customer/addfinished)
// and locks (customer/addlock), as documented at https://documentation.expoints.nl/external/Help.
//
// Two things of the vendor shape it. Data columns go by the ids of the tenant, so their catalogue is read and names become ids
// before any call. And answers have no body that is documented: a call is taken or refused as a whole, and an address
// that is not valid shows only in Expoints itself.
package expoints

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// account is what the operations of one account share.
type account struct {
	name    string
	cfg     Config
	base    string // base_url without a slash at its end
	zone    *time.Location
	sendAt  time.Time // the time of day of batch.send_time
	client  *http.Client
	tokens  *vendorhttp.TokenSource
	columns *catalogue
}

// New gives the operations of an account: add, addfinished and addlock. The client must not follow redirects (vendorhttp.NewClient makes such
// ones). The error names every setting that cannot be used.
func New(name string, cfg Config, client *http.Client) ([]sink.Operation, error) {
	var faults []error
	cfg.Check(func(path, rule string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", path, fmt.Sprintf(rule, args...)))
	})
	if len(faults) > 0 {
		return nil, fmt.Errorf("configuring the Expoints account %s: %w", name, errors.Join(faults...))
	}
	a := &account{name: name, cfg: cfg, base: strings.TrimRight(cfg.BaseURL, "/"), client: client, tokens: cfg.Auth.source(client)}
	var err error
	if a.zone, err = time.LoadLocation(cfg.TimeZone); err != nil {
		return nil, fmt.Errorf("configuring the Expoints account %s: time_zone: %w", name, err)
	}
	if a.sendAt, err = parseTimeOfDay(cfg.Batch.SendTime); err != nil {
		return nil, fmt.Errorf("configuring the Expoints account %s: batch.send_time: %w", name, err)
	}
	a.columns = newCatalogue(cfg.ColumnsRefresh, a.fetchColumns)
	return []sink.Operation{
		&operation[event.FeedbackRequest]{account: a, spec: specs[0], encode: encodeAdd, envelope: a.envelope, size: a.envelopeSize()},
		&operation[event.FeedbackFinished]{account: a, spec: specs[1], encode: encodeFinished, envelope: bare},
		&operation[event.FeedbackLock]{account: a, spec: specs[2], encode: encodeLock, envelope: bare},
	}, nil
}

// specs: the page advises at most 200 customers a call of add; the other two take one. Nothing is repeatable, and a second survey mail to a
// real customer is worse than an operator's look.
var specs = [...]sink.OperationSpec{
	{Name: "add", Event: "sluice.expoints.FeedbackRequest", MaxItems: 200, UnknownPolicy: sink.UnknownDeadLetter, DefaultPipeline: "feedback"},
	{Name: "addfinished", Event: "sluice.expoints.FeedbackFinished", MaxItems: 1, UnknownPolicy: sink.UnknownDeadLetter, DefaultPipeline: "feedback"},
	{Name: "addlock", Event: "sluice.expoints.FeedbackLock", MaxItems: 1, UnknownPolicy: sink.UnknownDeadLetter, DefaultPipeline: "feedback"},
}

// Specs gives the operations that New makes, in its order.
func Specs() []sink.OperationSpec { return slices.Clone(specs[:]) }

// operation is one endpoint; E is its event.
type operation[E any] struct {
	account  *account
	spec     sink.OperationSpec
	encode   func(context.Context, *account, *E, sink.Origin) (sink.Item, error)
	envelope func(g group, now time.Time) (prefix, suffix []byte)
	size     int // bytes of an envelope at most
}

// bare is the envelope of a one-item call, whose item is the body.
func bare(group, time.Time) (prefix, suffix []byte) { return nil, nil }

// Spec says what the operation is.
func (o *operation[E]) Spec() sink.OperationSpec { return o.spec }

// Encode makes the vendor's item of an event.
func (o *operation[E]) Encode(ctx context.Context, ev any, origin sink.Origin) (sink.Item, error) {
	e, ok := ev.(*E)
	if !ok {
		return sink.Item{}, fmt.Errorf("encoding for %s.%s: the event is a %T, want a %T", o.account.name, o.spec.Name, ev, e)
	}
	return o.encode(ctx, o.account, e, origin)
}

// EnvelopeSize is an upper bound of the bytes around the items of a call.
func (o *operation[E]) EnvelopeSize(string) int { return o.size }

// Send makes one call.
func (o *operation[E]) Send(ctx context.Context, items []sink.Item) sink.Response {
	prefix, suffix := o.envelope(parseGroup(items[0].EnvelopeKey), time.Now())
	body := &requestBody{prefix: prefix, items: items, suffix: suffix}
	return o.account.call(ctx, http.MethodPost, "/external/api/v3/customer/"+o.spec.Name, body, func(r vendorhttp.Exchange) sink.Response {
		return readAnswer(r, len(items))
	})
}

// The interface is found by a type assertion, so nothing else fails to build without it.
var _ sink.TokenRefresher = (*operation[event.FeedbackLock])(nil)

// RefreshToken gets a token other than the one named used. A static bearer token has no other: the refusal stands.
func (o *operation[E]) RefreshToken(ctx context.Context, used uint64) error {
	return o.account.tokens.Refresh(ctx, used)
}

// Probe reads the column catalogue, which changes nothing.
func (o *operation[E]) Probe(ctx context.Context) sink.Response {
	_, answer := o.account.getColumns(ctx)
	return answer
}
