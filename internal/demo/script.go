package demo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
)

// The faults of the script, as Report.Faults names them.
const (
	faultRejected  = "rejected_item"     // CRM.COM refuses one item for good
	faultRetryable = "retryable_item"    // CRM.COM does not know an account yet, and does the next time
	faultExhausted = "exhausted_item"    // CRM.COM never comes to know an account
	faultNamed     = "refused_named"     // Expoints refuses a whole batch and names the culprit
	faultUnnamed   = "refused_unnamed"   // Propel refuses a whole batch and names nobody
	faultForgotten = "forgotten_items"   // CRM.COM takes items and leaves them out of its answer
	faultThrottled = "throttled"         // CRM.COM answers 429 with Retry-After
	faultToken     = "expired_token"     // CRM.COM ends all its tokens
	faultOutage    = "outage"            // Expoints answers 503 to everything
	faultSkipped   = "skipped_tombstone" // a tombstone where the configuration skips them
	faultBreaker   = "breaker_opened"    // what the outage must lead to
)

// The classes of bad records.
const (
	classPoison    = "poison"
	classInvalid   = "invalid"
	classUnmapped  = "unmapped"
	classTombstone = "tombstone"
)

var classes = []string{classPoison, classInvalid, classUnmapped, classTombstone}

// scriptEvent is one thing that the script does, at a time since the start.
type scriptEvent struct {
	name        string
	description string
	startsAt    time.Duration
	duration    time.Duration // 0: a moment
	record      *badRecord    // the record that is put in; nil where a vendor misbehaves
}

// badRecord is a record that does not go the straight way, and where it is to end.
type badRecord struct {
	pipeline string
	kind     sample.Kind
	expected expectation
}

// script is all that goes wrong in a run, in the order of time.
type script struct {
	events []scriptEvent
	rules  []sandbox.Rule
}

// badRecordPlan are the bad records of a round. Times are shares of the time in which records are produced, so that a run of any length sees all of it.
var badRecordPlan = []struct {
	name   string
	bad    badRecord
	words  string
	shares []float64
}{
	{
		faultExhausted, badRecord{purchases, sample.Retryable, expectDead},
		"a purchase of an account that will never be", []float64{0.03, 0.20},
	},
	{
		faultRetryable, badRecord{purchases, sample.Retryable, expectDelivered},
		"a purchase that comes before its account", []float64{0.08, 0.40, 0.70},
	},
	{
		faultRejected, badRecord{purchases, sample.Rejected, expectDead}, "a purchase that CRM.COM refuses for good",
		[]float64{0.10, 0.48, 0.76},
	},
	{
		faultNamed, badRecord{feedback, sample.Rejected, expectDead}, "Expoints refuses a batch and names the culprit",
		[]float64{0.16, 0.84},
	},
	{
		faultUnnamed, badRecord{customers, sample.Retryable, expectDead}, "Propel refuses a batch and names nobody",
		[]float64{0.24, 0.66},
	},
	{
		classPoison, badRecord{purchases, sample.Poison, expectDead}, "a purchase that ends in the middle",
		[]float64{0.14, 0.56},
	},
	{
		classPoison, badRecord{feedback, sample.Magic, expectDead}, "bytes that are no Avro, in feedback",
		[]float64{0.28},
	},
	{
		classInvalid, badRecord{purchases, sample.Invalid, expectDead}, "a purchase without products",
		[]float64{0.18, 0.62},
	},
	{
		classUnmapped, badRecord{referrals, sample.Unmapped, expectDead}, "a stranger among the referrals",
		[]float64{0.26, 0.60},
	},
	{
		classTombstone, badRecord{referrals, sample.Tombstone, expectDead}, "a referral without a value",
		[]float64{0.34, 0.80},
	},
	{
		faultSkipped, badRecord{activities, sample.Tombstone, expectSkipped},
		"an activity without a value: such are skipped", []float64{0.37, 0.73},
	},
}

// retryAfter is what CRM.COM asks for with its 429.
const retryAfter = time.Second

// newScript is the script of so many rounds of producing for length each. The seed moves the bad records about by up to a fiftieth of a round.
func newScript(seed uint64, length time.Duration, rounds int) script {
	built := script{rules: []sandbox.Rule{unnamedRefusal}}
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds {
		start := time.Duration(round) * length
		for _, p := range badRecordPlan {
			for _, share := range p.shares {
				at := start + time.Duration((share+0.02*random.Float64())*float64(length))
				built.events = append(built.events, scriptEvent{
					name: p.name, description: p.words, startsAt: at, record: &p.bad,
				})
			}
		}
		built.addVendorFaults(round, start, length)
	}
	slices.SortStableFunc(
		built.events, func(event, b scriptEvent) int { return cmp.Compare(event.startsAt, b.startsAt) },
	)
	return built
}

// unnamedRefusal makes of the customers that samples call locked a reason to refuse their whole batch without a name.
var unnamedRefusal = sandbox.Rule{
	Name: faultUnnamed, Operation: "propel.customers",
	When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: "LOCKED-"}},
	Do:   sandbox.Action{Fault: sandbox.FaultRefuseBatch, Description: "A customer is not valid."},
}

