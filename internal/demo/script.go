package demo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
)

// The faults of the script, as named in Report.Faults.
const (
	faultRejected  = "rejected_item"     // CRM.COM rejects an item permanently
	faultRetryable = "retryable_item"    // CRM.COM does not have an account at first, but has it at the next attempt
	faultExhausted = "exhausted_item"    // CRM.COM never has the account
	faultNamed     = "refused_named"     // Expoints rejects a whole batch and names the offender
	faultUnnamed   = "refused_unnamed"   // Propel rejects a whole batch without naming the offender
	faultForgotten = "forgotten_items"   // CRM.COM accepts items and omits them from its response
	faultThrottled = "throttled"         // CRM.COM responds with 429 and Retry-After
	faultToken     = "expired_token"     // CRM.COM revokes all tokens
	faultOutage    = "outage"            // Expoints responds with 503 to every call
	faultSkipped   = "skipped_tombstone" // a tombstone where the configuration skips them
	faultBreaker   = "breaker_opened"    // the consequence of the outage
)

// The categories of bad records that Report.Faults counts as produced and dead-lettered.
const (
	categoryPoison    = "poison"
	categoryInvalid   = "invalid"
	categoryUnmapped  = "unmapped"
	categoryTombstone = "tombstone"
)

var categories = []string{categoryPoison, categoryInvalid, categoryUnmapped, categoryTombstone}

// scriptEvent is one thing that goes wrong.
type scriptEvent struct {
	name        string
	description string
	startsAt    time.Duration // after the start of the script
	duration    time.Duration // at least; 0 if the event is instantaneous
	record      *badRecord    // the record to produce; nil if a vendor misbehaves
}

// badRecord is a record to produce and its expected outcome.
type badRecord struct {
	pipeline string
	kind     sample.Kind
	expected expectation
}

// script is everything that goes wrong during a run. Its events are ordered by time.
type script struct {
	events  []scriptEvent
	rules   []sandbox.Rule
	outages []outage
}

// badRecordPlan lists the bad records of a round. Each is produced at the given fractions of the
// time during which records are produced, so that a run of any length contains all of them.
var badRecordPlan = []struct {
	name        string
	bad         badRecord
	description string
	fractions   []float64
}{
	{
		faultExhausted, badRecord{purchases, sample.Retryable, expectDead},
		"purchase for an account that never exists: retried, then a dead letter", []float64{0.03, 0.20},
	},
	{
		faultRetryable, badRecord{purchases, sample.Retryable, expectDelivered},
		"purchase arrives before its account exists: retried, then delivered", []float64{0.08, 0.40, 0.70},
	},
	{
		faultRejected, badRecord{purchases, sample.Rejected, expectDead},
		"CRM.COM rejects a purchase permanently: dead letter",
		[]float64{0.10, 0.48, 0.76},
	},
	{
		faultNamed, badRecord{feedback, sample.Rejected, expectDead},
		"Expoints rejects a batch and names the offender: dead letter",
		[]float64{0.16, 0.84},
	},
	{
		faultUnnamed, badRecord{customers, sample.Retryable, expectDead},
		"Propel rejects a batch without naming the offender: bisection",
		[]float64{0.24, 0.66},
	},
	{
		categoryPoison, badRecord{purchases, sample.Poison, expectDead}, "truncated Avro value in purchases: dead letter",
		[]float64{0.14, 0.56},
	},
	{
		categoryPoison, badRecord{feedback, sample.Magic, expectDead},
		"value without Avro framing in feedback: dead letter",
		[]float64{0.28},
	},
	{
		categoryInvalid, badRecord{purchases, sample.Invalid, expectDead},
		"purchase without products fails validation: dead letter",
		[]float64{0.18, 0.62},
	},
	{
		categoryUnmapped, badRecord{referrals, sample.Unmapped, expectDead},
		"event without an operation in referrals: dead letter",
		[]float64{0.26, 0.60},
	},
	{
		categoryTombstone, badRecord{referrals, sample.Tombstone, expectDead}, "tombstone in referrals: dead letter",
		[]float64{0.34, 0.80},
	},
	{
		faultSkipped, badRecord{activities, sample.Tombstone, expectSkipped},
		"tombstone in activities: skipped by configuration", []float64{0.37, 0.73},
	},
}

// retryAfter is the value of Retry-After in CRM.COM's 429 response.
const retryAfter = time.Second

// newScript returns a script of the given number of rounds, in each of which records are produced
// for roundLength. The seed shifts the bad records by up to a fiftieth of a round.
func newScript(seed uint64, roundLength time.Duration, rounds int) script {
	built := script{rules: []sandbox.Rule{unnamedRefusal}}
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds {
		start := time.Duration(round) * roundLength
		for _, planned := range badRecordPlan {
			for _, fraction := range planned.fractions {
				at := start + time.Duration((fraction+0.02*random.Float64())*float64(roundLength))
				built.events = append(built.events, scriptEvent{
					name: planned.name, description: planned.description, startsAt: at, record: &planned.bad,
				})
			}
		}
		built.addVendorFaults(round, start, roundLength)
	}
	slices.SortStableFunc(
		built.events, func(first, second scriptEvent) int { return cmp.Compare(first.startsAt, second.startsAt) },
	)
	return built
}

// unnamedRefusal refuses the whole batch, without naming an item, if it contains a customer that
// the samples mark as locked.
var unnamedRefusal = sandbox.Rule{
	Name: faultUnnamed, Operation: "propel.customers",
	When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: "LOCKED-"}},
	Do:   sandbox.Action{Fault: sandbox.FaultRefuseBatch, Description: "A customer is not valid."},
}

