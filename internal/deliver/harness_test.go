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

// ledger is the IntentLog and Settler of a test. It records what was logged and settled.
type ledger struct {
	mu             sync.Mutex
	onLogIntent    func() // called before an intent is confirmed; may be nil
	intentsLogged  int
	intentsCleared int
	intents        map[*record.Record]bool
	intentIDs      map[string]bool // the same by record ID
	outcomes       map[string]record.Outcome
	order          []string
	settleCalls    int
	released       int // by Settle, because its context had ended
	settledAt      map[string]time.Time
}

func (l *ledger) LogIntent(ctx context.Context, intents []record.Intent) error {
	if l.onLogIntent != nil {
		l.onLogIntent()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, intent := range intents {
		rec := intent.Record
		l.intentsLogged++
		l.intents[rec], l.intentIDs[rec.Origin.ID()] = true, true
		if intent.Resend {
			rec.Entry.MarkResendIntent()
		} else {
			rec.Entry.MarkIntent()
		}
	}
	return ctx.Err()
}

func (l *ledger) ClearIntent(intents []record.Intent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, intent := range intents {
		rec := intent.Record
		if intent.Resend {
			rec.Entry.MarkIntent()
			continue
		}
		l.intentsCleared++
		delete(l.intents, rec)
		delete(l.intentIDs, rec.Origin.ID())
		rec.Entry.ClearIntent()
	}
}

func (l *ledger) Settle(ctx context.Context, outcomes []record.Outcome) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settleCalls++
	for _, outcome := range outcomes {
		if ctx.Err() != nil && outcome.Disposition != record.DispositionDelivered {
			l.released++
			outcome.Record.Release()
			continue
		}
		id := outcome.Record.Origin.ID()
		if _, twice := l.outcomes[id]; twice {
			panic("got two outcomes for " + id)
		}
		l.outcomes[id], l.settledAt[id] = outcome, time.Now()
		l.order = append(l.order, id)
		outcome.Record.Settle()
	}
	return ctx.Err()
}

// harness runs the lanes of one operation between a fake vendor and a ledger, with one assignment
// at a time. It must be used in a synctest bubble.
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
		OperationName: "vendor.op", Concurrency: 1, MaxItems: 8, MaxBytes: 1 << 20, Linger: 100 * time.Millisecond,
		Timeout:       30 * time.Second,
		UnknownPolicy: sink.UnknownRetry, MaxResends: 2, RetryDelays: []time.Duration{10 * time.Second, time.Minute},
		MaxAge:  time.Hour,
		Breaker: BreakerConfig{Failures: 5, Ratio: 0.5, Window: 30 * time.Second, OpenFor: 15 * time.Second},
		Rand:    rand.NewPCG(1, 2),
	}
}

func newHarness(t *testing.T, op sink.Operation, vendor *fakeVendor, change func(*Config)) *harness {
	vendor.accepted = map[string]int{}
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	core, logs := observer.New(zap.DebugLevel)
	obs := observe.NewRegistry(prometheus.NewRegistry()).Pipeline("p")
	h := &harness{t: t, vendor: vendor, obs: obs, logs: logs, ended: make(chan error, 1), began: time.Now()}
	h.ledger = &ledger{
		intents: map[*record.Record]bool{}, intentIDs: map[string]bool{}, outcomes: map[string]record.Outcome{},
		settledAt: map[string]time.Time{},
	}
	h.newAssignment()
	h.dispatcher = NewDispatcher(op, cfg, h.ledger, h.ledger, obs, zap.New(core))
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() { h.ended <- h.dispatcher.Run(ctx) }()
	return h
}

// startHarness starts a harness with a fake vendor that follows the script.
func startHarness(t *testing.T, s script, change func(*Config)) *harness {
	vendor := &fakeVendor{script: s}
	return newHarness(t, vendor, vendor, change)
}

// newAssignment starts the assignment of the records that are dispatched from now on.
func (h *harness) newAssignment() *offset.Tracker {
	h.tracker = offset.NewTracker([16]byte{1}, int64(h.dispatched), nil)
	return h.tracker
}

func recordID(n int) string { return fmt.Sprintf("t-0-%d", n) }

func (h *harness) newDelivery(change func(*Delivery)) Delivery {
	rec := &record.Record{
		Raw:    &kgo.Record{Value: make([]byte, 100)},
		Origin: sink.Origin{Topic: "t", Offset: int64(h.dispatched), Timestamp: time.Now()},
	}
	h.tracker.Track(&rec.Entry, int64(h.dispatched), 0, time.Now())
	delivery := Delivery{Record: rec, Item: sink.Item{ID: recordID(h.dispatched), Body: make([]byte, 100)}}
	h.dispatched++
	if change != nil {
		change(&delivery)
	}
	return delivery
}

func (h *harness) dispatchRecords(n int, change func(*Delivery)) []*record.Record {
	var out []*record.Record
	for range n {
		delivery := h.newDelivery(change)
		out = append(out, delivery.Record)
		h.dispatcher.Dispatch(delivery)
	}
	return out
}

// closeAndWait closes the dispatcher and waits until its lanes and all records have ended.
func (h *harness) closeAndWait() {
	h.t.Helper()
	h.dispatcher.Close()
	if err := <-h.ended; err != nil {
		h.t.Fatalf("Run returned %v, want nil", err)
	}
	h.cancel()
	<-h.tracker.Idle()
	h.checkBalance()
}

// cancelAndWait ends the work context and waits until all records have ended.
func (h *harness) cancelAndWait() {
	h.t.Helper()
	h.cancel()
	if err := <-h.ended; !errors.Is(err, context.Canceled) {
		h.t.Errorf("Run returned %v, want context.Canceled", err)
	}
	<-h.tracker.Idle()
	h.checkBalance()
}

// checkBalance checks that each dispatched record has one outcome or was released.
func (h *harness) checkBalance() {
	h.t.Helper()
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	if ended := len(h.ledger.outcomes) + h.ledger.released + int(h.obs.Snapshot().Released); ended != h.dispatched {
		h.t.Errorf("got %d records with an outcome or released, want the %d dispatched", ended, h.dispatched)
	}
}

// countOutcomes counts the outcomes by disposition and cause.
func (h *harness) countOutcomes() map[string]int {
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	out := map[string]int{}
	for _, outcome := range h.ledger.outcomes {
		name := outcome.Disposition.String()
		if outcome.Disposition != record.DispositionDelivered {
			name += " " + string(outcome.Cause)
		}
		out[name]++
	}
	return out
}

func (h *harness) wantOutcomes(want map[string]int) {
	h.t.Helper()
	got := h.countOutcomes()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Fatalf("got outcomes %v, want %v", got, want)
	}
}

func (h *harness) wantCallSizes(want ...int) {
	h.t.Helper()
	if got := h.vendor.callSizes(); !slices.Equal(got, want) {
		h.t.Fatalf("got calls of %v items, want %v", got, want)
	}
}

// loggedMessages returns the log messages with their reason, in order.
func (h *harness) loggedMessages() []string {
	var out []string
	for _, e := range h.logs.All() {
		out = append(out, fmt.Sprintf("%s: %v", e.Message, e.ContextMap()["reason"]))
	}
	return out
}

func runInBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// holdReason returns the operation's hold reason from its status, or "" if it is not held.
func (h *harness) holdReason() string {
	for _, o := range h.obs.Snapshot().Operations {
		if o.Hold != nil {
			return string(o.Hold.Reason)
		}
	}
	return ""
}
