// Package sink is the contract between the line and a vendor: what an operation is, what one call may carry, and what
// came back, said in the classes of the outcome table.
//
// A vendor's package encodes, sends and reads answers, and nothing else. It does not retry, wait, count or log; it holds no
// goroutine. What happens after an answer is decided in one place, package deliver.
package sink

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ResultClass says what came back, for a call or for one item. The outcome table in package deliver has a row for each.
type ResultClass uint8

// The classes. The zero value is none of them, so that a forgotten result is never taken for a delivery.
const (
	// Delivered: the vendor has accepted it. For a call: the answer was readable, and Answer.Items says what became of each item.
	Delivered ResultClass = iota + 1
	// Rejected: refused for good. For a call: the whole batch was refused; Answer.Named lists the items blamed, if any.
	Rejected
	// Retryable: refused now, may be accepted later (an account that does not exist yet). Only for items.
	Retryable
	// Unknown: it cannot be known whether the vendor acted on it: 502, 504, 520, 524, 598, 599, a
	// timeout or reset after the request was written, a 2xx answer that cannot be read where one is
	// due, an item missing in the answer or answered twice.
	Unknown
	// TooLarge: 413. Only for calls.
	TooLarge
	// Unauthorized: 401, 403, or the vendor's own way to say that the login does not hold. Nothing was done. Only for calls.
	Unauthorized
	// Misconfigured: 404, 405 or 415 on the endpoint, a redirect, a TLS or DNS failure, a vendor code that blames the caller's set-up. Only for calls.
	Misconfigured
	// Throttled: 429; Answer.RetryAfter holds the vendor's wish, if it had one. Nothing was done. Only for calls.
	Throttled
	// Unavailable: 408, 503, 500 and other 5xx, connection refused, or reset or timed out before the request was written. Only for calls.
	Unavailable
)

var classNames = [...]string{"none", "delivered", "rejected", "retryable", "unknown", "too_large", "unauthorized", "misconfigured", "throttled", "unavailable"}

// String is the class as it stands in metrics and logs.
func (c ResultClass) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Result is what came back for one item or for a call as a whole.
type Result struct {
	Class ResultClass
	// Status is the HTTP status, 0 where no answer came.
	Status int
	// Code is the vendor's own code, such as NotFoundAPIValueException or 10007; empty where it gave none.
	Code string
	// Message is the vendor's text, cut to 512 bytes and without values that look personal (see Redact).
	Message string
	// RequestID is the vendor's id of the call, where it gives one.
	RequestID string
}

// ItemError is an item that a refused batch's answer blames, by its index in the call.
type ItemError struct {
	Index int
	Result
}

// Response is what came back for one call.
type Response struct {
	// Result is the call as a whole. With class Delivered, Items holds the items' own results.
	Result
	// ItemResults has, with class Delivered, exactly one result an item, in the order sent; each Delivered, Rejected, Retryable or Unknown.
	// It is nil with every other class.
	ItemResults []Result
	// ItemErrors has, with class Rejected, the items that the answer blames; empty where it blames nobody. Indices are in range and distinct.
	ItemErrors []ItemError
	// RetryAfter is the wait that the vendor asked for (RFC 9110 10.2.3), 0 where it asked for none. It is not capped here.
	RetryAfter time.Duration
	// MayHaveActed says, with class Unavailable, that the vendor received the whole request (500 and 5xx other than 503), so that
	// sending an item again may repeat it.
	MayHaveActed bool
	// TokenVersion names the credential that the call carried, for Authorizer.Renew; 0 where there is none.
	TokenVersion uint64
	// Err is the cause for a log line, without token, payload or personal field; nil where the answer says all.
	Err error
}

// Origin is where a record was first read: the source topic, whatever retry topics it has passed since.
type Origin struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
	Offset    int64
	Timestamp time.Time
}

// ID is the origin as one word, "<topic>-<partition>-<offset>". It is the same at each attempt, so that a vendor's double booking can be found.
func (o Origin) ID() string {
	b := make([]byte, 0, len(o.Topic)+24)
	b = append(append(b, o.Topic...), '-')
	b = append(strconv.AppendInt(b, int64(o.Partition), 10), '-')
	return string(strconv.AppendInt(b, o.Offset, 10))
}

