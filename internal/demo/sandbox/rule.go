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

// needsItems tells whether the rule can be judged only when the call's items are known.
func (r Rule) needsItems() bool {
	switch r.Do.Fault {
	case FaultRefuseItem, FaultDropItems, FaultExtraItems:
		return true
	default:
		return !r.When.Items.isZero()
	}
}

func (r Rule) coversOperation(operation string) bool {
	return r.Operation == "" || r.Operation == operation || strings.HasPrefix(operation, r.Operation+".")
}

// endsCall tells whether the fault takes the place of the call's answer.
func (f Fault) endsCall() bool {
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

// countAndMatch counts a call and tells whether the rule may fire on it, as far as can be told without its items.
func (r *ruleState) countAndMatch(elapsed time.Duration) bool {
	r.calls++
	count := r.calls - r.When.AfterCalls
	return r.hasFiringsLeft() && count > 0 && count%max(r.When.Every, 1) == 0 &&
		elapsed >= r.When.From && (r.When.Until == 0 || elapsed < r.When.Until)
}

func (r *ruleState) hasFiringsLeft() bool { return r.Times == 0 || r.fired < r.Times }

// applyCallRules runs the rules that need no items, and keeps the others for onItems. Server.mu must be held.
func (s *Server) applyCallRules(call *vendorCall) {
	elapsed := time.Since(s.startedAt)
	for _, rule := range s.rules {
		if !rule.coversOperation(call.endpoint.operation) || !rule.countAndMatch(elapsed) {
			continue
		}
		if rule.needsItems() {
			call.pendingRules = append(call.pendingRules, rule)
			continue
		}
		call.applyRule(rule, nil)
	}
}

// applyItemRules runs the rules that need items. Server.mu must be held.
func (s *Server) applyItemRules(call *vendorCall, items []callItem) {
	for _, rule := range call.pendingRules {
		if call.endingFault != nil && !call.endingFault.Apply {
			return // nothing more can show
		}
		var matched []int
		for i, item := range items {
			if !rule.When.Items.isZero() && rule.When.Items.matchesItem(item.object) {
				matched = append(matched, i)
			}
		}
		if rule.When.Items.isZero() {
			matched = lastIndexes(len(items), rule.Do.Count)
		}
		if len(matched) > 0 && rule.hasFiringsLeft() {
			call.applyRule(rule, matched)
		}
	}
}

func lastIndexes(total, count int) []int {
	var indexes []int
	for i := max(0, total-max(count, 1)); i < total; i++ {
		indexes = append(indexes, i)
	}
	return indexes
}

// applyRule lets a rule fire on a call, unless it cannot act there.
func (c *vendorCall) applyRule(rule *ruleState, matched []int) {
	switch action := rule.Do; {
	case action.Fault.endsCall():
		if c.endingFault != nil {
			return
		}
		c.endingFault, c.matchedItems = &rule.Do, matched
	case action.Fault == FaultLatency:
		c.delay += action.Delay
	case action.Fault == FaultExpireTokens:
		c.endpoint.vendor.tokenStore().expireAll()
	case action.Fault == FaultRefuseItem:
		for _, i := range matched {
			c.refusals[i] = c.endpoint.vendor.itemRefusal(action)
		}
	case c.endpoint.wholeBatch: // no results to drop or add
		return
	case action.Fault == FaultExtraItems:
		c.extraItems += max(action.Count, 1)
	default:
		for _, i := range matched {
			c.droppedItems[i] = true
		}
	}
	rule.fired++
}
