package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sluice/internal/observe"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// ledger is what stands at the other ends: announcements and outcomes.
type ledger struct {
	mu             sync.Mutex
	onLogIntent    func() // before a commit is confirmed; nil: nothing
	intentsLogged  int
	intentsCleared int
	intents        map[*record.Record]bool
	intentIDs      map[string]bool // the marked ones, by id
	outcomes       map[string]record.Outcome
	order          []string
	settleCalls    int
	released       int // because ctx had ended
	settledAt      map[string]time.Time
}

func (b *ledger) LogIntent(ctx context.Context, records []*record.Record) error {
	if b.onLogIntent != nil {
		b.onLogIntent()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		b.intentsLogged++
		b.intents[r], b.intentIDs[r.Origin.ID()] = true, true
		r.Entry.MarkIntent()
	}
	return ctx.Err()
}

func (b *ledger) ClearIntent(records []*record.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		b.intentsCleared++
		delete(b.intents, r)
		delete(b.intentIDs, r.Origin.ID())
		r.Entry.ClearIntent()
	}
}

func (b *ledger) Settle(ctx context.Context, outcomes []record.Outcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settleCalls++
	for _, o := range outcomes {
		if ctx.Err() != nil && o.Disposition != record.DispositionDelivered {
			b.released++
			o.Record.Release()
			continue
		}
		id := o.Record.Origin.ID()
		if _, twice := b.outcomes[id]; twice {
			panic("two outcomes for " + id)
		}
		b.outcomes[id], b.settledAt[id] = o, time.Now()
		b.order = append(b.order, id)
		o.Record.Settle()
	}
	return ctx.Err()
}

// harness is the lanes of one operation between a vendor and a border, with one assignment. Time is the bubble's.
type harness struct {
	t          *testing.T
	vendor     *fakeVendor
	ledger     *ledger
	tracker    *offset.Tracker
	dispatcher *Dispatcher
	obs        *observe.Pipeline
	logs       *observer.ObservedLogs
	ended      chan error
	cancel     context.CancelFunc
	dispatched int
	began      time.Time
}

func testConfig() Config {
	return Config{
		OperationName: "vendor.op", Concurrency: 1, MaxItems: 8, MaxBytes: 1 << 20, Linger: 100 * time.Millisecond, Timeout: 30 * time.Second,
		UnknownPolicy: sink.UnknownRetry, MaxResends: 2, RetryDelays: []time.Duration{10 * time.Second, time.Minute}, MaxAge: time.Hour,
		Breaker: BreakerConfig{Failures: 5, Ratio: 0.5, Window: 30 * time.Second, OpenFor: 15 * time.Second},
		Rand:    rand.NewPCG(1, 2),
	}
}

func newHarness(t *testing.T, op sink.Operation, v *fakeVendor, change func(*Config)) *harness {
	v.accepted = map[string]int{}
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	core, logs := observer.New(zap.DebugLevel)
	obs := observe.NewRegistry(prometheus.NewRegistry()).Pipeline("p")
	r := &harness{t: t, vendor: v, obs: obs, logs: logs, ended: make(chan error, 1), began: time.Now()}
	r.ledger = &ledger{intents: map[*record.Record]bool{}, intentIDs: map[string]bool{}, outcomes: map[string]record.Outcome{}, settledAt: map[string]time.Time{}}
	r.newAssignment()
	r.dispatcher = NewDispatcher(op, cfg, r.ledger, r.ledger, obs, zap.New(core))
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.dispatcher.Run(ctx) }()
	return r
}

// startHarness is a rig around a plain vendor.
func startHarness(t *testing.T, s script, change func(*Config)) *harness {
	v := &fakeVendor{script: s}
	return newHarness(t, v, v, change)
}

// newAssignment starts a new assignment for the records to come.
func (r *harness) newAssignment() *offset.Tracker {
	r.tracker = offset.NewTracker([16]byte{1}, int64(r.dispatched), nil)
	return r.tracker
}

func recordID(n int) string { return fmt.Sprintf("t-0-%d", n) }

func (r *harness) newDelivery(change func(*Delivery)) Delivery {
	rec := &record.Record{
		Raw:    &kgo.Record{Value: make([]byte, 100)},
		Origin: sink.Origin{Topic: "t", Offset: int64(r.dispatched), Timestamp: time.Now()},
	}
	r.tracker.Track(&rec.Entry, int64(r.dispatched), 0, time.Now())
	j := Delivery{Record: rec, Item: sink.Item{ID: recordID(r.dispatched), Body: make([]byte, 100)}}
	r.dispatched++
	if change != nil {
		change(&j)
	}
	return j
}

func (r *harness) dispatchRecords(n int, change func(*Delivery)) []*record.Record {
	var out []*record.Record
	for range n {
		j := r.newDelivery(change)
		out = append(out, j.Record)
		r.dispatcher.Dispatch(j)
	}
	return out
}

// closeAndWait closes the lanes and awaits their end; every record must have ended.
func (r *harness) closeAndWait() {
	r.t.Helper()
	r.dispatcher.Close()
	if err := <-r.ended; err != nil {
		r.t.Fatalf("Run: %v", err)
	}
	r.cancel()
	<-r.tracker.Idle()
	r.checkBalance()
}

// cancelAndWait is the hard stop.
func (r *harness) cancelAndWait() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; !errors.Is(err, context.Canceled) {
		r.t.Errorf("Run: %v", err)
	}
	<-r.tracker.Idle()
	r.checkBalance()
}

// checkBalance: each record dispatched has one outcome or was counted as dropped.
func (r *harness) checkBalance() {
	r.t.Helper()
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if ended := len(r.ledger.outcomes) + r.ledger.released + int(r.obs.Snapshot().Released); ended != r.dispatched {
		r.t.Errorf("%d records were dispatched, %d have an outcome or were dropped", r.dispatched, ended)
	}
}

// countOutcomes counts the outcomes by kind and cause.
func (r *harness) countOutcomes() map[string]int {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	out := map[string]int{}
	for _, o := range r.ledger.outcomes {
		name := o.Disposition.String()
		if o.Disposition != record.DispositionDelivered {
			name += " " + string(o.Cause)
		}
		out[name]++
	}
	return out
}

func (r *harness) wantOutcomes(want map[string]int) {
	r.t.Helper()
	got := r.countOutcomes()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Fatalf("outcomes %v, want %v", got, want)
	}
}

func (r *harness) wantCallSizes(want ...int) {
	r.t.Helper()
	if got := r.vendor.callSizes(); !slices.Equal(got, want) {
		r.t.Fatalf("calls of %v items, want %v", got, want)
	}
}

// loggedMessages are the messages with their reason, in order.
func (r *harness) loggedMessages() []string {
	var out []string
	for _, e := range r.logs.All() {
		out = append(out, fmt.Sprintf("%s: %v", e.Message, e.ContextMap()["reason"]))
	}
	return out
}

func runInBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// holdReason is why the operation is held, as its status says; empty where it is not.
func (r *harness) holdReason() string {
	for _, o := range r.obs.Snapshot().Operations {
		if o.Hold != nil {
			return string(o.Hold.Reason)
		}
	}
	return ""
}
