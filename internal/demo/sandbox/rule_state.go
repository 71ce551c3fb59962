package sandbox

import (
	"strings"
	"time"
)

// needsItems reports whether the rule can be evaluated only once the call's items are known.
func (r Rule) needsItems() bool {
	switch r.Do.Fault {
	case FaultRefuseItem, FaultDropItems, FaultRepeatItems, FaultExtraItems:
		return true
	case FaultStatus, FaultTooLarge, FaultRedirect, FaultResetBefore, FaultResetAfter, FaultTimeout,
		FaultGarbageBody, FaultEmptyBody, FaultRefuseBatch, FaultExpireTokens, FaultLatency:
	}
	return !r.When.Items.isZero()
}

func (r Rule) coversOperation(operation string) bool {
	return r.Operation == "" || r.Operation == operation || strings.HasPrefix(operation, r.Operation+".")
}

// endsCall reports whether the fault replaces the call's response.
func (f Fault) endsCall() bool {
	switch f {
	case FaultRefuseItem, FaultDropItems, FaultRepeatItems, FaultExtraItems, FaultExpireTokens, FaultLatency:
		return false
	case FaultStatus, FaultTooLarge, FaultRedirect, FaultResetBefore, FaultResetAfter, FaultTimeout,
		FaultGarbageBody, FaultEmptyBody, FaultRefuseBatch:
	}
	return true
}

// ruleState is a rule with its counters, which Server.mu guards.
type ruleState struct {
	Rule
	calls, fired int
	stopped      bool
}

// countAndMatch counts a call and reports whether the rule may fire on it, as far as that can be
// known without the items.
func (r *ruleState) countAndMatch(elapsed time.Duration) bool {
	r.calls++
	count := r.calls - r.When.AfterCalls
	return r.canStillFire() && count > 0 && count%max(r.When.Every, 1) == 0 &&
		elapsed >= r.When.From && (r.When.Until == 0 || elapsed < r.When.Until)
}

func (r *ruleState) canStillFire() bool {
	return !r.stopped && (r.Times == 0 || r.fired < r.Times)
}

// applyCallRules applies the rules that do not depend on items and leaves the others to
// applyItemRules. The caller must hold s.mu.
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

// applyItemRules applies the rules that depend on items. The caller must hold s.mu.
func (s *Server) applyItemRules(call *vendorCall, items []callItem) {
	for _, rule := range call.pendingRules {
		if call.endingFault != nil && !call.endingFault.Apply {
			return // further rules would have no visible effect
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
		if len(matched) > 0 && rule.canStillFire() {
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

// applyRule fires a rule on a call. It does not count as fired if it can have no effect on the
// call.
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
		tokens := c.endpoint.vendor.tokenStore()
		if tokens == nil {
			return
		}
		tokens.expireAll()
	case action.Fault == FaultRefuseItem:
		for _, i := range matched {
			c.refusals[i] = c.endpoint.vendor.itemRefusal(action)
		}
	case c.endpoint.wholeBatch: // there are no results to drop, to repeat or to add
		return
	case action.Fault == FaultExtraItems:
		c.extraItems += max(action.Count, 1)
	case action.Fault == FaultRepeatItems:
		for _, i := range matched {
			c.repeatedItems[i] = true
		}
	default:
		for _, i := range matched {
			c.droppedItems[i] = true
		}
	}
	rule.fired++
}
