package sandbox

import (
	"hash/fnv"
	"strings"
	"time"
)

// Fault is a scripted fault: a way in which a vendor misbehaves on purpose.
type Fault string

// The faults. A fault that ends a call leaves its items unwritten unless Action.Apply is set. If
// several match, the first one ends the call.
const (
	// FaultStatus responds with Code, RetryAfter and Body.
	FaultStatus Fault = "status"
	// FaultTooLarge responds with 413.
	FaultTooLarge Fault = "too_large"
	// FaultRedirect responds with 307 and Location.
	FaultRedirect Fault = "redirect"
	// FaultResetBefore closes the connection without reading the body.
	FaultResetBefore Fault = "reset_before"
	// FaultResetAfter reads the whole request and closes the connection without a response.
	FaultResetAfter Fault = "reset_after"
	// FaultTimeout sends nothing until the client disconnects, for at most Delay (default: 10
	// minutes).
	FaultTimeout Fault = "timeout"
	// FaultGarbageBody responds with 200 and Body (default: half a JSON object).
	FaultGarbageBody Fault = "garbage_body"
	// FaultEmptyBody responds with 200 and no body.
	FaultEmptyBody Fault = "empty_body"
	// FaultRefuseBatch refuses the whole batch in the vendor's format, with ErrorCode and
	// Description.
	FaultRefuseBatch Fault = "refuse_batch"
	// FaultRefuseItem refuses the matching items with ErrorCode and Description. A vendor that
	// accepts only whole batches refuses the batch.
	FaultRefuseItem Fault = "refuse_item"
	// FaultDropItems writes all items, but leaves the matching ones, or else the last Count, out of
	// the response.
	FaultDropItems Fault = "drop_items"
	// FaultRepeatItems writes all items, but has the results of the matching ones, or else of the
	// last Count, twice in the response.
	FaultRepeatItems Fault = "repeat_items"
	// FaultExtraItems adds the results of Count unknown items to the response.
	FaultExtraItems Fault = "extra_items"
	// FaultExpireTokens invalidates all of the vendor's tokens, then continues. It has no effect on
	// a vendor that issues none.
	FaultExpireTokens Fault = "expire_tokens"
	// FaultLatency delays the response by Delay.
	FaultLatency Fault = "latency"
)

// Rule is a fault with the condition under which it fires.
type Rule struct {
	// Name identifies the rule in Server.Faults and Server.StopRule. It must be unique in a script.
	Name string
	// Operation is an operation's full name such as "crmcom.purchases", a vendor such as "crmcom"
	// for all of its operations including logins, or empty for everything.
	Operation string
	// When restricts the calls on which the rule fires. The zero value means all calls.
	When When
	// Times is the maximum number of calls on which the rule fires; 0 means no limit.
	Times int
	// Do is the action of the rule.
	Do Action
}

// When selects calls. A call must meet all conditions that are set. Only the calls that the rule's
// Operation covers are counted, from 1.
type When struct {
	// AfterCalls is the number of calls before the first one on which the rule may fire.
	AfterCalls int
	// Every selects every nth call after those; 0 and 1 select all.
	Every int
	// From and Until are times since New. An Until of 0 means no end.
	From, Until time.Duration
	// Items selects items. The rule fires only on calls that contain a matching item. The zero
	// value means that the rule applies to the call as a whole.
	Items Items
}

// Items selects items by the value of one field, as text. Without Prefix and Modulus it selects
// every item that has the field.
type Items struct {
	// Field is a dotted path in the item's JSON, such as "accounts_receivable_identifier.number".
	Field string
	// Prefix is the required prefix of the value.
	Prefix string
	// Modulus and Remainder select by hash: the 32-bit FNV-1a hash of the value modulo Modulus must
	// be Remainder. A Modulus of 0 selects all values.
	Modulus, Remainder uint32
}

// Action is what a rule does. The comment on each fault names the fields that it uses; all others
// must be zero. Apply is allowed with status, reset_after, timeout, garbage_body and empty_body.
type Action struct {
	Fault Fault
	// Code is the HTTP status, from 200 to 599.
	Code int
	// RetryAfter is sent in the header of that name (RFC 9110, section 10.2.3), in whole seconds.
	RetryAfter time.Duration
	// RetryAfterDate sends RetryAfter as a date.
	RetryAfterDate bool
	// Body is the body of the response.
	Body string
	// Location is the target of the redirect.
	Location string
	// Delay is a duration to wait.
	Delay time.Duration
	// Apply makes the vendor process the call and accept its items before the call fails.
	Apply bool
	// ErrorCode and Description are the vendor's error code and text. By default they are typical
	// of the vendor.
	ErrorCode, Description string
	// Named makes refuse_batch name the matching items, if the vendor's format has a place for that
	// (Expoints, Propel).
	Named bool
	// Count is a number of items; 0 means 1.
	Count int
}

func (i Items) isZero() bool { return i == Items{} }

func (i Items) matchesItem(object *jsonObject) bool {
	value, ok := object.scalarAt(i.Field)
	if !ok || !strings.HasPrefix(value, i.Prefix) {
		return false
	}
	if i.Modulus == 0 {
		return true
	}
	hash := fnv.New32a()
	hash.Write([]byte(value))
	return hash.Sum32()%i.Modulus == i.Remainder
}
