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

// outcomeLedger replaces the intent log and the settler. It keeps the outcomes and settles records
// immediately.
type outcomeLedger struct {
	mu       sync.Mutex
	outcomes map[string]string // by origin
	intents  int
}

func (l *outcomeLedger) LogIntent(ctx context.Context, intents []record.Intent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.intents += len(intents)
	for _, intent := range intents {
		intent.Record.Entry.MarkIntent()
	}
	return ctx.Err()
}

func (l *outcomeLedger) ClearIntent(intents []record.Intent) {
	for _, intent := range intents {
		intent.Record.Entry.ClearIntent()
	}
}

func (l *outcomeLedger) Settle(ctx context.Context, outcomes []record.Outcome) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range outcomes {
		id := o.Record.Origin.ID()
		if earlier, twice := l.outcomes[id]; twice {
			return fmt.Errorf("settling %s: it was settled before as %s", id, earlier)
		}
		l.outcomes[id] = fmt.Sprint(o.Disposition, " ", o.Cause, o.Reason)
		o.Record.Settle()
	}
	return ctx.Err()
}

// checkCaps checks that no call exceeds the cap however many items are waiting, that there are as
// few calls as possible, and that every item is delivered and settled.
func (c operationCheck) checkCaps(t *testing.T) {
	h := c.suite.newHarness(t, setup{})
	op := h.operations[c.name]
	most := op.Spec().MaxItems
	calls, next := 0, 0
	for _, n := range []int{most, most + 1, 2*most + 1} {
		c.deliverEvents(t, op, next, n)
		next += n
		calls += (n + most - 1) / most
		stats := h.sandbox.Ledger().Calls(c.name)
		if stats.MaxItems != most || stats.Calls != calls || stats.Accepted != next || stats.Refused != 0 {
			t.Fatalf("after %d items: got %d calls of at most %d items, %d accepted, %d refused; want %d calls of %d items",
				n, stats.Calls, stats.MaxItems, stats.Accepted, stats.Refused, calls, most)
		}
	}
	if got := h.sandbox.Ledger().Duplicates(c.name); got != 0 {
		t.Errorf("%d items were sent twice, want none", got)
	}
}

// deliverEvents delivers n events, numbered from first, through a dispatcher, and returns when all
// are settled.
func (c operationCheck) deliverEvents(t *testing.T, op sink.Operation, first, n int) {
	t.Helper()
	ledger := &outcomeLedger{outcomes: map[string]string{}}
	spec := op.Spec()
	dispatcher := deliver.NewDispatcher(op, deliver.Config{
		OperationName: c.name, Concurrency: 1, MaxItems: spec.MaxItems, MaxBytes: 8 << 20, Linger: time.Minute,
		Timeout:       time.Minute,
		UnknownPolicy: sink.UnknownDeadLetter, RetryDelays: []time.Duration{time.Minute},
		Breaker: deliver.BreakerConfig{Failures: 5, Ratio: 0.5, Window: time.Minute, OpenFor: time.Minute},
	}, ledger, ledger, nil, zap.NewNop())
	tracker := offset.NewTracker([16]byte{1}, int64(first), nil)
	for i, item := range c.encodeItems(t, op, first, first+n) {
		r := &record.Record{Raw: &kgo.Record{}, Origin: originOf(first + i), AssignmentCtx: t.Context()}
		tracker.Track(&r.Entry, int64(first+i), 0, time.Now())
		dispatcher.Dispatch(deliver.Delivery{Record: r, Item: item})
	}
	dispatcher.Close()
	if err := dispatcher.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-tracker.Idle()
	commit, ok := tracker.PendingCommit()
	if want := int64(first + n); !ok || commit.Offset != want {
		t.Fatalf("got commit %d after offsets %d to %d, want %d", commit.Offset, first, first+n-1, want)
	}
	for id, outcome := range ledger.outcomes {
		if want := record.DispositionDelivered.String() + " "; outcome != want {
			t.Fatalf("%s: got outcome %q, want %q", id, outcome, want)
		}
	}
	if len(ledger.outcomes) != n || !spec.Repeatable && ledger.intents != n {
		t.Fatalf("got %d outcomes and %d intents, want %d", len(ledger.outcomes), ledger.intents, n)
	}
}