// addVendorFaults adds what the vendors do in one round by the clock.
func (s *script) addVendorFaults(round int, start, length time.Duration) {
	share := func(f float64) time.Duration { return start + time.Duration(f*float64(length)) }
	down := min(max(length/4, 1500*time.Millisecond), 4*time.Second)
	s.addVendorFault(round, share(0.28), 0, faultForgotten, "CRM.COM takes 2 purchases and forgets them in its answer", sandbox.Rule{
		Operation: "crmcom.purchases", Times: 1, Do: sandbox.Action{Fault: sandbox.FaultDropItems, Count: 2}})
	s.addVendorFault(round, share(0.22), retryAfter, faultThrottled, fmt.Sprintf("CRM.COM asks to wait %s with referrals (429)", formatSeconds(retryAfter)), sandbox.Rule{
		Operation: "crmcom.referrals", Times: 1, Do: sandbox.Action{
			Fault: sandbox.FaultStatus, Code: http.StatusTooManyRequests, RetryAfter: retryAfter,
		}})
	s.addVendorFault(round, share(0.34), 0, faultToken, "CRM.COM ends all its tokens", sandbox.Rule{
		Operation: "crmcom", Times: 1, Do: sandbox.Action{Fault: sandbox.FaultExpireTokens}})
	s.addVendorFault(round, share(0.45), down, faultOutage, fmt.Sprintf("Expoints is down for %s", formatSeconds(down)), sandbox.Rule{
		Operation: "expoints", When: sandbox.When{Until: share(0.45) + down}, Do: sandbox.Action{
			Fault: sandbox.FaultStatus, Code: http.StatusServiceUnavailable,
		}})
}

func (s *script) addVendorFault(round int, at, lasts time.Duration, name, words string, rule sandbox.Rule) {
	rule.Name, rule.When.From = fmt.Sprintf("%s#%d", name, round+1), at
	s.rules = append(s.rules, rule)
	s.events = append(s.events, scriptEvent{name: name, description: words, startsAt: at, duration: lasts})
}

func formatSeconds(duration time.Duration) string {
	return fmt.Sprintf("%g s", duration.Round(100*time.Millisecond).Seconds())
}

// faultNames are the faults in the order in which they first happen; the classes of bad records are none.
func (s script) faultNames() []string {
	names := []string{}
	for _, event := range s.events {
		if !slices.Contains(classes, event.name) && !slices.Contains(names, event.name) {
			names = append(names, event.name)
		}
	}
	return append(names, faultBreaker)
}

// maxAttempts is how often a record is tried that never succeeds: at first, and after each retry delay.
var maxAttempts = 1 + len(retryDelays)

// minimumCount is how often a fault must have fired by the end of a whole run.
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
		return count + 1 // a culprit in company is refused more than once on the way to being alone
	}
	return count
}

// countFaults is how often each fault of the script happened at the vendors.
func countFaults(vendors *sandbox.Server, accounts *missingAccounts) map[string]int {
	refused := vendors.Ledger().Calls("expoints.add").Failures[http.StatusBadRequest]
	out := map[string]int{
		faultRetryable: accounts.countRefusals(expectDelivered), faultExhausted: accounts.countRefusals(expectDead),
		faultNamed: refused,
	}
	for rule, count := range vendors.Faults() {
		name, _, _ := strings.Cut(rule, "#")
		switch name {
		case "sample-refused":
			out[faultRejected] += count
		case faultUnnamed, faultForgotten, faultThrottled, faultToken, faultOutage:
			out[name] += count
		}
	}
	return out
}

// recentEvents are what the script does now and has done within the time before, the latest last.
func (s script) recentEvents(now, before time.Duration, most int) []scriptEvent {
	var out []scriptEvent
	for _, event := range s.events {
		if event.startsAt <= now && event.startsAt+event.duration > now-before {
			out = append(out, event)
		}
	}
	return out[max(0, len(out)-most):]
}

// missingAccounts are those that CRM.COM does not have: one whose purchase is to be delivered is opened when it was asked for once, the others never.
// Safe for concurrent use.
type missingAccounts struct {
	mu       sync.Mutex
	expected map[string]expectation // by number
	refused  map[string]int
}

func newMissingAccounts() *missingAccounts {
	return &missingAccounts{expected: map[string]expectation{}, refused: map[string]int{}}
}

// addAccount says what is to become of an account's purchase, before the purchase is produced.
func (a *missingAccounts) addAccount(number string, expected expectation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expected[number] = expected
}

// accountExists tells whether CRM.COM has the account now.
func (a *missingAccounts) accountExists(number string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	expected, missing := a.expected[number]
	if !missing || expected == expectDelivered && a.refused[number] > 0 {
		return true
	}
	a.refused[number]++
	return false
}

// countRefusals is how often accounts of a fate were found not to exist.
func (a *missingAccounts) countRefusals(expected expectation) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := 0
	for number, count := range a.refused {
		if a.expected[number] == expected {
			total += count
		}
	}
	return total
}

// classOf is the class of bad records that an act puts in, empty where it is about one of the vendors' faults.
func classOf(name string) string {
	if slices.Contains(classes, name) {
		return name
	}
	return ""
}
