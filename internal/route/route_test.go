package route_test

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/route"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

var errInvalid = &sink.ValidationError{Violations: []sink.Violation{
	{Path: "number", Rule: "is mandatory"}, {Path: "products", Rule: "must not be empty"},
}}

func newRecordOf(value []byte) func(*harness) *record.Record {
	return func(h *harness) *record.Record { return h.newRecord(value) }
}

func newPurchaseOf(number string) func(*harness) *record.Record {
	return func(h *harness) *record.Record { return h.purchaseRecord(purchaseID, number) }
}

// The records before and behind a rejected record are delivered, whatever is wrong with it.
func TestRejectedRecordDoesNotAffectOthers(t *testing.T) {
	tests := map[string]struct {
		newRecord func(h *harness) *record.Record
		cfg       route.Config
		skipped   bool
		cause     string
		stage     string
		operation string
		reason    string
	}{
		"poison": {
			newRecord: newRecordOf([]byte("{}")), cause: "poison", stage: "VALUE_CONVERTER",
			reason: "value of 2 bytes, the header alone has 5",
		},
		"truncated": {
			newRecord: newRecordOf([]byte{0, 0, 0, 0, purchaseID, 2}), cause: "poison", stage: "VALUE_CONVERTER",
		},
		"empty value": {newRecord: newRecordOf([]byte{}), cause: "poison", stage: "VALUE_CONVERTER"},
		"no operation": {
			newRecord: (*harness).webVisitRecord, cause: "unmapped", stage: "TRANSFORMATION",
			reason: `no event has the record name "sluice.crmcom.WebVisit"`,
		},
		"no operation, skip": {
			newRecord: (*harness).webVisitRecord, cfg: route.Config{SkipUnmapped: true}, skipped: true,
		},
		"tombstone": {
			newRecord: newRecordOf(nil), cause: "tombstone", stage: "TRANSFORMATION", reason: "the record has no value",
		},
		"tombstone, skip": {newRecord: newRecordOf(nil), cfg: route.Config{SkipTombstones: true}, skipped: true},
		"invalid": {
			newRecord: newPurchaseOf("invalid"), cause: "invalid", stage: "TRANSFORMATION",
			operation: "crmcom.purchases", reason: errInvalid.Error(),
		},
		"fails to encode": {
			newRecord: newPurchaseOf("strange"), cause: "invalid", stage: "TRANSFORMATION",
			operation: "crmcom.purchases", reason: "no such form",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, func(c *route.Config) {
					c.SkipUnmapped, c.SkipTombstones = test.cfg.SkipUnmapped, test.cfg.SkipTombstones
				})
				h.vendor.setEncodeError("invalid", errInvalid)
				h.vendor.setEncodeError("strange", errors.New("no such form"))
				h.checkReturned(h.handleAsync(
					h.purchaseRecord(purchaseID, "before"), test.newRecord(h), h.purchaseRecord(purchaseID, "behind"),
				), true)
				h.checkDelivered("before", "behind")
				h.checkProgress(3, 0)
				h.checkHold("")
				if test.skipped {
					h.readDeadLetters(0)
					if n := h.obs.Snapshot().Skipped; n != 1 {
						t.Errorf("got %d skipped, want 1", n)
					}
					return
				}
				want := map[string]string{
					record.HeaderCause: test.cause, record.HeaderOperation: test.operation,
					record.HeaderAttempt: "1", record.HeaderOriginOffset: "1",
					"__connect.errors.stage": test.stage,
				}
				if test.reason != "" {
					want["__connect.errors.exception.message"] = test.reason
				}
				h.checkDeadLetter(want)
			})
		})
	}
}

// checkDeadLetter checks that there is one dead letter with these headers and that it is counted
// under its cause.
func (h *harness) checkDeadLetter(want map[string]string) {
	h.t.Helper()
	got := h.readDeadLetters(1)[0]
	for key, value := range want {
		if got[key] != value {
			h.t.Errorf("header %s: got %q, want %q", key, got[key], value)
		}
	}
	if n := h.obs.Snapshot().Dead[want[record.HeaderCause]]; n != 1 {
		h.t.Errorf("got %d dead letters with cause %s, want 1", n, want[record.HeaderCause])
	}
}

func TestRetryRecordCountsItsAttempts(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		rec := h.newRecord([]byte("no longer decodable"))
		rec.Attempt, rec.OperationName, rec.TierDelay = 2, "crmcom.purchases", time.Minute
		h.handleAsync(rec)
		got := h.readDeadLetters(1)[0]
		if got[record.HeaderAttempt] != "3" || got[record.HeaderOperation] != "crmcom.purchases" {
			t.Errorf("got attempt %s of %s, want 3 of crmcom.purchases",
				got[record.HeaderAttempt], got[record.HeaderOperation])
		}
	})
}

// specOperation is an operation of which only the specification is used.
type specOperation struct {
	sink.Operation
	spec sink.OperationSpec
}

func (o specOperation) Spec() sink.OperationSpec { return o.spec }

func TestNewRouterRejectsAmbiguousOperations(t *testing.T) {
	target := func(name, event string) route.Target {
		return route.Target{OperationName: name, Operation: specOperation{spec: sink.OperationSpec{Event: event}}}
	}
	for name, test := range map[string]struct {
		targets []route.Target
		want    string
	}{
		"no such event": {
			[]route.Target{target("a.x", "sluice.Nothing")}, "operation a.x: there is no event sluice.Nothing",
		},
		"one event twice": {
			[]route.Target{target("a.x", "sluice.crmcom.Purchase"), target("b.y", "sluice.crmcom.Purchase")},
			"event sluice.crmcom.Purchase has the operations a.x and b.y: only one operation per event is allowed",
		},
	} {
		obs := observe.NewRegistry(prometheus.NewRegistry()).Pipeline("p")
		_, err := route.NewRouter(route.Config{}, nil, test.targets, nil, obs, zap.NewNop())
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got error %v, want %q", name, err, test.want)
		}
	}
}