// addVendorFaults adds the vendors' faults of a round, which start at fixed fractions of its
// length.
func (s *script) addVendorFaults(round int, start, length time.Duration) {
	at := func(fraction float64) time.Duration { return start + time.Duration(fraction*float64(length)) }
	s.addVendorFault(round, at(0.28), 0, faultForgotten,
		"CRM.COM accepts 2 purchases but omits them from its response: resent",
		sandbox.Rule{
			Operation: "crmcom.purchases", Times: 1, Do: sandbox.Action{Fault: sandbox.FaultDropItems, Count: 2},
		})
	s.addVendorFault(round, at(0.22), retryAfter, faultThrottled,
		fmt.Sprintf("CRM.COM throttles referrals: 429 with Retry-After %s", formatSeconds(retryAfter)),
		sandbox.Rule{
			Operation: "crmcom.referrals", Times: 1,
			Do: sandbox.Action{
				Fault: sandbox.FaultStatus, Code: http.StatusTooManyRequests, RetryAfter: retryAfter,
			},
		})
	s.addVendorFault(round, at(0.34), 0, faultToken, "CRM.COM revokes all tokens: refreshed",
		sandbox.Rule{Operation: "crmcom", Times: 1, Do: sandbox.Action{Fault: sandbox.FaultExpireTokens}})
	s.addOutage(round, at(0.45), min(max(length/4, 1500*time.Millisecond), 4*time.Second))
}

// outageLimit limits an outage that has no effect. Even in the shortest run it ends early enough
// for the connector to recover within lateOutcomeWait and drainTimeout.
const outageLimit = 15 * time.Second

// callsBeforeOutage is the number of calls to Expoints, logins included, that must precede an
// outage. Without a login and the column catalogue the connector makes no calls that could open a
// breaker.
const callsBeforeOutage = 6

// addOutage makes Expoints unavailable for at least the given duration and until one of its
// breakers has opened, but not longer than outageLimit.
func (s *script) addOutage(round int, startsAt, atLeast time.Duration) {
	s.addVendorFault(round, startsAt, atLeast, faultOutage,
		fmt.Sprintf("Expoints is down for at least %s: 503 on every call", formatSeconds(atLeast)),
		sandbox.Rule{
			Operation: string(sandbox.Expoints),
			When:      sandbox.When{AfterCalls: callsBeforeOutage, Until: startsAt + outageLimit},
			Do:        sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusServiceUnavailable},
		})
	s.outages = append(s.outages, outage{
		rule: ruleName(faultOutage, round), vendor: sandbox.Expoints, earliestEnd: startsAt + atLeast,
	})
}

func ruleName(fault string, round int) string { return fmt.Sprintf("%s#%d", fault, round+1) }

func (s *script) addVendorFault(
	round int, startsAt, duration time.Duration, name, description string, rule sandbox.Rule,
) {
	rule.Name, rule.When.From = ruleName(name, round), startsAt
	s.rules = append(s.rules, rule)
	s.events = append(s.events, scriptEvent{
		name: name, description: description, startsAt: startsAt, duration: duration,
	})
}

func formatSeconds(duration time.Duration) string {
	return fmt.Sprintf("%g s", duration.Round(100*time.Millisecond).Seconds())
}

// faultNames returns the faults in the order of their first occurrence, without the categories of
// bad records.
func (s script) faultNames() []string {
	names := []string{}
	for _, event := range s.events {
		if !slices.Contains(categories, event.name) && !slices.Contains(names, event.name) {
			names = append(names, event.name)
		}
	}
	return append(names, faultBreaker)
}

// maxAttempts is the number of attempts to deliver a record that never succeeds: the first, and one
// after each retry delay.
var maxAttempts = 1 + len(retryDelays)

// minimumCount returns how often a fault must occur in a complete run.
func (s script) minimumCount(name string) int {
	count := 0
	for _, event := range s.events {
		if event.name == name {
			count++
		}
	}
	switch name {
	case faultBreaker:
		return 1
	case faultExhausted:
		return count * maxAttempts
	case faultUnnamed:
		return count + 1 // bisection sends an offender in smaller batches until it is alone
	}
	return count
}

// ruleFaults are the faults that rules of the script count, under the name of the fault.
var ruleFaults = []string{faultUnnamed, faultForgotten, faultThrottled, faultToken, faultOutage}

// countFaults returns how often each fault of the script occurred at the vendors.
func countFaults(vendors *sandbox.Server, accounts *missingAccounts) map[string]int {
	late, missing := accounts.countRefusals(expectDelivered), accounts.countRefusals(expectDead)
	out := map[string]int{
		faultRetryable: late,
		faultExhausted: missing,
		// The rule's own count is one of calls, and on a busy machine one call may have several
		// items.
		faultRejected: vendors.Ledger().Calls("crmcom.purchases").Refused - late - missing,
		faultNamed:    vendors.Ledger().Calls("expoints.add").Failures[http.StatusBadRequest],
	}
	for rule, count := range vendors.Faults() {
		name, _, _ := strings.Cut(rule, "#")
		if slices.Contains(ruleFaults, name) {
			out[name] += count
		}
	}
	return out
}

// recentEvents returns the events that are under way or ended less than window ago, the latest
// last, at most limit of them.
func (s script) recentEvents(now, window time.Duration, limit int) []scriptEvent {
	var out []scriptEvent
	for _, event := range s.events {
		if event.startsAt <= now && event.startsAt+event.duration > now-window {
			out = append(out, event)
		}
	}
	return out[max(0, len(out)-limit):]
}

// categoryOf returns the category of bad records that an event produces, or "" if it produces none.
func categoryOf(name string) string {
	if slices.Contains(categories, name) {
		return name
	}
	return ""
}
