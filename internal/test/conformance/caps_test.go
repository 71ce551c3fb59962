package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/deliver"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// ends is what stands at the lanes' other ends: it notes outcomes and settles at once.
type ends struct {
	mu       sync.Mutex
	outcomes map[string]string // by origin
	sent     int
}

func (e *ends) LogIntent(ctx context.Context, records []*record.Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent += len(records)
	for _, r := range records {
		r.Entry.MarkIntent()
	}
	return ctx.Err()
}

func (e *ends) ClearIntent(records []*record.Record) {
	for _, r := range records {
		r.Entry.ClearIntent()
	}
}

func (e *ends) Settle(ctx context.Context, outcomes []record.Outcome) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range outcomes {
		id := o.Record.Origin.ID()
		if had, twice := e.outcomes[id]; twice {
			return fmt.Errorf("settling %s: it was %s before", id, had)
		}
		e.outcomes[id] = fmt.Sprint(o.Disposition, " ", o.Cause, o.Reason)
		o.Record.Settle()
	}
	return ctx.Err()
}

// caps: however many items wait, no call is over the cap, none is made without need, and all are delivered and settled.
func (o operation) caps(t *testing.T) {
	v := open(t, setup{})
	op := v.operations[o.name]
	most := op.Spec().MaxItems
	calls, next := 0, 0
	for _, n := range []int{most, most + 1, 2*most + 1} {
		o.deliver(t, op, next, n)
		next += n
		calls += (n + most - 1) / most
		stats := v.sandbox.Ledger().Calls(o.name)
		if stats.MaxItems != most || stats.Calls != calls || stats.Accepted != next || stats.Refused != 0 {
			t.Fatalf("after %d items: %d calls of at most %d items, %d accepted, %d refused; want %d calls of %d items", n,
				stats.Calls, stats.MaxItems, stats.Accepted, stats.Refused, calls, most)
		}
	}
	if got := v.sandbox.Ledger().Duplicates(o.name); got != 0 {
		t.Errorf("%d items were sent twice", got)
	}
}

// deliver takes n events from number from on through lanes, and returns when all are settled.
func (o operation) deliver(t *testing.T, op sink.Operation, from, n int) {
	t.Helper()
	border := &ends{outcomes: map[string]string{}}
	spec := op.Spec()
	lanes := deliver.NewDispatcher(op, deliver.Config{
		OperationName: o.name, Concurrency: 1, MaxItems: spec.MaxItems, MaxBytes: 8 << 20, Linger: time.Minute, Timeout: time.Minute,
		UnknownPolicy: sink.UnknownDeadLetter, RetryDelays: []time.Duration{time.Minute},
		Breaker: deliver.BreakerConfig{Failures: 5, Ratio: 0.5, Window: time.Minute, OpenFor: time.Minute},
	}, border, border, nil, zap.NewNop())
	tracker := offset.NewTracker([16]byte{1}, int64(from), nil)
	for i, item := range o.encode(t, op, from, from+n) {
		r := &record.Record{Raw: &kgo.Record{}, Origin: originOf(from + i), AssignmentCtx: t.Context()}
		tracker.Track(&r.Entry, int64(from+i), 0, time.Now())
		lanes.Dispatch(deliver.Delivery{Record: r, Item: item})
	}
	lanes.Close()
	if err := lanes.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-tracker.Idle()
	commit, ok := tracker.PendingCommit()
	if !ok || commit.Offset != int64(from+n) {
		t.Fatalf("of offsets %d to %d the commit is %d", from, from+n, commit.Offset)
	}
	for id, outcome := range border.outcomes {
		if outcome != record.DispositionDelivered.String()+" " {
			t.Fatalf("%s is %s", id, outcome)
		}
	}
	if len(border.outcomes) != n || !spec.Repeatable && border.sent != n {
		t.Fatalf("%d outcomes and %d announced, want %d", len(border.outcomes), border.sent, n)
	}
}
