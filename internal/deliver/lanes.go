// Package deliver brings items to a vendor: it gathers them into batches, asks the gate whether a call may start, makes the call, looks the answer up
// in the outcome table and hands each record's outcome on.
//
// A pipeline has a Lanes for each operation. A lane is one goroutine with one request in flight; its turn is in lane.go, a call
// in call.go, what follows from the answer in apply.go, the guard's holds in flood.go, the end of assignments in drain.go. What the lanes of an operation share is the gate. What an answer means stands in table.go and nowhere else.
//
// Each job that is dispatched ends in exactly one of two ways: one outcome for it is given to the Settler, or its record is dropped, unsettled, because
// its assignment or the process ends.
package deliver

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sluice/internal/guard"
	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// Delivery is one record with the item that the vendor will see.
type Delivery struct {
	Record *record.Record
	Item   sink.Item
	// OrderKey is the order key, nil where the record is unordered: no later record of a key is sent before the earlier one has ended.
	OrderKey []byte
}

// IntentLog commits what is about to be sent, so that after a crash it is known which records may have been. It is used where an operation is not repeatable, or order is kept.
type IntentLog interface {
	// LogIntent commits that these records may have been sent, before the call starts; it returns when the broker has confirmed it for each record whose
	// assignment still stands. The error is ctx's.
	LogIntent(ctx context.Context, records []*record.Record) error
	// ClearIntent takes it back: the vendor did not act.
	ClearIntent(records []*record.Record)
}

// Settler makes outcomes lasting.
type Settler interface {
	// Settle returns when each outcome is settled, and calls Record.Done for each. The error comes only when ctx ended; the records then stay
	// unsettled and were dropped by the settler. The slice is the caller's again when it returns.
	Settle(ctx context.Context, outcomes []record.Outcome) error
}

// Config is one operation of one pipeline.
type Config struct {
	// OperationName is the full name, such as "crmcom.purchases".
	OperationName string
	// Concurrency is the number of lanes; 0: 1.
	Concurrency int
	// MaxItems (0: the operation's default, never more than the vendor's cap) and MaxBytes (0: 1 MiB) bound a call, Linger the time that an item waits for others.
	MaxItems int
	MaxBytes int
	Linger   time.Duration
	// Timeout bounds one call; 0: 1 m.
	Timeout time.Duration
	// UnknownPolicy is what is done with a record of unknown outcome, at most Resends times with UnknownRetry. Not used where the operation is repeatable.
	UnknownPolicy sink.UnknownPolicy
	MaxResends    int
	// RetryDelays are the retry tiers, ascending. A record older than MaxAge goes to none of them (0: no bound).
	RetryDelays []time.Duration
	MaxAge      time.Duration
	// RetryInPlace has a record wait in its lane for the delays, instead of in a tier.
	RetryInPlace bool
	Breaker      BreakerConfig
	// Limiter bounds the account's calls; nil: none. It may be shared by operations.
	Limiter *rate.Limiter
	// RetryAfterCap bounds a wait that the vendor asks for; 0: 15 m.
	RetryAfterCap time.Duration
	// Backoff bounds the waits after a failure; zero: 500 ms to 30 s.
	Backoff Backoff
	// HoldProbe bounds the waits between the probes of a held operation; zero: 5 s to 5 m.
	HoldProbe Backoff
	// Guard is asked before anything that was refused is retried or given up; nil: none. The operations of a pipeline share it.
	Guard *guard.Guard
	// Rand is where jitter comes from; nil: a source of its own.
	Rand rand.Source
}

func (c Config) withDefaults(spec sink.OperationSpec) Config {
	c.Concurrency = max(1, c.Concurrency)
	c.MaxItems = cmp.Or(c.MaxItems, spec.DefaultItems, spec.MaxItems, 1)
	if spec.MaxItems > 0 {
		c.MaxItems = min(c.MaxItems, spec.MaxItems)
	}
	c.MaxBytes = cmp.Or(c.MaxBytes, 1<<20)
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.Breaker.Failures = cmp.Or(c.Breaker.Failures, 5)
	c.Breaker.Ratio = cmp.Or(c.Breaker.Ratio, 0.5)
	c.Breaker.Window = cmp.Or(c.Breaker.Window, 30*time.Second)
	c.Breaker.OpenFor = cmp.Or(c.Breaker.OpenFor, 15*time.Second)
	c.RetryAfterCap = cmp.Or(c.RetryAfterCap, 15*time.Minute)
	c.Backoff = cmp.Or(c.Backoff, Backoff{Min: 500 * time.Millisecond, Max: 30 * time.Second})
	c.HoldProbe = cmp.Or(c.HoldProbe, Backoff{Min: 5 * time.Second, Max: 5 * time.Minute})
	if c.Rand == nil {
		c.Rand = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	return c
}

// Dispatcher deliver the jobs of one operation of one pipeline.
type Dispatcher struct {
	name  string
	gate  *gate
	lanes []*lane
	seed  maphash.Seed
	turn  atomic.Uint64 // of the round robin
}

// NewDispatcher makes the lanes; Run starts them.
func NewDispatcher(op sink.Operation, cfg Config, ann IntentLog, settler Settler, obs *observe.Pipeline, log *zap.Logger) *Dispatcher {
	cfg = cfg.withDefaults(op.Spec())
	l := &Dispatcher{name: cfg.OperationName, gate: newGate(cfg, obs, log), seed: maphash.MakeSeed()}
	for id := range cfg.Concurrency {
		l.lanes = append(l.lanes, newLane(id, op, cfg, l.gate, ann, settler, obs))
	}
	cfg.Guard.Subscribe(func(s guard.Status) {
		l.gate.setFlood(s.Tripped)
		for _, lane := range l.lanes {
			lane.inbox.ring() // one that waits for nothing else looks at what it holds
		}
	})
	return l
}

// Run serves the lanes. It returns nil after Close, when every lane is empty. The end of ctx is the hard stop: calls are cut, what is held is dropped
// unsettled, and the error is ctx's.
func (l *Dispatcher) Run(ctx context.Context) error {
	var lanes sync.WaitGroup
	for _, lane := range l.lanes {
		lanes.Go(func() { lane.run(ctx) })
	}
	lanes.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delivering %s: %w", l.name, err)
	}
	return nil
}

// Dispatch hands a job to its lane: that of its key, else of its entity, else the next in turn. It never blocks. A job whose assignment is ending, or
// that comes after Close or Run's end, is dropped.
func (l *Dispatcher) Dispatch(j Delivery) {
	if !l.lanes[l.laneFor(j)].inbox.put(j) {
		j.Record.Release()
		l.gate.obs.RecordsReleased(1)
	}
}

func (l *Dispatcher) laneFor(j Delivery) uint64 {
	n := uint64(len(l.lanes))
	switch {
	case n == 1:
		return 0
	case j.OrderKey != nil:
		return maphash.Bytes(l.seed, j.OrderKey) % n
	case j.Item.EntityKey != "":
		return maphash.String(l.seed, j.Item.EntityKey) % n
	}
	return l.turn.Add(1) % n
}

// NotifyDraining has every lane look at its records' Draining. Call it after an assignment was set to drain, or was fenced.
func (l *Dispatcher) NotifyDraining() {
	for _, lane := range l.lanes {
		lane.inbox.flush()
	}
}

// Close says that no more jobs come. What waits is no longer gathered.
func (l *Dispatcher) Close() {
	for _, lane := range l.lanes {
		lane.inbox.close()
	}
}

// ProbeNow has a held operation tried at once.
func (l *Dispatcher) ProbeNow() { l.gate.probeNow(time.Now()) }
