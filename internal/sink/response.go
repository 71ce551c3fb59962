package sink

import (
	"fmt"
	"strings"
	"time"
)

// ResultClass classifies the result of a call or of one item. The outcome table of package deliver
// has a row for each class.
type ResultClass uint8

// The result classes. The zero value is none of them, so that a result that was never set is not
// mistaken for a delivery.
const (
	// Delivered: the vendor has accepted the item. For a call: the response was readable, and
	// Response.ItemResults has the result of each item.
	Delivered ResultClass = iota + 1
	// Rejected: the vendor refused the item for good. For a call: it refused the whole batch, and
	// Response.ItemErrors has the items that it names as the reason, if any.
	Rejected
	// Retryable: the vendor refused the item for now and may accept it later, such as an event of
	// an account that does not exist yet. Only for items.
	Retryable
	// Unknown: nobody knows whether the vendor acted. The call got 502, 504, 520, 524, 598, 599, a
	// timeout or reset after the request was written, or a 2xx response that could not be read; or
	// the response omits the item or has it twice.
	Unknown
	// TooLarge: 413. Only for calls.
	TooLarge
	// Unauthorized: 401, 403, or the vendor's own code for a refused token. The vendor did nothing.
	// Only for calls.
	Unauthorized
	// Misconfigured: 404, 405 or 415 from the endpoint, a redirect, a TLS or DNS failure, or a
	// vendor code for a wrong configuration. Only for calls.
	Misconfigured
	// Throttled: 429. The vendor did nothing; Response.RetryAfter is the wait that it asked for, if
	// any. Only for calls.
	Throttled
	// Unavailable: 408, 500, 503 and other 5xx, a refused connection, or a timeout or reset before
	// the request was written. Only for calls.
	Unavailable
)

var classNames = [...]string{
	"none", "delivered", "rejected", "retryable", "unknown", "too_large", "unauthorized", "misconfigured",
	"throttled", "unavailable",
}

// String returns the class as it appears in metrics and logs.
func (c ResultClass) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Result is what came back for one item, or for a call as a whole.
type Result struct {
	Class ResultClass
	// Status is the HTTP status, or 0 if there was no response.
	Status int
	// Code is the vendor's own code, such as NotFoundAPIValueException or 10007, or empty.
	Code string
	// Message is the vendor's text after vendorhttp.Redact: at most 512 bytes, without values that
	// look personal.
	Message string
	// RequestID is the vendor's identifier of the call, or empty.
	RequestID string
}

// ItemError is the result of an item that the response to a rejected batch names as the reason.
type ItemError struct {
	// Index is the item's position in the call, from 0.
	Index int
	Result
}

// Response is what came back for one call.
type Response struct {
	// Result is the result of the call as a whole.
	Result
	// ItemResults has exactly one result per item, in the order sent, if the class is Delivered; it
	// is nil otherwise. Each is Delivered, Rejected, Retryable or Unknown.
	ItemResults []Result
	// ItemErrors has the items that the response names as the reason, if the class is Rejected. It
	// is empty if the response names none. Indices are in range and distinct.
	ItemErrors []ItemError
	// RetryAfter is the wait that the vendor asked for (RFC 9110, section 10.2.3), or 0. The caller
	// must bound it.
	RetryAfter time.Duration
	// MayHaveActed means, if the class is Unavailable, that the vendor received the whole request
	// (5xx other than 503), so that sending an item again may duplicate it.
	MayHaveActed bool
	// TokenVersion identifies the access token of the call, for TokenRefresher.RefreshToken; 0
	// means that there was none.
	TokenVersion uint64
	// Err is an error for the log, without token, payload or personal data. It is nil if the other
	// fields are sufficient.
	Err error
}

// Violation is one rule that a field of a record breaks. It never contains the field's value.
type Violation struct {
	// Path is the path of the field, such as "products[2].net_amount".
	Path string
	// Rule describes what is allowed, such as "is mandatory" or "exactly one of a, b is allowed".
	Rule string
}

// ValidationError reports every rule of the vendor that a record breaks.
type ValidationError struct{ Violations []Violation }

// Error lists the violations as "path: rule; path: rule".
func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, violation := range e.Violations {
		parts[i] = violation.Path + ": " + violation.Rule
	}
	return strings.Join(parts, "; ")
}

// DependencyError reports that something needed before a call, such as an access token or a column
// catalogue, is not available. No record is at fault.
type DependencyError struct {
	// Action is what was being done, in gerund form, such as "fetching the column catalogue".
	Action string
	// Response is what came back. Its class determines how the caller waits.
	Response Response
}

// Error returns the action, the class, the HTTP status if there is one, and the underlying error.
func (e *DependencyError) Error() string {
	text := e.Action + ": " + e.Response.Class.String()
	if e.Response.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", e.Response.Status)
	}
	if e.Response.Err != nil {
		text += ": " + e.Response.Err.Error()
	}
	return text
}

// Unwrap returns the underlying error.
func (e *DependencyError) Unwrap() error { return e.Response.Err }
