package sim_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/demo/sandbox"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// scenario is a way in which the world behaves.
type scenario struct {
	name    string
	lines   []*line // which it is for, by turns; nil: all
	records int
	mix     map[kind]int // how many records of each kind; the rest is good
	rules   func(w *world) []sandbox.Rule
	play    func(w *world)
	// may are causes of death that a record may have besides those of its kind; unclear says that answers are lost, which counts as attempts.
	may     []record.Cause
	unclear bool
	// stale says that a former owner may ask to commit what it had, before it hears that it is none; the broker must refuse it.
	stale bool
}

var everyLine = []*line{&purchases, &feedback, &changes}

// knows tells whether a line's vendor can refuse in that way.
func knows(l *line, k kind) bool {
	switch k {
	case later, never, forgotten:
		return l.vendor != "expoints"
	case named:
		return l.vendor != "crmcom"
	}
	return true
}

// kindRules have the vendor refuse the kinds of a plan.
func kindRules(l *line, plan []kind) []sandbox.Rule {
	var rules []sandbox.Rule
	add := func(k kind, r sandbox.Rule) {
		if slices.Contains(plan, k) {
			r.Name, r.Operation = fmt.Sprintf("%s: %s", k, r.Do.Fault), l.operation
			r.When.Items = sandbox.Items{Field: l.field, Prefix: string(k) + "-"}
			rules = append(rules, r)
		}
	}
	code := ""
	if l.vendor == "crmcom" {
		code = "InvalidAPIParameterException"
	}
	add(culprit, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultRefuseBatch, ErrorCode: code}})
	add(named, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultRefuseBatch, Named: true}})
	add(rejected, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultRefuseItem, ErrorCode: code}})
	add(forgotten, sandbox.Rule{Times: 2, Do: sandbox.Action{Fault: sandbox.FaultRefuseItem}})
	add(forgotten, sandbox.Rule{Times: 2, Do: sandbox.Action{Fault: sandbox.FaultDropItems}})
	if l.vendor == "propel" {
		const deadlock = "Deadlock found, try again."
		add(later, sandbox.Rule{Times: 2, Do: sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: deadlock}})
		add(never, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: deadlock}})
	}
	return rules
}

var refusals = map[kind]int{rejected: 6, later: 8, never: 4}

var everything = map[kind]int{rejected: 4, later: 5, never: 3, poison: 3, stranger: 2, invalid: 3, unmapped: 3, tombstone: 3}

var scenarios = []*scenario{
	{name: "clean", records: 120, play: steady},
	{name: "records_that_cannot_be_sent", records: 120, mix: map[kind]int{poison: 6, stranger: 3, invalid: 5, unmapped: 5, tombstone: 5}, play: steady},
	{name: "items_refused", records: 120, mix: refusals, play: steady},
	{name: "batches_refused", records: 100, mix: map[kind]int{culprit: 5, named: 4}, play: steady},
	{name: "too_large", records: 100, rules: func(w *world) []sandbox.Rule {
		return w.fault("413", sandbox.Rule{Times: 3, When: sandbox.When{Every: 2}, Do: sandbox.Action{Fault: sandbox.FaultTooLarge}})
	}, play: steady, may: []record.Cause{record.CauseTooLarge}},
	{name: "outage", records: 60, rules: outage, play: steady},
	{name: "throttle", records: 100, rules: func(w *world) []sandbox.Rule {
		return w.fault("429", sandbox.Rule{Times: 5, When: sandbox.When{AfterCalls: 1, Every: 2},
			Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusTooManyRequests, RetryAfter: 5 * time.Second}})
	}, play: steady},
	{name: "tokens_expire", records: 100, rules: func(w *world) []sandbox.Rule {
		return w.fault("expiry", sandbox.Rule{When: sandbox.When{AfterCalls: 1, Every: 3}, Do: sandbox.Action{Fault: sandbox.FaultExpireTokens}})
	}, play: steady},
	{name: "credentials_refused", records: 60, rules: func(w *world) []sandbox.Rule {
		return w.fault("refusal", sandbox.Rule{When: sandbox.When{AfterCalls: 2, Until: time.Minute},
			Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusUnauthorized}})
	}, play: steady},
	{name: "answers_forget_items", lines: []*line{&purchases, &changes}, records: 100, mix: map[kind]int{forgotten: 4}, rules: func(w *world) []sandbox.Rule {
		return w.fault("drop", sandbox.Rule{Times: 3, When: sandbox.When{Every: 3}, Do: sandbox.Action{Fault: sandbox.FaultDropItems, Count: 2}})
	}, play: steady, unclear: true, may: []record.Cause{record.CauseUnknown}},
	{name: "answers_cut", records: 100, rules: cutAnswers, play: steady, unclear: true, may: []record.Cause{record.CauseUnknown}},
	{name: "crash", records: 120, mix: refusals, play: crashing},
	{name: "members_come_and_go", records: 150, mix: refusals, play: joining},
	{name: "cut_off_and_back", records: 120, mix: refusals, play: cutOffAndBack, stale: true},
	{name: "dead_letters_refused", records: 100, mix: everything, play: func(w *world) { w.refusing(w.deadTopic(), "dead letters") }},
	{name: "retries_refused", lines: []*line{&purchases}, records: 100, mix: refusals, play: func(w *world) { w.refusing(w.retryTopics()[0], "retries") }},
	{name: "registry_down", records: 80, play: withoutRegistry},
	{name: "commits_refused", records: 120, mix: refusals, play: withoutCommits},
	{name: "everything_at_once", records: 120, mix: everything, rules: cutAnswers, play: storm, unclear: true, may: []record.Cause{record.CauseUnknown}},
}

