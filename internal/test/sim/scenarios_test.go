package sim_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/demo/sandbox"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// scenario defines the records, the faults and the members of a run.
type scenario struct {
	name      string
	pipelines []*simPipeline // assigned to the seeds in turn; nil means all pipelines
	records   int
	mix       map[kind]int // number of records of each kind; all others are good
	rules     func(e *environment) []sandbox.Rule
	run       func(h *harness)
	// allowedCauses are the causes that a dead letter may have regardless of its kind.
	allowedCauses []record.Cause
	// losesResponses means that calls end without a response, which counts as an attempt.
	losesResponses bool
	// staleCommits means that a former owner may send a commit before it learns that it lost the
	// partition. The broker must refuse it.
	staleCommits bool
}

var allPipelines = []*simPipeline{&purchasesPipeline, &feedbackPipeline, &changesPipeline}

var refusedMix = map[kind]int{rejected: 6, later: 8, never: 4}

var fullMix = map[kind]int{
	rejected: 4, later: 5, never: 3, poison: 3, unknownSchema: 2, invalid: 3, unmapped: 3, tombstone: 3,
}

var scenarios = []*scenario{
	{name: "clean", records: 120, run: runSteady},
	{
		name: "records_that_cannot_be_sent", records: 120,
		mix: map[kind]int{poison: 6, unknownSchema: 3, invalid: 5, unmapped: 5, tombstone: 5}, run: runSteady,
	},
	{name: "items_refused", records: 120, mix: refusedMix, run: runSteady},
	{name: "batches_refused", records: 100, mix: map[kind]int{offender: 5, named: 4}, run: runSteady},
	{name: "too_large", records: 100, rules: func(e *environment) []sandbox.Rule {
		return e.operationRule("413", sandbox.Rule{
			Times: 3, When: sandbox.When{Every: 2}, Do: sandbox.Action{Fault: sandbox.FaultTooLarge},
		})
	}, run: runSteady, allowedCauses: []record.Cause{record.CauseTooLarge}},
	{name: "outage", records: 60, rules: outageRules, run: runSteady},
	{name: "throttle", records: 100, rules: func(e *environment) []sandbox.Rule {
		return e.operationRule("429", sandbox.Rule{Times: 5, When: sandbox.When{AfterCalls: 1, Every: 2},
			Do: sandbox.Action{
				Fault: sandbox.FaultStatus, Code: http.StatusTooManyRequests, RetryAfter: 5 * time.Second,
			}})
	}, run: runSteady},
	{name: "tokens_expire", records: 100, rules: func(e *environment) []sandbox.Rule {
		return e.operationRule("expiry", sandbox.Rule{
			When: sandbox.When{AfterCalls: 1, Every: 3}, Do: sandbox.Action{Fault: sandbox.FaultExpireTokens},
		})
	}, run: runSteady},
	{name: "credentials_refused", records: 60, rules: func(e *environment) []sandbox.Rule {
		return e.operationRule("refusal", sandbox.Rule{When: sandbox.When{AfterCalls: 2, Until: time.Minute},
			Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusUnauthorized}})
	}, run: runSteady},
	{name: "responses_omit_items", pipelines: []*simPipeline{&purchasesPipeline, &changesPipeline}, records: 100,
		mix: map[kind]int{forgotten: 4}, rules: func(e *environment) []sandbox.Rule {
			return e.operationRule("drop", sandbox.Rule{
				Times: 3, When: sandbox.When{Every: 3}, Do: sandbox.Action{Fault: sandbox.FaultDropItems, Count: 2},
			})
		}, run: runSteady, losesResponses: true, allowedCauses: []record.Cause{record.CauseUnknown}},
	{
		name: "responses_cut", records: 100, rules: cutResponses, run: runSteady, losesResponses: true,
		allowedCauses: []record.Cause{record.CauseUnknown},
	},
	{
		name: "server_errors", pipelines: []*simPipeline{&purchasesPipeline, &feedbackPipeline}, records: 100,
		rules: serverErrors, run: runSteady, losesResponses: true, allowedCauses: []record.Cause{record.CauseUnknown},
	},
	crashLoop,
	{name: "crash", records: 120, mix: refusedMix, run: runCrashes},
	{name: "members_join_and_leave", records: 150, mix: refusedMix, run: runRebalances},
	{name: "disconnected_and_reconnected", records: 120, mix: refusedMix, run: runCutOff, staleCommits: true},
	{
		name: "dead_letters_refused", records: 100, mix: fullMix,
		run: func(h *harness) { h.runWithRefusedWrites(h.deadLetterTopic(), "dead letters") },
	},
	{
		name: "retries_refused", pipelines: []*simPipeline{&purchasesPipeline}, records: 100, mix: refusedMix,
		run: func(h *harness) { h.runWithRefusedWrites(h.retryTopics()[0], "retries") },
	},
	{name: "registry_down", records: 80, run: runWithoutRegistry},
	{name: "commits_refused", records: 120, mix: refusedMix, run: runWithoutCommits},
	{
		name: "everything_at_once", records: 120, mix: fullMix, rules: cutResponses, run: runEverything,
		losesResponses: true, allowedCauses: []record.Cause{record.CauseUnknown},
	},
}

// runSteady runs one member from start to end. Half of the records exist before it starts; the
// others follow in several batches.
func runSteady(h *harness) {
	h.produceRecords(len(h.plan) / 2)
	member := h.startMember()
	for range 2 {
		testkit.AdvanceClock(h.randomDuration(2 * time.Second))
		h.produceRecords(len(h.plan) / 2)
	}
	h.produceRecords(0)
	h.awaitSettled()
	member.stop()
}

