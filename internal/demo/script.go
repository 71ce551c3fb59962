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

// act is one thing that the script does, at a time since the start.
type act struct {
	name  string
	words string
	at    time.Duration
	lasts time.Duration // 0: a moment
	bad   *bad          // the record that is put in; nil where a vendor misbehaves
}

// bad is a record that does not go the straight way, and where it is to end.
type bad struct {
	pipeline string
	kind     sample.Kind
	fate     fate
}

// script is all that goes wrong in a run, in the order of time.
type script struct {
	acts  []act
	rules []sandbox.Rule
}

// planted are the bad records of a round. Times are shares of the time in which records are produced, so that a run of any length sees all of it.
var planted = []struct {
	name   string
	bad    bad
	words  string
	shares []float64
}{
	{faultExhausted, bad{purchases, sample.Retryable, toDie}, "a purchase of an account that will never be", []float64{0.03, 0.20}},
	{faultRetryable, bad{purchases, sample.Retryable, toDeliver}, "a purchase that comes before its account", []float64{0.08, 0.40, 0.70}},
	{faultRejected, bad{purchases, sample.Rejected, toDie}, "a purchase that CRM.COM refuses for good", []float64{0.10, 0.48, 0.76}},
	{faultNamed, bad{feedback, sample.Rejected, toDie}, "Expoints refuses a batch and names the culprit", []float64{0.16, 0.84}},
	{faultUnnamed, bad{customers, sample.Retryable, toDie}, "Propel refuses a batch and names nobody", []float64{0.24, 0.66}},
	{classPoison, bad{purchases, sample.Poison, toDie}, "a purchase that ends in the middle", []float64{0.14, 0.56}},
	{classPoison, bad{feedback, sample.Magic, toDie}, "bytes that are no Avro, in feedback", []float64{0.28}},
	{classInvalid, bad{purchases, sample.Invalid, toDie}, "a purchase without products", []float64{0.18, 0.62}},
	{classUnmapped, bad{referrals, sample.Unmapped, toDie}, "a stranger among the referrals", []float64{0.26, 0.60}},
	{classTombstone, bad{referrals, sample.Tombstone, toDie}, "a referral without a value", []float64{0.34, 0.80}},
	{faultSkipped, bad{activities, sample.Tombstone, toSkip}, "an activity without a value: such are skipped", []float64{0.37, 0.73}},
}

// retryAfter is what CRM.COM asks for with its 429.
const retryAfter = time.Second

// newScript is the script of so many rounds of producing for length each. The seed moves the bad records about by up to a fiftieth of a round.
func newScript(seed uint64, length time.Duration, rounds int) script {
	s := script{rules: []sandbox.Rule{anonymous}}
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds {
		start := time.Duration(round) * length
		for _, p := range planted {
			for _, share := range p.shares {
				at := start + time.Duration((share+0.02*random.Float64())*float64(length))
				s.acts = append(s.acts, act{name: p.name, words: p.words, at: at, bad: &p.bad})
			}
		}
		s.misbehave(round, start, length)
	}
	slices.SortStableFunc(s.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	return s
}

// anonymous makes of the customers that samples call locked a reason to refuse their whole batch without a name.
var anonymous = sandbox.Rule{
	Name: faultUnnamed, Operation: "propel.customers",
	When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: "LOCKED-"}},
	Do:   sandbox.Action{Fault: sandbox.FaultRefuseBatch, Description: "A customer is not valid."},
}