// fault names a rule and has it strike the line's operation.
func (w *world) fault(name string, r sandbox.Rule) []sandbox.Rule {
	r.Name, r.Operation = name, w.line.operation
	return []sandbox.Rule{r}
}

func outage(w *world) []sandbox.Rule {
	do := []sandbox.Action{
		{Fault: sandbox.FaultStatus, Code: http.StatusServiceUnavailable},
		{Fault: sandbox.FaultStatus, Code: http.StatusInternalServerError},
		{Fault: sandbox.FaultStatus, Code: http.StatusNotFound},
	}[w.rng.IntN(3)]
	return w.fault("outage", sandbox.Rule{When: sandbox.When{AfterCalls: 2, Until: 10 * time.Minute}, Do: do})
}

// cutAnswers has calls end without an answer, acted upon or not.
func cutAnswers(w *world) []sandbox.Rule {
	acted := w.fault("cut, acted upon", sandbox.Rule{Times: 3, When: sandbox.When{AfterCalls: 1, Every: 4}, Do: sandbox.Action{Fault: sandbox.FaultResetAfter, Apply: true}})
	not := w.fault("cut", sandbox.Rule{Times: 2, When: sandbox.When{AfterCalls: 2, Every: 5}, Do: sandbox.Action{Fault: sandbox.FaultResetAfter}})
	gateway := w.fault("502", sandbox.Rule{Times: 1, When: sandbox.When{AfterCalls: 5}, Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusBadGateway, Apply: true}})
	hung := w.fault("hung", sandbox.Rule{Times: 1, When: sandbox.When{AfterCalls: 3}, Do: sandbox.Action{Fault: sandbox.FaultTimeout, Apply: true, Delay: time.Minute}})
	return slices.Concat(acted, not, gateway, hung)
}

// steady is one member from the start to the end. Half of the records are there before it, the rest comes in three parts.
func steady(w *world) {
	w.produce(len(w.plan) / 2)
	m := w.join()
	for range 2 {
		testkit.AdvanceClock(w.random(2 * time.Second))
		w.produce(len(w.plan) / 2)
	}
	w.produce(0)
	w.await()
	m.leave()
}

// crashing has a member crash one to three times, and another one follow. With every other seed the first crash is in the middle of a call.
func crashing(w *world) {
	w.produce(len(w.plan) / 2)
	for i := range 1 + w.rng.IntN(3) {
		m := w.join()
		testkit.AdvanceClock(w.random(3 * time.Second))
		w.awaitMembers(1)
		w.produce(len(w.plan) / 3)
		if i == 0 && w.seed%2 == 0 {
			w.awaitCall()
			m.crash()
			open := len(w.open)
			w.fired["crash in a call"] = func() int { return open }
			continue
		}
		testkit.AdvanceClock(w.random(3 * time.Second))
		m.crash()
	}
	w.produce(0)
	m := w.join()
	w.await()
	m.leave()
}

