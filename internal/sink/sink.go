// Package sink is the contract between the delivery of records and the vendors: what an operation
// is, what one call may carry, and what came back for it.
//
// # Writing a vendor
//
// A vendor is one package below this one. It encodes events, sends calls and classifies responses,
// and nothing else: it never retries, waits, counts or logs, and it starts no goroutine. Package
// deliver does all of that, and decides in its outcome table what becomes of the records.
//
// The package has a Config for the account's section of the configuration file, with a Check
// method, and three functions: Default returns the Config with its defaults, Specs the operations,
// and New the operations of one account. A line in package pipeline registers them. What the
// vendors share is written once:
//
//   - package config checks values by the tags of Config (config.CheckTags), keeps secrets
//     (config.Secret) and makes New's error (config.CheckSettings);
//   - package jsonwriter encodes events and collects the rules that they break;
//   - package vendorhttp makes calls, classifies what transport and HTTP status decide, and keeps
//     the account's access token.
//
// The rules that matter most:
//
//   - When in doubt, a result is Unknown. Delivered is only what the vendor has accepted beyond
//     doubt, and Rejected only what it will refuse again.
//   - No message, error or log field may hold a token, a payload or personal data. Texts from a
//     vendor pass through vendorhttp.Redact.
//   - Package conformance runs every registered operation against a fake vendor. A new vendor must
//     pass it.
package sink

import (
	"context"
	"strconv"
	"time"
)

// Operation is one kind of write that an account offers. All methods are safe for concurrent use.
type Operation interface {
	// Spec returns the operation's fixed properties.
	Spec() OperationSpec

	// Encode makes the item of an event, which is a pointer to the type generated for Spec().Event.
	// An event that the vendor would refuse for its shape gives a *ValidationError with every
	// violation. If something that encoding needs is not available, such as a column catalogue, the
	// error is a *DependencyError: no record is at fault and the caller waits. Any other error is
	// that of ctx.
	Encode(ctx context.Context, event any, origin Origin) (Item, error)

	// EnvelopeSize returns an upper bound of the bytes that a call with this envelope key has
	// besides the bodies of its items and the commas between them.
	EnvelopeSize(envelopeKey string) int

	// Send makes one call with 1 to MaxItems items of one envelope key. It makes exactly one
	// attempt and blocks until the response is read or ctx ends. If ctx ends before the request was
	// written, the class is Unavailable, afterwards it is Unknown; Err then wraps ctx.Err().
	Send(ctx context.Context, items []Item) Response
}

// TokenRefresher is an Operation whose calls carry an access token.
type TokenRefresher interface {
	// RefreshToken replaces the token of the version used, which the vendor has refused. It makes
	// at most one login at a time for the account, and none if the token has been replaced already.
	// The error is a *DependencyError whose class says whether the login was refused (Unauthorized)
	// or could not be tried.
	RefreshToken(ctx context.Context, used uint64) error
}

// Prober is an Operation whose vendor offers a harmless call. It is made before a half-open breaker
// lets an item through.
type Prober interface {
	// Probe makes the harmless call. The class Delivered means that the vendor is available again.
	Probe(ctx context.Context) Response
}

// OperationSpec holds the properties of an operation that do not depend on the account.
type OperationSpec struct {
	// Name is the operation within its vendor, such as "purchases". The operation name is the
	// account and this: "crmcom.purchases".
	Name string
	// Event is the full Avro name of the operation's event, such as "sluice.crmcom.Purchase".
	Event string
	// MaxItems is the most items that the vendor takes in one call.
	MaxItems int
	// DefaultItems is the most items of a call unless configured otherwise; 0 means MaxItems.
	DefaultItems int
	// Repeatable says that sending an item twice does no harm (an upsert).
	Repeatable bool
	// UnknownPolicy is the default for unknown outcomes, with MaxResends for UnknownRetry.
	// Repeatable operations do not use it: their items are sent again.
	UnknownPolicy UnknownPolicy
	// MaxResends is how often an item is sent again after an unknown outcome.
	MaxResends int
	// DefaultPipeline names the pipeline that delivers the operation's event if the configuration
	// lists no pipelines. Operations with the same name share that pipeline; empty means none.
	DefaultPipeline string
	// KeepOrder makes the default pipeline deliver the records of one Kafka key in order.
	KeepOrder bool
}

// UnknownPolicy says what happens to an item after an unknown outcome.
type UnknownPolicy string

// The policies for unknown outcomes.
const (
	UnknownRetry      UnknownPolicy = "retry"
	UnknownDeadLetter UnknownPolicy = "dead_letter"
)

// Item is one record in the form that the vendor takes. It is encoded once, whatever the number of
// attempts.
type Item struct {
	// ID is what the vendor's response calls this item, unique within a call. It is empty if the
	// vendor's responses repeat nothing of ours.
	ID string
	// Body is the item's JSON, exactly as it is in the call's array. For operations of one item a
	// call it is the whole body.
	Body []byte
	// EnvelopeKey names the envelope that the item needs, such as its currency. Items with
	// different envelope keys never share a call.
	EnvelopeKey string
	// EntityKey names what the item writes, such as Propel's source and sourceId. Two items of one
	// entity never share a call, and keep their order if their order keys are equal or both empty.
	// It is empty if the operation's items never write the same thing.
	EntityKey string
}

// Origin is where a record was first read. Retries and dead letters keep it.
type Origin struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
	Offset    int64
	Timestamp time.Time
}

// ID returns the origin as one word, "<topic>-<partition>-<offset>". It is the same at each
// attempt, so that an operator finds what a vendor has booked twice.
func (o Origin) ID() string {
	b := make([]byte, 0, len(o.Topic)+24)
	b = append(append(b, o.Topic...), '-')
	b = append(strconv.AppendInt(b, int64(o.Partition), 10), '-')
	return string(strconv.AppendInt(b, o.Offset, 10))
}