// Item is one record as the vendor will see it, encoded once.
type Item struct {
	// ID is what the vendor echoes for this item in its answer, unique within a call; empty where the vendor echoes nothing of ours.
	ID string
	// Body is the item's JSON, exactly the bytes that will stand in the call's array (or, for one-item calls, be the body).
	Body []byte
	// EnvelopeKey names the envelope that the item needs (currency, source, test or not). Items of different groups never share a call.
	EnvelopeKey string
	// EntityKey names what the item writes (Propel: source and sourceId). Two items of one entity are never in one call, and keep their order
	// where they have one order key, or none. Empty where items do not meet.
	EntityKey string
}

// UnknownPolicy is what is done with an item whose outcome cannot be known.
type UnknownPolicy string

// The policies for an unknown outcome.
const (
	UnknownRetry      UnknownPolicy = "retry"
	UnknownDeadLetter UnknownPolicy = "dead_letter"
)

// OperationSpec is what an operation is, apart from any account.
type OperationSpec struct {
	// Name is the operation within its vendor, such as "purchases". The full name puts the account before it: "crmcom.purchases".
	Name string
	// Event is the full Avro name of its event, such as "sluice.crmcom.Purchase".
	Event string
	// MaxItems is the vendor's cap of items a call.
	MaxItems int
	// DefaultItems is the cap used unless configured; 0: MaxItems.
	DefaultItems int
	// Repeatable says that sending an item twice does no harm (an upsert).
	Repeatable bool
	// UnknownPolicy is the default policy for unknown outcomes, with Resends for UnknownRetry. Not used where Repeatable.
	UnknownPolicy UnknownPolicy
	MaxResends    int
	// DefaultPipeline names the pipeline that delivers the operation's event where the configuration
	// lists no pipelines. Operations of one name share the pipeline. Empty: there is none.
	DefaultPipeline string
	// KeepOrder makes that pipeline deliver the records of one Kafka key in order.
	KeepOrder bool
}

// Operation is one endpoint of one account. All methods are safe for concurrent use.
type Operation interface {
	// Spec says what the operation is. It never changes.
	Spec() OperationSpec
	// Encode makes the vendor's item of an event (a pointer to the type generated for Spec().Event). A record that the vendor would refuse for
	// its shape is an *Invalid error that names every fault. A failure to get what encoding needs (Expoints' column catalogue) is an *Unready
	// error: nothing is wrong with the record, the caller waits. Otherwise the error is ctx's.
	Encode(ctx context.Context, event any, origin Origin) (Item, error)
	// EnvelopeSize is an upper bound of the bytes that a call of this group has besides its items' bodies and the commas between them.
	EnvelopeSize(group string) int
	// Send makes one call with 1 to MaxItems items, all of one group. It blocks until the answer is read or ctx ends; it makes exactly one
	// attempt. A ctx that ends before the request was written gives class Unavailable, after that Unknown, with Err wrapping ctx.Err().
	Send(ctx context.Context, items []Item) Response
}

// TokenRefresher is an operation whose calls carry a token that can be had anew.
type TokenRefresher interface {
	// RefreshToken gets a token other than the one named used, at most one login at a time for the account; where a newer one is there already, that
	// one is taken. The error is an *Unready whose class says whether the login was refused (Unauthorized) or could not be tried.
	RefreshToken(ctx context.Context, used uint64) error
}

// Prober is an operation whose vendor has a harmless call, made before a half-open breaker lets an item through.
type Prober interface {
	// Probe makes the harmless call; class Delivered means that the vendor is back.
	Probe(ctx context.Context) Response
}

// Violation is one thing wrong with a record: where, and the rule that it breaks. It never holds the value.
type Violation struct {
	// Path is the field, such as "products[2].net_amount".
	Path string
	// Rule says what is allowed, such as "is mandatory" or "exactly one of a, b is allowed".
	Rule string
}

// ValidationError is a record that the vendor would refuse for its shape, with every fault found.
type ValidationError struct{ Violations []Violation }

// Error lists the faults, "path: rule; path: rule".
func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, f := range e.Violations {
		parts[i] = f.Path + ": " + f.Rule
	}
	return strings.Join(parts, "; ")
}

// DependencyError is a failure to get what is needed before a call (a token, a catalogue). No record is to blame.
type DependencyError struct {
	// Action says what was being done, such as "fetching the column catalogue".
	Action string
	// Response is what came back; its class decides how to wait.
	Response Response
}

// Error says what was being done and what came back.
func (e *DependencyError) Error() string {
	s := e.Action + ": " + e.Response.Class.String()
	if e.Response.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Response.Status)
	}
	if e.Response.Err != nil {
		s += ": " + e.Response.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *DependencyError) Unwrap() error { return e.Response.Err }