// runCrashes crashes one to three members in succession. With every other seed the first crash
// happens during a call.
func runCrashes(h *harness) {
	h.produceRecords(len(h.plan) / 2)
	for i := range 1 + h.rng.IntN(3) {
		member := h.startMember()
		testkit.AdvanceClock(h.randomDuration(3 * time.Second))
		h.awaitMembers(1)
		h.produceRecords(len(h.plan) / 3)
		if i == 0 && h.seed%2 == 0 {
			h.awaitAcceptance()
			member.crash()
			unsettled := len(h.unsettledAtCrash)
			h.faultCounts["crash in a call"] = func() int { return unsettled }
			continue
		}
		testkit.AdvanceClock(h.randomDuration(3 * time.Second))
		member.crash()
	}
	h.produceRecords(0)
	member := h.startMember()
	h.awaitSettled()
	member.stop()
}

// runRebalances makes members join and leave gracefully, two at a time. One leaves while both are
// working, or while the group is still rebalancing.
func runRebalances(h *harness) {
	h.produceRecords(len(h.plan) / 3)
	first := h.startMember()
	for range 2 {
		testkit.AdvanceClock(h.randomDuration(3 * time.Second))
		second := h.startMember()
		h.produceRecords(len(h.plan) / 2)
		if h.rng.IntN(2) == 0 {
			h.awaitMembers(2)
		}
		testkit.AdvanceClock(h.randomDuration(8 * time.Second))
		first.stop()
		first = second
	}
	h.produceRecords(0)
	h.awaitSettled()
	first.stop()
}

// runCutOff disconnects a member from the brokers during a call, and reconnects it once another
// member has taken over its partitions. It must release the records that it still has of them.
func runCutOff(h *harness) {
	h.produceRecords(len(h.plan) / 3)
	first, second := h.startMember(), h.startMember()
	h.awaitMembers(2)
	h.produceRecords(len(h.plan) / 2)
	h.awaitAcceptance()
	first.cutOff()
	unsettled := len(h.unsettledAtCrash)
	h.faultCounts["disconnected"] = func() int { return unsettled }
	h.awaitMembers(1)
	h.produceRecords(0)
	testkit.AdvanceClock(h.randomDuration(20 * time.Second))
	first.brokerUplink.AllowConnections()
	h.awaitMembers(2)
	h.awaitSettled()
	first.stop()
	second.stop()
}

// runWithRefusedWrites makes the cluster refuse writes to a topic for a while, with an error that
// the producer may or may not retry.
func (h *harness) runWithRefusedWrites(topic, name string) {
	err := []*kerr.Error{kerr.NotEnoughReplicas, kerr.TopicAuthorizationFailed, kerr.InvalidRecord}[h.rng.IntN(3)]
	fault := h.tap.refuseWrites(h.platform.Cluster(), topic, 5*time.Second+h.randomDuration(20*time.Second), err)
	h.faultCounts[fmt.Sprintf("%s refused with %s", name, err.Message)] = fault.Hits
	runSteady(h)
}

// runWithoutRegistry makes the registry unavailable at first.
func runWithoutRegistry(h *harness) {
	var down atomic.Bool
	var requests atomic.Int64
	h.platform.Registry().Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			requests.Add(1)
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
		return down.Load()
	})
	h.faultCounts["registry down"] = func() int { return int(requests.Load()) }
	down.Store(true)
	h.produceRecords(len(h.plan) / 2)
	member := h.startMember()
	testkit.AdvanceClock(time.Minute + h.randomDuration(time.Minute))
	if count := h.vendors.Ledger().Count(h.pipeline.operation); count > 0 {
		h.Errorf("got %d items at the vendor, want none without a schema", count)
	}
	down.Store(false)
	h.produceRecords(0)
	h.awaitSettled()
	member.stop()
}

// runWithoutCommits makes the group coordinator refuse commits for a while.
func runWithoutCommits(h *harness) {
	err := []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.RequestTimedOut, kerr.UnknownServerError}[h.rng.IntN(3)]
	var fault *kfake.FaultHandle
	h.produceRecords(len(h.plan) / 2)
	member := h.startMember()
	testkit.AdvanceClock(h.randomDuration(time.Second))
	fault = h.platform.Cluster().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: h.groupName(), Err: err, Count: -1,
	})
	h.faultCounts["commits refused with "+err.Message] = fault.Hits
	h.produceRecords(0)
	testkit.AdvanceClock(5*time.Second + h.randomDuration(10*time.Second))
	fault.Remove()
	h.awaitSettled()
	member.stop()
}

// runEverything combines cut responses, refused writes, and members that join, leave and crash.
func runEverything(h *harness) {
	fault := h.tap.refuseWrites(h.platform.Cluster(), h.deadLetterTopic(), 5*time.Second, kerr.NotEnoughReplicas)
	h.faultCounts["dead letters refused"] = fault.Hits
	h.produceRecords(len(h.plan) / 3)
	first := h.startMember()
	testkit.AdvanceClock(h.randomDuration(3 * time.Second))
	second := h.startMember()
	h.produceRecords(len(h.plan) / 2)
	testkit.AdvanceClock(2*time.Second + h.randomDuration(5*time.Second))
	h.awaitMembers(2)
	if h.rng.IntN(2) == 0 {
		first, second = second, first
	}
	first.crash()
	h.produceRecords(0)
	testkit.AdvanceClock(h.randomDuration(20 * time.Second))
	third := h.startMember()
	testkit.AdvanceClock(h.randomDuration(time.Minute))
	second.stop()
	h.awaitSettled()
	third.stop()
}
