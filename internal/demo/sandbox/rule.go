package sandbox

import (
	"hash/fnv"
	"strings"
	"time"
)

// Fault is a way to misbehave.
type Fault string

// The faults. Those that end a call do not act upon its items unless Action.Apply is set; the first that matches ends it.
const (
	FaultStatus       Fault = "status"        // answers Code, with RetryAfter and Body
	FaultTooLarge     Fault = "too_large"     // answers 413
	FaultRedirect     Fault = "redirect"      // answers 307 to Location
	FaultResetBefore  Fault = "reset_before"  // closes the connection without reading the body
	FaultResetAfter   Fault = "reset_after"   // reads everything and closes the connection without an answer
	FaultTimeout      Fault = "timeout"       // gives no answer until the client leaves, at most Delay (0: 10 minutes)
	FaultGarbageBody  Fault = "garbage_body"  // answers 200 with Body (default: half a JSON object)
	FaultEmptyBody    Fault = "empty_body"    // answers 200 without a body
	FaultRefuseBatch  Fault = "refuse_batch"  // refuses the whole batch the vendor's way, with ErrorCode and Description
	FaultRefuseItem   Fault = "refuse_item"   // refuses the matching items with ErrorCode and Description; where the vendor knows batches alone, the batch
	FaultDropItems    Fault = "drop_items"    // leaves the matching items, else the last Count, out of the answer; what they ask is done
	FaultExtraItems   Fault = "extra_items"   // adds Count results of unknown items to the answer
	FaultExpireTokens Fault = "expire_tokens" // ends all of the vendor's tokens, then goes on
	FaultLatency      Fault = "latency"       // waits Delay before the answer
)

// Rule is one fault and when it fires.
type Rule struct {
	// Name is how Server.Faults lists it; unique in a script.
	Name string
	// Operation is a full name such as "crmcom.purchases", a vendor such as "crmcom" for all that it has, logins too, or empty for everything.
	Operation string
	// When narrows it; the zero value is always.
	When When
	// Times is the number of calls on which it fires at most; 0: no bound.
	Times int
	// Do is what happens.
	Do Action
}

// When says on which calls a rule fires. All that is set must hold. Calls are those of the rule's own operations, counted from 1.
type When struct {
	// AfterCalls lets so many calls pass first.
	AfterCalls int
	// Every fires on each so-manieth call after those; 0 and 1: each.
	Every int
	// From and Until are times since New; Until 0: for ever.
	From, Until time.Duration
	// Items are the items meant; the rule fires only on calls that have one. The zero value means the call as a whole.
	Items Items
}

// Items picks items by the text of one field. Without Prefix and Modulus every item that has the field is meant.
type Items struct {
	// Field is a dotted path in the item's JSON, such as "accounts_receivable_identifier.number".
	Field string
	// Prefix is how the text must begin.
	Prefix string
	// Modulus and Remainder pick by hash: FNV-1a 32 of the text, modulo Modulus, must be Remainder. 0: all.
	Modulus, Remainder uint32
}

// Action is what a rule does. Which fields a fault takes stands at the fault; others must be zero. Apply is taken by status, reset_after, timeout,
// garbage_body and empty_body.
type Action struct {
	Fault Fault
	// Code is the HTTP status, 200 to 599.
	Code int
	// RetryAfter is sent as the header of that name (RFC 9110, section 10.2.3), in whole seconds.
	RetryAfter time.Duration
	// RetryAfterDate sends it as a date instead.
	RetryAfterDate bool
	// Body is the answer's body.
	Body string
	// Location is the redirect's target.
	Location string
	// Delay is a wait.
	Delay time.Duration
	// Apply has the call judged and its items accepted before it ends badly.
	Apply bool
	// ErrorCode and Description are the vendor's code and text. Default: a code of the vendor's kind.
	ErrorCode, Description string
	// Named has refuse_batch name the matching items, where the vendor's answer has a place for that (Expoints, Propel).
	Named bool
	// Count is the number of items; 0: 1.
	Count int
}

func (i Items) isZero() bool { return i == Items{} }

func (i Items) matches(o *object) bool {
	value, ok := o.scalar(i.Field)
	if !ok || !strings.HasPrefix(value, i.Prefix) {
		return false
	}
	if i.Modulus == 0 {
		return true
	}
	h := fnv.New32a()
	h.Write([]byte(value))
	return h.Sum32()%i.Modulus == i.Remainder
}

// needsItems tells whether the rule can be judged only when the call's items are known.
func (r Rule) needsItems() bool {
	switch r.Do.Fault {
	case FaultRefuseItem, FaultDropItems, FaultExtraItems:
		return true
	default:
		return !r.When.Items.isZero()
	}
}

func (r Rule) covers(operation string) bool {
	return r.Operation == "" || r.Operation == operation || strings.HasPrefix(operation, r.Operation+".")
}

// ends tells whether the fault takes the place of the call's answer.
func (f Fault) ends() bool {
	switch f {
	case FaultRefuseItem, FaultDropItems, FaultExtraItems, FaultExpireTokens, FaultLatency:
		return false
	default:
		return true
	}
}

// ruleState is a rule with its counts, which Server.mu covers.
type ruleState struct {
	Rule
	calls, fired int
}

// due counts a call and tells whether the rule may fire on it, as far as can be told without its items.
func (r *ruleState) due(elapsed time.Duration) bool {
	r.calls++
	n := r.calls - r.When.AfterCalls
	return r.left() && n > 0 && n%max(r.When.Every, 1) == 0 &&
		elapsed >= r.When.From && (r.When.Until == 0 || elapsed < r.When.Until)
}

func (r *ruleState) left() bool { return r.Times == 0 || r.fired < r.Times }

// arrive runs the rules that need no items, and keeps the others for onItems. Server.mu must be held.
func (s *Server) arrive(c *call) {
	elapsed := time.Since(s.start)
	for _, r := range s.rules {
		if !r.covers(c.endpoint.operation) || !r.due(elapsed) {
			continue
		}
		if r.needsItems() {
			c.pending = append(c.pending, r)
			continue
		}
		c.strike(r, nil)
	}
}

// onItems runs the rules that need items. Server.mu must be held.
func (s *Server) onItems(c *call, items []item) {
	for _, r := range c.pending {
		if c.end != nil && !c.end.Apply {
			return // nothing more can show
		}
		var matched []int
		for i, it := range items {
			if !r.When.Items.isZero() && r.When.Items.matches(it.object) {
				matched = append(matched, i)
			}
		}
		if r.When.Items.isZero() {
			matched = last(len(items), r.Do.Count)
		}
		if len(matched) > 0 && r.left() {
			c.strike(r, matched)
		}
	}
}

func last(n, count int) []int {
	var is []int
	for i := max(0, n-max(count, 1)); i < n; i++ {
		is = append(is, i)
	}
	return is
}

// strike lets a rule fire on a call, unless it cannot act there.
func (c *call) strike(r *ruleState, matched []int) {
	switch a := r.Do; {
	case a.Fault.ends():
		if c.end != nil {
			return
		}
		c.end, c.matched = &r.Do, matched
	case a.Fault == FaultLatency:
		c.delay += a.Delay
	case a.Fault == FaultExpireTokens:
		c.endpoint.vendor.logins().expire()
	case a.Fault == FaultRefuseItem:
		for _, i := range matched {
			c.refusals[i] = c.endpoint.vendor.scripted(a)
		}
	case c.endpoint.whole: // no results to drop or add
		return
	case a.Fault == FaultExtraItems:
		c.extra += max(a.Count, 1)
	default:
		for _, i := range matched {
			c.dropped[i] = true
		}
	}
	r.fired++
}
