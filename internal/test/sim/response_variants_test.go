package sim_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sluice/internal/config"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// misclassified is an operation whose responses are changed to wrong ones.
type misclassified struct {
	sink.Operation
	change func(items []sink.Item, resp sink.Response) sink.Response
}

func (m misclassified) Send(ctx context.Context, items []sink.Item) sink.Response {
	return m.change(items, m.Operation.Send(ctx, items))
}

// checkVariantIsCaught runs a variant with a few seeds and checks that the oracles report a
// violation that contains text.
func checkVariantIsCaught(t *testing.T, scn *scenario, operation func(sink.Operation) sink.Operation, text string) {
	t.Helper()
	runSeeds(t, scn, func(h *harness) {
		h.runVariant(variant{operation: operation})
		if err := h.checkRun(); err == nil || !strings.Contains(err.Error(), text) {
			h.Errorf("oracles: got %v, want %q in it", err, text)
		}
	})
}

// Guarantee 2: an outage is treated as a rejection.
func TestOutageBlamedOnDataIsCaught(t *testing.T) {
	treatAsRejected := func(_ []sink.Item, resp sink.Response) sink.Response {
		if resp.Class == sink.Unavailable || resp.Class == sink.Misconfigured {
			resp.Class = sink.Rejected
		}
		return resp
	}
	scn := &scenario{name: "blamed", records: 60, rules: outageRules}
	checkVariantIsCaught(
		t, scn, func(op sink.Operation) sink.Operation { return misclassified{op, treatAsRejected} },
		`(good) is dead with cause "rejected"`,
	)
}

// Guarantee 3: all records of a batch are blamed for one.
func TestBatchRejectedForOneRecordIsCaught(t *testing.T) {
	blameAll := func(items []sink.Item, resp sink.Response) sink.Response {
		if resp.Class == sink.Rejected {
			resp.ItemErrors = nil
			for i := range items {
				resp.ItemErrors = append(resp.ItemErrors, sink.ItemError{Index: i, Result: resp.Result})
			}
		}
		return resp
	}
	scn := &scenario{name: "accused", records: 60, mix: map[kind]int{offender: 3}}
	checkVariantIsCaught(
		t, scn, func(op sink.Operation) sink.Operation { return misclassified{op, blameAll} },
		`(good) is dead with cause "rejected"`,
	)
}

// sentTwice makes each call twice.
type sentTwice struct{ sink.Operation }

func (o sentTwice) Send(ctx context.Context, items []sink.Item) sink.Response {
	o.Operation.Send(ctx, items)
	return o.Operation.Send(ctx, items)
}

// Guarantee 4: a record is duplicated without a reason.
func TestUnexplainedDuplicateIsCaught(t *testing.T) {
	scn := &scenario{name: "double", records: 60}
	checkVariantIsCaught(t, scn, func(op sink.Operation) sink.Operation { return sentTwice{op} }, "unexplained")
}

// Guarantee 5: a customer's changes overtake one that was refused.
func TestBrokenOrderIsCaught(t *testing.T) {
	scn := &scenario{name: "unordered", records: 60, mix: map[kind]int{later: 8}}
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed_", seed), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, scn, &changesPipeline, seed)
				h.cfg.Pipelines[0].Ordering = config.OrderingNone
				runSteady(h)
				if err := h.checkRun(); err == nil || !strings.Contains(err.Error(), "changes of") {
					h.Errorf("oracles: got %v, want a broken order", err)
				}
			})
		})
	}
}
