// Package deliver sends records to a vendor. It collects items into batches, waits until the gate
// admits a call, makes the call, looks the response up in the outcome table, and passes the outcome
// of each record to the Settler.
//
// A pipeline has one Dispatcher for each operation, which distributes deliveries over lanes. A lane
// is one goroutine with at most one call in flight:
//
//   - lane takes deliveries from its inbox, decides what to do next and waits;
//   - backlog is what the lane has: the batch queue, the batches in progress, and the
//     quarantine of the flood guard;
//   - callAttempt makes one call: it selects the items, logs their intents, sends them and applies
//     the verdict;
//   - resolver turns the rulings of the outcome table into outcomes.
//
// The lanes of an operation share the gate. What a response means is decided only in table.go.
//
// Each dispatched delivery ends in exactly one of two ways: the Settler gets one outcome for it, or
// its record is released without being settled, because its assignment or the process ends.
package deliver

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sluice/internal/guard"
	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// IntentLog commits send intents, so that it is known after a crash which records may have been
// sent. It is used if an operation is not repeatable, and where order is kept.
type IntentLog interface {
	// LogIntent commits that these records may have been sent. It is called before their call
	// starts, and returns when the broker has confirmed the commit for each record whose assignment
	// has not ended. The error is the context's.
	LogIntent(workCtx context.Context, intents []record.Intent) error
	// ClearIntent withdraws intents, because the vendor did not act on the call. With Resend, it
	// restores the intent of the earlier call. The caller may reuse the slices of both methods.
	ClearIntent(intents []record.Intent)
}

// Settler settles records by their outcomes.
type Settler interface {
	// Settle returns when each record is settled. It fails only with the context's error, after
	// releasing the records that are not settled. The caller may then reuse the slice.
	Settle(workCtx context.Context, outcomes []record.Outcome) error
}

// operation is what the lanes of a Dispatcher share.
type operation struct {
	sink.Operation
	cfg     Config
	policy  policy
	gate    *gate
	intents IntentLog
	settler Settler
	obs     *observe.Pipeline
}

func newOperation(
	op sink.Operation, cfg Config, gate *gate, intents IntentLog, settler Settler, obs *observe.Pipeline,
) *operation {
	_, refreshable := op.(sink.TokenRefresher)
	return &operation{
		Operation: op, cfg: cfg, gate: gate, intents: intents, settler: settler, obs: obs,
		policy: policy{
			repeatable: op.Spec().Repeatable, tokenRefreshable: refreshable,
			unknownPolicy: cfg.UnknownPolicy, maxResends: cfg.MaxResends,
			retryDelays: cfg.RetryDelays, maxAge: cfg.MaxAge, retryInPlace: cfg.RetryInPlace,
		},
	}
}

// Dispatcher hands the deliveries of one operation of one pipeline to its lanes.
type Dispatcher struct {
	op       *operation
	lanes    []*lane
	hashSeed maphash.Seed
	nextLane atomic.Uint64 // for round-robin
}

// NewDispatcher creates the lanes; Run starts them.
func NewDispatcher(
	op sink.Operation, cfg Config, intents IntentLog, settler Settler, obs *observe.Pipeline, log *zap.Logger,
) *Dispatcher {
	cfg = cfg.withDefaults(op.Spec())
	shared := newOperation(op, cfg, newGate(cfg, obs, log), intents, settler, obs)
	d := &Dispatcher{op: shared, hashSeed: maphash.MakeSeed()}
	for id := range cfg.Concurrency {
		d.lanes = append(d.lanes, newLane(id, shared))
	}
	cfg.Guard.Subscribe(func(status guard.Status) {
		shared.gate.setFlood(status.Tripped)
		for _, lane := range d.lanes {
			lane.inbox.notify() // an idle lane must also check its quarantine
		}
	})
	return d
}

// Run runs the lanes. It returns nil once the Dispatcher is closed and every lane is empty. If
// workCtx ends, calls in flight are canceled, records that are not settled are released, and the
// error is the context's.
func (d *Dispatcher) Run(workCtx context.Context) error {
	var lanes sync.WaitGroup
	for _, lane := range d.lanes {
		lanes.Go(func() { lane.run(workCtx) })
	}
	lanes.Wait()
	if err := workCtx.Err(); err != nil {
		return fmt.Errorf("delivering %s: %w", d.op.cfg.OperationName, err)
	}
	return nil
}

// Dispatch passes a delivery to its lane: the lane of its order key or else of its entity key,
// otherwise the next lane in turn. It never blocks. A delivery is released if its assignment is
// ending, or if Close was called or Run has ended.
func (d *Dispatcher) Dispatch(delivery Delivery) {
	if !d.lanes[d.laneFor(&delivery)].inbox.put(delivery) {
		delivery.Record.Release()
		d.op.obs.RecordsReleased(1)
	}
}

func (d *Dispatcher) laneFor(delivery *Delivery) uint64 {
	lanes := uint64(len(d.lanes))
	switch {
	case lanes == 1:
		return 0
	case delivery.OrderKey != nil:
		return maphash.Bytes(d.hashSeed, delivery.OrderKey) % lanes
	case delivery.Item.EntityKey != "":
		return maphash.String(d.hashSeed, delivery.Item.EntityKey) % lanes
	}
	return d.nextLane.Add(1) % lanes
}

// NotifyDraining makes every lane check which of its records belong to an ending assignment. Call
// it after an assignment started to drain or was fenced.
func (d *Dispatcher) NotifyDraining() {
	for _, lane := range d.lanes {
		lane.inbox.notifyDraining()
	}
}

// Close declares that no more deliveries will follow, which ends the linger of waiting items.
func (d *Dispatcher) Close() {
	for _, lane := range d.lanes {
		lane.inbox.close()
	}
}

// ProbeNow allows a held operation its next probe immediately.
func (d *Dispatcher) ProbeNow() { d.op.gate.probeNow(time.Now()) }