// joining has two members come and go in clean ways. One leaves while both are at work, or while they still come to terms.
func joining(w *world) {
	w.produce(len(w.plan) / 3)
	a := w.join()
	for range 2 {
		testkit.AdvanceClock(w.random(3 * time.Second))
		b := w.join()
		w.produce(len(w.plan) / 2)
		if w.rng.IntN(2) == 0 {
			w.awaitMembers(2)
		}
		testkit.AdvanceClock(w.random(8 * time.Second))
		a.leave()
		a = b
	}
	w.produce(0)
	w.await()
	a.leave()
}

// cutOffAndBack has a member lose the brokers in the middle of a call, and come back when another one has gone on with its partitions: whatever it still
// holds of them it must forget.
func cutOffAndBack(w *world) {
	w.produce(len(w.plan) / 3)
	a, b := w.join(), w.join()
	w.awaitMembers(2)
	w.produce(len(w.plan) / 2)
	w.awaitCall()
	a.cutOff()
	open := len(w.open)
	w.fired["cut off"] = func() int { return open }
	w.awaitMembers(1)
	w.produce(0)
	testkit.AdvanceClock(w.random(20 * time.Second))
	a.brokers.Restore()
	w.awaitMembers(2)
	w.await()
	a.leave()
	b.leave()
}

// refusing has the cluster refuse writes to a topic for a while, with an error that a producer tries again or with one that it does not.
func (w *world) refusing(topic, name string) {
	err := []*kerr.Error{kerr.NotEnoughReplicas, kerr.TopicAuthorizationFailed, kerr.InvalidRecord}[w.rng.IntN(3)]
	h := w.tap.refuse(w.platform.Cluster(), topic, 5*time.Second+w.random(20*time.Second), err)
	w.fired[fmt.Sprintf("%s refused with %s", name, err.Message)] = h.Hits
	steady(w)
}

// withoutRegistry has the registry fail from the start, and once more when a schema is asked for that is new.
func withoutRegistry(w *world) {
	var down atomic.Bool
	var asked atomic.Int64
	w.platform.Registry().Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			asked.Add(1)
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
		return down.Load()
	})
	w.fired["registry down"] = func() int { return int(asked.Load()) }
	down.Store(true)
	w.produce(len(w.plan) / 2)
	m := w.join()
	testkit.AdvanceClock(time.Minute + w.random(time.Minute))
	if n := w.vendors.Ledger().Count(w.line.operation); n > 0 {
		w.Errorf("%d items reached the vendor without a schema", n)
	}
	down.Store(false)
	w.produce(0)
	w.await()
	m.leave()
}

// withoutCommits has the coordinator refuse commits for a while.
func withoutCommits(w *world) {
	err := []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.RequestTimedOut, kerr.UnknownServerError}[w.rng.IntN(3)]
	var h *kfake.FaultHandle
	w.produce(len(w.plan) / 2)
	m := w.join()
	testkit.AdvanceClock(w.random(time.Second))
	h = w.platform.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: w.group(), Err: err, Count: -1})
	w.fired["commits refused with "+err.Message] = h.Hits
	w.produce(0)
	testkit.AdvanceClock(5*time.Second + w.random(10*time.Second))
	h.Remove()
	w.await()
	m.leave()
}

// storm has all of it: answers cut, writes refused, members joining, leaving and crashing.
func storm(w *world) {
	h := w.tap.refuse(w.platform.Cluster(), w.deadTopic(), 5*time.Second, kerr.NotEnoughReplicas)
	w.fired["dead letters refused"] = h.Hits
	w.produce(len(w.plan) / 3)
	a := w.join()
	testkit.AdvanceClock(w.random(3 * time.Second))
	b := w.join()
	w.produce(len(w.plan) / 2)
	testkit.AdvanceClock(2*time.Second + w.random(5*time.Second))
	w.awaitMembers(2)
	if w.rng.IntN(2) == 0 {
		a, b = b, a
	}
	a.crash()
	w.produce(0)
	testkit.AdvanceClock(w.random(20 * time.Second))
	c := w.join()
	testkit.AdvanceClock(w.random(time.Minute))
	b.leave()
	w.await()
	c.leave()
}
