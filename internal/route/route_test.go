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

// Each way out costs its own record alone: those before and behind it are delivered.
func TestARecordThatCannotGoOnCostsItselfAlone(t *testing.T) {
	invalid := &sink.ValidationError{Violations: []sink.Violation{{Path: "number", Rule: "is mandatory"}, {Path: "products", Rule: "must not be empty"}}}
	tests := map[string]struct {
		record    func(r *rig) *record.Record
		cfg       route.Config
		skipped   bool
		cause     string
		stage     string
		operation string
		reason    string
	}{
		"poison":              {record: func(r *rig) *record.Record { return r.record([]byte("{}")) }, cause: "poison", stage: "VALUE_CONVERTER", reason: "value of 2 bytes, the header alone has 5"},
		"cut short":           {record: func(r *rig) *record.Record { return r.record([]byte{0, 0, 0, 0, purchaseID, 2}) }, cause: "poison", stage: "VALUE_CONVERTER"},
		"empty value":         {record: func(r *rig) *record.Record { return r.record([]byte{}) }, cause: "poison", stage: "VALUE_CONVERTER"},
		"no operation for it": {record: func(r *rig) *record.Record { return r.webVisit() }, cause: "unmapped", stage: "TRANSFORMATION", reason: `no event has the record name "sluice.crmcom.WebVisit"`},
		"no operation, skip":  {record: func(r *rig) *record.Record { return r.webVisit() }, cfg: route.Config{SkipUnmapped: true}, skipped: true},
		"tombstone":           {record: func(r *rig) *record.Record { return r.record(nil) }, cause: "tombstone", stage: "TRANSFORMATION", reason: "the record has no value"},
		"tombstone, skip":     {record: func(r *rig) *record.Record { return r.record(nil) }, cfg: route.Config{SkipTombstones: true}, skipped: true},
		"invalid": {
			record: func(r *rig) *record.Record { return r.purchase(purchaseID, "invalid") }, cause: "invalid", stage: "TRANSFORMATION",
			operation: "crmcom.purchases", reason: invalid.Error(),
		},
		"fails to encode": {
			record: func(r *rig) *record.Record { return r.purchase(purchaseID, "strange") }, cause: "invalid", stage: "TRANSFORMATION",
			operation: "crmcom.purchases", reason: "no such form",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t, func(c *route.Config) {
					c.SkipUnmapped, c.SkipTombstones = test.cfg.SkipUnmapped, test.cfg.SkipTombstones
				})
				r.vendor.script("invalid", invalid)
				r.vendor.script("strange", errors.New("no such form"))
				r.wantReturned(r.handle(r.purchase(purchaseID, "before"), test.record(r), r.purchase(purchaseID, "behind")), true)
				r.wantDelivered("before", "behind")
				r.wantSettled(3, 0)
				r.wantHold("")
				if test.skipped {
					r.deadLetters(0)
					if n := r.obs.Snapshot().Skipped; n != 1 {
						t.Errorf("%d skipped, want 1", n)
					}
					return
				}
				got := r.deadLetters(1)[0]
				want := map[string]string{
					record.HeaderCause: test.cause, record.HeaderOperation: test.operation, record.HeaderAttempt: "1", record.HeaderOriginOffset: "1",
					"__connect.errors.stage": test.stage,
				}
				if test.reason != "" {
					want["__connect.errors.exception.message"] = test.reason
				}
				for key, value := range want {
					if got[key] != value {
						t.Errorf("header %s is %q, want %q", key, got[key], value)
					}
				}
				if n := r.obs.Snapshot().Dead[test.cause]; n != 1 {
					t.Errorf("%d dead for %s, want 1", n, test.cause)
				}
			})
		})
	}
}

func TestARecordOfARetryTierCountsItsAttempts(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		rec := r.record([]byte("no longer decodable"))
		rec.Attempt, rec.OperationName, rec.TierDelay = 2, "crmcom.purchases", time.Minute
		r.handle(rec)
		got := r.deadLetters(1)[0]
		if got[record.HeaderAttempt] != "3" || got[record.HeaderOperation] != "crmcom.purchases" {
			t.Errorf("attempt %s of %s, want 3 of crmcom.purchases", got[record.HeaderAttempt], got[record.HeaderOperation])
		}
	})
}

type fixed struct {
	sink.Operation
	spec sink.OperationSpec
}

func (f fixed) Spec() sink.OperationSpec { return f.spec }

func TestARouterRefusesOperationsThatItCannotTellApart(t *testing.T) {
	at := func(name, event string) route.Target {
		return route.Target{OperationName: name, Operation: fixed{spec: sink.OperationSpec{Event: event}}}
	}
	for name, test := range map[string]struct {
		targets []route.Target
		want    string
	}{
		"no such event": {[]route.Target{at("a.x", "sluice.Nothing")}, "operation a.x: there is no event sluice.Nothing"},
		"one event twice": {
			[]route.Target{at("a.x", "sluice.crmcom.Purchase"), at("b.y", "sluice.crmcom.Purchase")},
			"event sluice.crmcom.Purchase goes to a.x and to b.y: one operation an event is allowed",
		},
	} {
		obs := observe.NewRegistry(prometheus.NewRegistry()).Pipeline("p")
		if _, err := route.NewRouter(route.Config{}, nil, test.targets, nil, obs, zap.NewNop()); err == nil || err.Error() != test.want {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}