// misbehave adds what the vendors do in one round by the clock.
func (s *script) misbehave(round int, start, length time.Duration) {
	share := func(f float64) time.Duration { return start + time.Duration(f*float64(length)) }
	down := min(max(length/4, 1500*time.Millisecond), 4*time.Second)
	s.clock(round, share(0.28), 0, faultForgotten, "CRM.COM takes 2 purchases and forgets them in its answer", sandbox.Rule{
		Operation: "crmcom.purchases", Times: 1, Do: sandbox.Action{Fault: sandbox.FaultDropItems, Count: 2}})
	s.clock(round, share(0.22), retryAfter, faultThrottled, fmt.Sprintf("CRM.COM asks to wait %s with referrals (429)", seconds(retryAfter)), sandbox.Rule{
		Operation: "crmcom.referrals", Times: 1, Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusTooManyRequests, RetryAfter: retryAfter}})
	s.clock(round, share(0.34), 0, faultToken, "CRM.COM ends all its tokens", sandbox.Rule{
		Operation: "crmcom", Times: 1, Do: sandbox.Action{Fault: sandbox.FaultExpireTokens}})
	s.clock(round, share(0.45), down, faultOutage, fmt.Sprintf("Expoints is down for %s", seconds(down)), sandbox.Rule{
		Operation: "expoints", When: sandbox.When{Until: share(0.45) + down}, Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusServiceUnavailable}})
}

func (s *script) clock(round int, at, lasts time.Duration, name, words string, rule sandbox.Rule) {
	rule.Name, rule.When.From = fmt.Sprintf("%s#%d", name, round+1), at
	s.rules = append(s.rules, rule)
	s.acts = append(s.acts, act{name: name, words: words, at: at, lasts: lasts})
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%g s", d.Round(100*time.Millisecond).Seconds())
}

// faultNames are the faults in the order in which they first happen; the classes of bad records are none.
func (s script) faultNames() []string {
	names := []string{}
	for _, a := range s.acts {
		if !slices.Contains(classes, a.name) && !slices.Contains(names, a.name) {
			names = append(names, a.name)
		}
	}
	return append(names, faultBreaker)
}

// attempts is how often a record is tried that never succeeds: at first, and after each retry delay.
var attempts = 1 + len(retryDelays)

// least is how often a fault must have fired by the end of a whole run.
func (s script) least(name string) int {
	n := 0
	for _, a := range s.acts {
		if a.name == name {
			n++
		}
	}
	switch name {
	case faultBreaker:
		return 1
	case faultExhausted:
		return n * attempts
	case faultUnnamed:
		return n + 1 // a culprit in company is refused more than once on the way to being alone
	}
	return n
}

// fired is how often each fault of the script happened at the vendors.
func fired(vendors *sandbox.Server, a *accounts) map[string]int {
	refused := vendors.Ledger().Calls("expoints.add").Failures[http.StatusBadRequest]
	out := map[string]int{faultRetryable: a.refusals(toDeliver), faultExhausted: a.refusals(toDie), faultNamed: refused}
	for rule, n := range vendors.Faults() {
		name, _, _ := strings.Cut(rule, "#")
		switch name {
		case "sample-refused":
			out[faultRejected] += n
		case faultUnnamed, faultForgotten, faultThrottled, faultToken, faultOutage:
			out[name] += n
		}
	}
	return out
}

// recent are what the script does now and has done within the time before, the latest last.
func (s script) recent(now, before time.Duration, most int) []act {
	var out []act
	for _, a := range s.acts {
		if a.at <= now && a.at+a.lasts > now-before {
			out = append(out, a)
		}
	}
	return out[max(0, len(out)-most):]
}

// accounts are those that CRM.COM does not have: one whose purchase is to be delivered is opened when it was asked for once, the others never.
// Safe for concurrent use.
type accounts struct {
	mu      sync.Mutex
	fates   map[string]fate // by number
	refused map[string]int
}

func newAccounts() *accounts { return &accounts{fates: map[string]fate{}, refused: map[string]int{}} }

// miss says what is to become of an account's purchase, before the purchase is produced.
func (a *accounts) miss(number string, f fate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fates[number] = f
}

// exists tells whether CRM.COM has the account now.
func (a *accounts) exists(number string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, missing := a.fates[number]
	if !missing || f == toDeliver && a.refused[number] > 0 {
		return true
	}
	a.refused[number]++
	return false
}

// refusals is how often accounts of a fate were found not to exist.
func (a *accounts) refusals(f fate) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := 0
	for number, n := range a.refused {
		if a.fates[number] == f {
			total += n
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
