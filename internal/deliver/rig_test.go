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

// border is what stands at the other ends: announcements and outcomes.
type border struct {
	mu       sync.Mutex
	onSent   func() // before a commit is confirmed; nil: nothing
	sent     int
	unsent   int
	marked   map[*record.Record]bool
	standing map[string]bool // the marked ones, by id
	outcomes map[string]record.Outcome
	order    []string
	settles  int
	dropped  int // because ctx had ended
	at       map[string]time.Time
}

func (b *border) LogIntent(ctx context.Context, records []*record.Record) error {
	if b.onSent != nil {
		b.onSent()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		b.sent++
		b.marked[r], b.standing[r.Origin.ID()] = true, true
		r.Entry.MarkIntent()
	}
	return ctx.Err()
}

func (b *border) ClearIntent(records []*record.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		b.unsent++
		delete(b.marked, r)
		delete(b.standing, r.Origin.ID())
		r.Entry.ClearIntent()
	}
}

func (b *border) Settle(ctx context.Context, outcomes []record.Outcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settles++
	for _, o := range outcomes {
		if ctx.Err() != nil && o.Disposition != record.DispositionDelivered {
			b.dropped++
			o.Record.Release()
			continue
		}
		id := o.Record.Origin.ID()
		if _, twice := b.outcomes[id]; twice {
			panic("two outcomes for " + id)
		}
		b.outcomes[id], b.at[id] = o, time.Now()
		b.order = append(b.order, id)
		o.Record.Settle()
	}
	return ctx.Err()
}

// rig is the lanes of one operation between a vendor and a border, with one assignment. Time is the bubble's.
type rig struct {
	t       *testing.T
	vendor  *vendor
	border  *border
	tracker *offset.Tracker
	lanes   *Dispatcher
	obs     *observe.Pipeline
	logs    *observer.ObservedLogs
	ended   chan error
	cancel  context.CancelFunc
	n       int
	began   time.Time
}

func testConfig() Config {
	return Config{
		OperationName: "vendor.op", Concurrency: 1, MaxItems: 8, MaxBytes: 1 << 20, Linger: 100 * time.Millisecond, Timeout: 30 * time.Second,
		UnknownPolicy: sink.UnknownRetry, MaxResends: 2, RetryDelays: []time.Duration{10 * time.Second, time.Minute}, MaxAge: time.Hour,
		Breaker: BreakerConfig{Failures: 5, Ratio: 0.5, Window: 30 * time.Second, OpenFor: 15 * time.Second},
		Rand:    rand.NewPCG(1, 2),
	}
}

func newRig(t *testing.T, op sink.Operation, v *vendor, change func(*Config)) *rig {
	v.accepted = map[string]int{}
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	core, logs := observer.New(zap.DebugLevel)
	obs := observe.NewRegistry(prometheus.NewRegistry()).Pipeline("p")
	r := &rig{t: t, vendor: v, obs: obs, logs: logs, ended: make(chan error, 1), began: time.Now()}
	r.border = &border{marked: map[*record.Record]bool{}, standing: map[string]bool{}, outcomes: map[string]record.Outcome{}, at: map[string]time.Time{}}
	r.assign()
	r.lanes = NewDispatcher(op, cfg, r.border, r.border, obs, zap.New(core))
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.lanes.Run(ctx) }()
	return r
}

// start is a rig around a plain vendor.
func start(t *testing.T, s script, change func(*Config)) *rig {
	v := &vendor{script: s}
	return newRig(t, v, v, change)
}

// assign starts a new assignment for the records to come.
func (r *rig) assign() *offset.Tracker {
	r.tracker = offset.NewTracker([16]byte{1}, int64(r.n), nil)
	return r.tracker
}

func id(n int) string { return fmt.Sprintf("t-0-%d", n) }

func (r *rig) record(change func(*Delivery)) Delivery {
	rec := &record.Record{
		Raw:    &kgo.Record{Value: make([]byte, 100)},
		Origin: sink.Origin{Topic: "t", Offset: int64(r.n), Timestamp: time.Now()},
	}
	r.tracker.Track(&rec.Entry, int64(r.n), 0, time.Now())
	j := Delivery{Record: rec, Item: sink.Item{ID: id(r.n), Body: make([]byte, 100)}}
	r.n++
	if change != nil {
		change(&j)
	}
	return j
}

func (r *rig) dispatch(n int, change func(*Delivery)) []*record.Record {
	var out []*record.Record
	for range n {
		j := r.record(change)
		out = append(out, j.Record)
		r.lanes.Dispatch(j)
	}
	return out
}

// finish closes the lanes and awaits their end; every record must have ended.
func (r *rig) finish() {
	r.t.Helper()
	r.lanes.Close()
	if err := <-r.ended; err != nil {
		r.t.Fatalf("Run: %v", err)
	}
	r.cancel()
	<-r.tracker.Idle()
	r.balance()
}

// kill is the hard stop.
func (r *rig) kill() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; !errors.Is(err, context.Canceled) {
		r.t.Errorf("Run: %v", err)
	}
	<-r.tracker.Idle()
	r.balance()
}

// balance: each record dispatched has one outcome or was counted as dropped.
func (r *rig) balance() {
	r.t.Helper()
	r.border.mu.Lock()
	defer r.border.mu.Unlock()
	if ended := len(r.border.outcomes) + r.border.dropped + int(r.obs.Snapshot().Dropped); ended != r.n {
		r.t.Errorf("%d records were dispatched, %d have an outcome or were dropped", r.n, ended)
	}
}

// kinds counts the outcomes by kind and cause.
func (r *rig) kinds() map[string]int {
	r.border.mu.Lock()
	defer r.border.mu.Unlock()
	out := map[string]int{}
	for _, o := range r.border.outcomes {
		name := o.Disposition.String()
		if o.Disposition != record.DispositionDelivered {
			name += " " + string(o.Cause)
		}
		out[name]++
	}
	return out
}

func (r *rig) wantKinds(want map[string]int) {
	r.t.Helper()
	got := r.kinds()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Fatalf("outcomes %v, want %v", got, want)
	}
}

func (r *rig) wantSizes(want ...int) {
	r.t.Helper()
	if got := r.vendor.sizes(); !slices.Equal(got, want) {
		r.t.Fatalf("calls of %v items, want %v", got, want)
	}
}

// logged are the messages with their reason, in order.
func (r *rig) logged() []string {
	var out []string
	for _, e := range r.logs.All() {
		out = append(out, fmt.Sprintf("%s: %v", e.Message, e.ContextMap()["reason"]))
	}
	return out
}

func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// held is why the operation is held, as its status says; empty where it is not.
func (r *rig) held() string {
	for _, o := range r.obs.Snapshot().Operations {
		if o.Hold != nil {
			return string(o.Hold.Reason)
		}
	}
	return ""
}
