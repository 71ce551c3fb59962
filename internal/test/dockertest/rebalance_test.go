//go:build docker

package dockertest

import (
	"net/http"
	"testing"
	"time"

	"sluice/internal/demo/sandbox"
	"sluice/internal/record"
)

// skippingPipeline is the pipeline that skips tombstones.
const skippingPipeline = "activities"

// defaultPipelines are the default pipelines, with what each configures beyond the others.
var defaultPipelines = map[string]string{
	"purchases": "", "referrals": "", "feedback": "", "customer-changes": ", ordering: key",
	skippingPipeline: ", tombstones: skip",
}

// vendorFaults start after a number of calls rather than at a certain time.
var vendorFaults = []sandbox.Rule{
	{
		Name: "dropped item", Operation: "crmcom.purchases", When: sandbox.When{AfterCalls: 3}, Times: 1,
		Do: sandbox.Action{Fault: sandbox.FaultDropItems, Count: 1},
	},
	{
		Name: "throttled", Operation: "crmcom.referrals", When: sandbox.When{AfterCalls: 1}, Times: 1,
		Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusTooManyRequests, RetryAfter: time.Second},
	},
	{
		Name: "expired token", Operation: "crmcom", When: sandbox.When{AfterCalls: 5}, Times: 1,
		Do: sandbox.Action{Fault: sandbox.FaultExpireTokens},
	},
	{
		// The first three failures open the breaker, and its probes, a second apart, meet the
		// others.
		Name: "outage", Operation: "expoints", When: sandbox.When{AfterCalls: 4}, Times: 6,
		Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusServiceUnavailable},
	},
}

// recoveredMessage is the message that an instance logs for each partition that it has recovered.
const recoveredMessage = "partition recovered"

// All pipelines run against a real broker and registry, with every kind of bad record, faults of
// the vendors, an instance that joins the groups and one that leaves them.
func TestEveryRecordIsSettledOnceThroughFaultsAndARebalance(t *testing.T) {
	p := startPlatform(t)
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			h := newHarness(t, p, "rebalance-"+protocol, protocol, defaultPipelines, vendorFaults...)
			h.blocker.operation, h.blocker.nth = "crmcom.purchases", 1
			h.produceRecords(100, true)
			h.produceLatePurchases(5)
			first := h.startInstance("first")
			blocked := h.awaitBlockedCall()
			if !h.originsWithIntent(h.cfg.Name+".purchases", h.cfg.Name+"-purchases")[blocked.ID] {
				t.Errorf("%s: got no send intent in the commit while its call is in flight, want one", blocked.ID)
			}
			h.blocker.unblock()
			h.awaitDelivered(300)

			second := h.startInstance("second")
			second.awaitMessage(recoveredMessage, len(h.cfg.Pipelines))
			h.produceRecords(60, false)
			first.stopCleanly()
			h.produceRecords(60, false)
			h.awaitDelivered(h.produced.expectedCount(record.DispositionDelivered))
			deadLetters := h.readDeadLetters(p, h.produced.expectedCount(record.DispositionDead))
			second.stopCleanly()

			resent := h.checkDeadLetterHeaders(deadLetters)
			h.checkAllCommitted()
			report := h.checkLedger(deadLetters, 1)
			// The dropped item is resent, whether the vendor had accepted or rejected it; nothing
			// else is.
			if n := len(resent) + report.Duplicates; n > 1 {
				t.Errorf("got %d duplicates and an additional attempt for %v, want at most one of both together",
					report.Duplicates, resent)
			}
			t.Logf("%d produced = %d delivered + %d dead + %d skipped, %d duplicates", report.Produced,
				report.Delivered-report.Duplicates, report.Dead, report.Skipped, report.Duplicates)
			h.checkFaultsOccurred()
		})
	}
}

// checkFaultsOccurred checks that every fault occurred and that every operation was used.
func (h *harness) checkFaultsOccurred() {
	h.t.Helper()
	for rule, count := range h.vendors.Faults() {
		if count == 0 {
			h.t.Errorf("fault %q: got no occurrence, want at least one", rule)
		}
	}
	if h.vendors.Ledger().Calls("expoints.add").Failures[http.StatusBadRequest] == 0 {
		h.t.Error("expoints.add: got no batch rejected with status 400, want at least one")
	}
	for _, operation := range h.produced.operations {
		if h.vendors.Ledger().Count(operation) == 0 {
			h.t.Errorf("%s: got no accepted item, want at least one", operation)
		}
	}
}
