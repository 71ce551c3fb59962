// Package route finds the operation of each record by its Avro record name, encodes the record once
// as the vendor's item, and dispatches it to the operation's lanes.
//
// A record that cannot be dispatched is dead-lettered or skipped with its cause. Run settles such
// records, so that fetching does not wait for them. Handle waits if the record is not at fault, for
// example while the schema registry or a vendor's catalogue is unavailable.
package route

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"go.uber.org/zap"

	"sluice/internal/backoff"
	"sluice/internal/decode"
	"sluice/internal/deliver"
	"sluice/internal/event"
	"sluice/internal/guard"
	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// retryPolicy spaces the attempts to route a waiting record.
var retryPolicy = backoff.Policy{Min: 250 * time.Millisecond, Max: 10 * time.Second}

// Decoder decodes a record's value. Its errors are those of package decode.
type Decoder interface {
	Decode(ctx context.Context, topic string, value []byte) (decode.DecodedEvent, error)
}

// Dispatcher accepts the deliveries of one operation.
type Dispatcher interface {
	Dispatch(deliver.Delivery)
	NotifyDraining()
}

// Settler settles outcomes.
type Settler interface {
	Settle(ctx context.Context, outcomes []record.Outcome) error
	NotifyDraining()
}

// Target is the operation that the records of one event type are dispatched to.
type Target struct {
	// OperationName is the operation's full name, such as "crmcom.purchases".
	OperationName string
	Operation     sink.Operation
	Dispatcher    Dispatcher
}

// Config determines how a pipeline handles records that cannot be dispatched.
type Config struct {
	// SkipUnmapped and SkipTombstones make the router skip such records instead of dead-lettering
	// them.
	SkipUnmapped   bool
	SkipTombstones bool
	// UnknownIDWait is how long a record with an unknown schema ID waits before it is
	// dead-lettered.
	UnknownIDWait time.Duration
	// KeepKeyOrder keeps the records of each key in order. A record whose schema ID is unknown then
	// blocks all records behind it instead of being deferred.
	KeepKeyOrder bool
	// Guard is the flood guard for records that the router rejects. While it is tripped, the router
	// dead-letters no record. It may be nil.
	Guard *guard.Guard
	// Events are the types of the targets' events. The default is event.BuiltinTypes.
	Events event.Types
}

// Router routes the records of one pipeline. Handle is safe for concurrent use.
type Router struct {
	cfg      Config
	decoder  Decoder
	targets  map[reflect.Type]Target
	settler  Settler
	obs      *observe.Pipeline
	deferred *deferredQueue
	holds    *holdTracker
	draining notify.Broadcaster
}

// NewRouter returns a router for the targets. It is an error if two targets have the same event, or
// if the event of a target does not exist.
func NewRouter(
	cfg Config, decoder Decoder, targets []Target, settler Settler, obs *observe.Pipeline, log *zap.Logger,
) (*Router, error) {
	if cfg.Events == nil {
		cfg.Events = event.BuiltinTypes()
	}
	byType, err := targetsByType(cfg.Events, targets)
	if err != nil {
		return nil, err
	}
	r := &Router{
		cfg: cfg, decoder: decoder, targets: byType, settler: settler, obs: obs,
		deferred: newDeferredQueue(), holds: newHoldTracker(obs, log),
	}
	cfg.Guard.Subscribe(func(s guard.Status) {
		r.holds.setFlood(s.Tripped)
		notify.TrySignal(r.deferred.wake)
	})
	return r, nil
}

func targetsByType(events event.Types, targets []Target) (map[reflect.Type]Target, error) {
	byType := map[reflect.Type]Target{}
	for _, target := range targets {
		name := target.Operation.Spec().Event
		empty, ok := events.NewEvent(name)
		if !ok {
			return nil, fmt.Errorf("operation %s: there is no event %s", target.OperationName, name)
		}
		eventType := reflect.TypeOf(empty)
		if other, exists := byType[eventType]; exists {
			return nil, fmt.Errorf("event %s has the operations %s and %s: only one operation per event is allowed",
				name, other.OperationName, target.OperationName)
		}
		byType[eventType] = target
	}
	return byType, nil
}

// NotifyDraining makes the router, its settler and the lanes check whether assignments of the
// records that they hold back are ending.
func (r *Router) NotifyDraining() {
	r.draining.Notify()
	notify.TrySignal(r.deferred.wake)
	r.settler.NotifyDraining()
	for _, t := range r.targets {
		t.Dispatcher.NotifyDraining()
	}
}

// Handle routes records in order; nil records are ignored. It blocks while a record waits for
// something that is not its fault. When it returns, each record has been dispatched, handed to Run,
// or released because its assignment is ending or ctx has ended.
func (r *Router) Handle(ctx context.Context, records []*record.Record) {
	for i := range records {
		if records[i] != nil {
			r.handleFirst(ctx, records[i:])
		}
	}
}

// handleFirst routes the first of the pending records. While it waits, it releases all pending
// records whose assignments are ending and sets them to nil.
func (r *Router) handleFirst(ctx context.Context, pending []*record.Record) {
	rec := pending[0]
	var unknownSince time.Time
	var retries backoff.Counter
	for pending[0] != nil {
		draining := r.draining.Next()
		met := r.routeRecord(ctx, rec, unknownSince)
		if met.reason == observe.HoldUnknownSchemaID && unknownSince.IsZero() {
			unknownSince = time.Now()
		}
		if met.reason == observe.HoldUnknownSchemaID && !r.cfg.KeepKeyOrder {
			r.deferred.addRecord(deferredRecord{rec, unknownSince})
			break
		}
		if !met.present() {
			break
		}
		if ctx.Err() == nil {
			r.holds.recordWait(rec, met)
			r.lookAhead(ctx, met.err, pending[1:])
			awaitRetry(ctx, retries.Next(retryPolicy), draining)
		}
		r.releaseEnding(ctx, pending)
	}
	r.holds.endWait(rec, pending[0] != nil)
}

// awaitRetry waits for the delay. It returns early if draining is closed or ctx ends.
func awaitRetry(ctx context.Context, delay time.Duration, draining <-chan struct{}) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-draining:
	case <-ctx.Done():
	}
}

// releaseEnding releases the pending records that must not wait any longer, and sets them to nil.
func (r *Router) releaseEnding(ctx context.Context, pending []*record.Record) {
	for i, rec := range pending {
		if rec != nil && r.releaseIfEnding(ctx, rec) {
			pending[i] = nil
		}
	}
}

// releaseIfEnding releases the record if its assignment is draining or ctx has ended, and reports
// whether it did.
func (r *Router) releaseIfEnding(ctx context.Context, rec *record.Record) bool {
	_, draining := rec.Draining()
	if !draining && ctx.Err() == nil {
		return false
	}
	rec.Release()
	r.obs.RecordsReleased(1)
	return true
}
