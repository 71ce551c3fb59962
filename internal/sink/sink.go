// Package sink defines the contract between package deliver and the vendors: what an operation is,
// what one call may contain, and what came back for it.
//
// # Writing a vendor
//
// A vendor is one package below this one. It encodes events, sends calls and classifies responses,
// and nothing else: it never retries, waits, counts or logs, and it starts no goroutine. Package
// deliver does all of that, and its outcome table decides the disposition of the records.
//
// The package has a type Config, with a Check method, for the account's section of the
// configuration file, and three functions: Default returns the default Config, Specs the specs of
// the operations, and New the operations of one account. One line in package pipeline registers
// them. Shared packages do what all vendors need:
//
//   - package config checks values against the tags of Config (config.CheckTags), protects secrets
//     (config.Secret) and returns New's error (config.CheckSettings);
//   - package jsonwriter encodes events and collects the rules that they break;
//   - package vendorhttp makes calls, classifies responses by transport error and HTTP status, and
//     manages the account's access token.
//
// The rules that matter most:
//
//   - When in doubt, a result is Unknown. A result is Delivered only if the vendor has accepted the
//     item beyond doubt, and Rejected only if the vendor would refuse the item again.
//   - No message, error or log field may contain a token, a payload or personal data. Text from a
//     vendor must pass through vendorhttp.Redact.
//   - Package conformance runs every registered operation against the sandbox. A new vendor must
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

	// Encode returns the item for an event, which is a pointer to the type generated for
	// Spec().Event. If the event breaks the vendor's rules, the error is a *ValidationError with
	// every violation. If something that encoding needs is not available, such as a column
	// catalogue, the error is a *DependencyError: no record is at fault, and the caller waits. Any
	// other error wraps ctx.Err().
	Encode(ctx context.Context, event any, origin Origin) (Item, error)

	// EnvelopeSize returns an upper bound for the size in bytes of a call with this envelope key,
	// without the bodies of its items and the commas between them.
	EnvelopeSize(envelopeKey string) int

	// Send makes one call with 1 to MaxItems items of one envelope key. It makes exactly one
	// attempt and blocks until the response has been read or ctx ends. If ctx ends, the class is
	// Unavailable before the request was written and Unknown afterwards, and Err wraps ctx.Err().
	Send(ctx context.Context, items []Item) Response
}

// TokenRefresher is an Operation whose calls carry an access token.
type TokenRefresher interface {
	// RefreshToken replaces the token with the version used, which the vendor has refused. It makes
	// at most one login at a time for the account, and none if the token has already been replaced.
	// The error is a *DependencyError. Its class is Unauthorized if the login was refused, and
	// otherwise depends on why the login could not be completed.
	RefreshToken(ctx context.Context, used uint64) error
}

// Prober is an Operation whose vendor offers a harmless call, which is made before a half-open
// breaker lets an item through.
type Prober interface {
	// Probe makes the harmless call. The class Delivered means that the vendor is available again.
	Probe(ctx context.Context) Response
}

// OperationSpec holds the properties of an operation that do not depend on the account.
type OperationSpec struct {
	// Name identifies the operation within its vendor, such as "purchases". The operation name
	// prefixes it with the account: "crmcom.purchases".
	Name string
	// Event is the full Avro name of the operation's event, such as "sluice.crmcom.Purchase".
	Event string
	// MaxItems is the most items that the vendor takes in one call.
	MaxItems int
	// DefaultItems is the default limit for the items of a call; 0 means MaxItems.
	DefaultItems int
	// Repeatable means that sending an item twice does no harm (an upsert).
	Repeatable bool
	// UnknownPolicy is the default policy for unknown outcomes. Repeatable operations do not use
	// it, because their items are always sent again.
	UnknownPolicy UnknownPolicy
	// MaxResends is how often UnknownRetry sends an item again after an unknown outcome.
	MaxResends int
	// DefaultPipeline names the pipeline that delivers the operation's event if the configuration
	// lists no pipelines. Operations with the same DefaultPipeline share it; empty means none.
	DefaultPipeline string
	// KeepOrder makes the default pipeline deliver the records of one Kafka key in order.
	KeepOrder bool
}

// UnknownPolicy determines what happens to an item after an unknown outcome.
type UnknownPolicy string

// The policies for unknown outcomes.
const (
	UnknownRetry      UnknownPolicy = "retry"
	UnknownDeadLetter UnknownPolicy = "dead_letter"
)

// Item is one record in the form that the vendor takes. It is encoded once, whatever the number of
// attempts.
type Item struct {
	// ID identifies the item in the vendor's response and is unique within a call. It is empty if
	// the vendor's responses do not identify items.
	ID string
	// Body is the item's JSON, exactly as it appears in the call's array. For operations with one
	// item per call it is the whole body.
	Body []byte
	// EnvelopeKey names the envelope that the item needs, such as its currency. Items with
	// different envelope keys never share a call.
	EnvelopeKey string
	// EntityKey identifies the entity that the item writes, such as Propel's source and sourceId.
	// Two items of one entity never share a call, and keep their order if their order keys are
	// equal or both empty. It is empty if no two items of the operation write the same entity.
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

// ID returns the origin as one word, "<topic>-<partition>-<offset>". It is the same for every
// attempt, so that an operator can find events that a vendor has recorded twice.
func (o Origin) ID() string {
	b := make([]byte, 0, len(o.Topic)+24)
	b = append(append(b, o.Topic...), '-')
	b = append(strconv.AppendInt(b, int64(o.Partition), 10), '-')
	return string(strconv.AppendInt(b, o.Offset, 10))
}
