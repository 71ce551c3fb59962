//go:build docker

package dockertest

import (
	"net/http"
	"testing"
	"time"

	"sluice/internal/demo/sandbox"
	"sluice/internal/record"
)

// skipping is the pipeline that skips tombstones.
const skipping = "activities"

// all are the default pipelines, with what is particular to each.
var all = map[string]string{
	"purchases": "", "referrals": "", "feedback": "", "customer-changes": ", ordering: key", skipping: ", tombstones: skip",
}

// faults are what the vendors do wrong, by calls and not by the clock.
var faults = []sandbox.Rule{
	{Name: "forgotten", Operation: "crmcom.purchases", When: sandbox.When{AfterCalls: 3}, Times: 1, Do: sandbox.Action{Fault: sandbox.FaultDropItems, Count: 1}},
	{Name: "throttled", Operation: "crmcom.referrals", When: sandbox.When{AfterCalls: 1}, Times: 1,
		Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusTooManyRequests, RetryAfter: time.Second}},
	{Name: "expired token", Operation: "crmcom", When: sandbox.When{AfterCalls: 5}, Times: 1, Do: sandbox.Action{Fault: sandbox.FaultExpireTokens}},
	// Three open the breaker; the others meet its probes, a second apart.
	{Name: "outage", Operation: "expoints", When: sandbox.When{AfterCalls: 4}, Times: 6, Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusServiceUnavailable}},
}

const takenOver = "partition recovered"

// The whole line over a real broker and registry, with every kind of bad record, vendors that misbehave, an instance that joins and one that leaves: each
// record is found once where it belongs.
func TestEveryRecordIsFoundOnceThroughFaultsAndARebalance(t *testing.T) {
	p := platform{StartKafka(t, 1), StartRegistry(t)}
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			s := newStage(t, p, "line-"+protocol, protocol, all, faults...)
			s.gate.operation, s.gate.at = "crmcom.purchases", 1
			s.produce(100, true)
			s.produceLate(5)
			a := s.start("a")
			if held := s.awaitHeld(); !s.sent(s.cfg.Name+".purchases", s.cfg.Name+"-purchases")[held.ID] {
				t.Errorf("%s is at the vendor, and the commit does not say so", held.ID)
			}
			s.gate.free()
			s.awaitDelivered(300)

			b := s.start("b")
			b.await(takenOver, len(s.cfg.Pipelines))
			s.produce(60, false)
			a.stop()
			s.produce(60, false)
			s.awaitDelivered(s.books.of(record.DispositionDelivered))
			dead := s.deadLetters(p, s.books.of(record.DispositionDead))
			b.stop()

			again := s.wantHeaders(dead)
			s.wantAllCommitted()
			report := s.audit(dead, 1)
			// The forgotten item is sent again, whether it was accepted or refused; nothing else is.
			if n := len(again) + report.Duplicates; n > 1 {
				t.Errorf("%d duplicates and %v had an attempt too many, want one at most of all", report.Duplicates, again)
			}
			t.Logf("%d produced = %d delivered + %d dead + %d skipped, %d duplicates", report.Produced, report.Delivered-report.Duplicates, report.Dead, report.Skipped, report.Duplicates)
			s.wantFaults()
		})
	}
}

// wantFaults checks that everything that was to go wrong did.
func (s *stage) wantFaults() {
	s.t.Helper()
	for rule, n := range s.vendors.Faults() {
		if n == 0 {
			s.t.Errorf("fault %q did not happen", rule)
		}
	}
	if n := s.vendors.Ledger().Calls("expoints.add").Failures[http.StatusBadRequest]; n == 0 {
		s.t.Error("no batch was refused by a 400 that names the culprit")
	}
	for _, operation := range s.books.operations {
		if s.vendors.Ledger().Count(operation) == 0 {
			s.t.Errorf("%s has accepted nothing", operation)
		}
	}
}
