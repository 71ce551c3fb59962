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

// misread is an operation whose answers are taken for what they are not.
type misread struct {
	sink.Operation
	as func(items []sink.Item, a sink.Response) sink.Response
}

func (m misread) Send(ctx context.Context, items []sink.Item) sink.Response {
	return m.as(items, m.Operation.Send(ctx, items))
}

// wantFound runs a variant in worlds of a scenario, and wants its run judged with words that say what is wrong.
func wantFound(t *testing.T, s *scenario, operation func(sink.Operation) sink.Operation, words string) {
	t.Helper()
	inWorlds(t, s, func(w *world) {
		w.alone(variant{operation: operation})
		if err := w.judge(); err == nil || !strings.Contains(err.Error(), words) {
			w.Errorf("the oracles say %v, want %q in it", err, words)
		}
	})
}

// Guarantee 2: an outage is taken for a refusal.
func TestAnOutageThatIsBlamedOnTheDataIsCaught(t *testing.T) {
	blame := func(_ []sink.Item, a sink.Response) sink.Response {
		if a.Class == sink.Unavailable || a.Class == sink.Misconfigured {
			a.Class = sink.Rejected
		}
		return a
	}
	s := &scenario{name: "blamed", records: 60, rules: outage}
	wantFound(t, s, func(op sink.Operation) sink.Operation { return misread{op, blame} }, `(good) died of "rejected"`)
}

// Guarantee 3: a batch is blamed for its culprit.
func TestABatchThatDiesForOneRecordIsCaught(t *testing.T) {
	all := func(items []sink.Item, a sink.Response) sink.Response {
		if a.Class == sink.Rejected {
			a.ItemErrors = nil
			for i := range items {
				a.ItemErrors = append(a.ItemErrors, sink.ItemError{Index: i, Result: a.Result})
			}
		}
		return a
	}
	s := &scenario{name: "accused", records: 60, mix: map[kind]int{culprit: 3}}
	wantFound(t, s, func(op sink.Operation) sink.Operation { return misread{op, all} }, `(good) died of "rejected"`)
}

// twice makes each call again.
type twice struct{ sink.Operation }

func (o twice) Send(ctx context.Context, items []sink.Item) sink.Response {
	o.Operation.Send(ctx, items)
	return o.Operation.Send(ctx, items)
}

// Guarantee 4: a record is double without a reason.
func TestADoubleWithoutAReasonIsCaught(t *testing.T) {
	s := &scenario{name: "double", records: 60}
	wantFound(t, s, func(op sink.Operation) sink.Operation { return twice{op} }, "without need")
}

// Guarantee 5: changes of a customer that come after a refused one pass it.
func TestAnOrderThatIsNotKeptIsCaught(t *testing.T) {
	s := &scenario{name: "unordered", records: 60, mix: map[kind]int{later: 8}}
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed_", seed), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				w := newWorld(t, s, &changes, seed)
				w.cfg.Pipelines[0].Ordering = config.OrderingNone
				steady(w)
				if err := w.judge(); err == nil || !strings.Contains(err.Error(), "the changes of") {
					w.Errorf("the oracles say %v, want that changes went back", err)
				}
			})
		})
	}
}
