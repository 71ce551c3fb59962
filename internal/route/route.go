// Package route finds each record's operation by its Avro name, has the vendor's item encoded, once, and hands it to the operation's lanes.
//
// A record that cannot go on is settled aside, so that nobody who reads waits for a write: dead-lettered or skipped with its cause. What is not
// the record's fault (the registry is down, a vendor's catalogue is not to be had) is waited for in place.
package route

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.uber.org/zap"

	"sluice/internal/decode"
	"sluice/internal/deliver"
	"sluice/internal/event"
	"sluice/internal/guard"
	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// Decoder gives the event of a record's value; its errors are those of package decode.
type Decoder interface {
	Decode(ctx context.Context, topic string, value []byte) (decode.DecodedEvent, error)
}

// Dispatcher take the items of one operation.
type Dispatcher interface {
	Dispatch(deliver.Delivery)
	NotifyDraining()
}

// Settler settles outcomes; Flush says that an assignment is ending.
type Settler interface {
	Settle(ctx context.Context, outcomes []record.Outcome) error
	NotifyDraining()
}

// Target is where the records of one event go.
type Target struct {
	// OperationName is the operation's full name, such as "crmcom.purchases".
	OperationName string
	Operation     sink.Operation
	Dispatcher    Dispatcher
}

// Config is what a pipeline's router does with records that name no operation.
type Config struct {
	// SkipUnmapped and SkipTombstones skip such records instead of dead-lettering them.
	SkipUnmapped   bool
	SkipTombstones bool
	// UnknownIDWait is how long a schema id that the registry does not know is waited for.
	UnknownIDWait time.Duration
	// KeepKeyOrder keeps the order of each key: a record whose schema id is not known yet is then waited for in place, with all behind it.
	KeepKeyOrder bool
	// Guard is told of each record that goes on or is refused here; while it is tripped nothing is dead-lettered here. nil: none.
	Guard *guard.Guard
	// Events are the types of the targets' events; default event.BuiltinTypes.
	Events event.Types
}

// Router routes the records of one pipeline. Handle may be called by several goroutines.
type Router struct {
	cfg     Config
	decoder Decoder
	targets map[reflect.Type]Target
	settler Settler
	obs     *observe.Pipeline
	aside   *aside
	holds   *holds
	flushed notify.Broadcaster
}

// NewRouter makes a router for targets, one for each event.
func NewRouter(cfg Config, decoder Decoder, targets []Target, settler Settler, obs *observe.Pipeline, log *zap.Logger) (*Router, error) {
	r := &Router{
		cfg: cfg, decoder: decoder, targets: map[reflect.Type]Target{}, settler: settler, obs: obs,
		aside: newAside(), holds: &holds{obs: obs, log: log, reasons: map[any]observe.HoldReason{}},
	}
	events := cfg.Events
	if events == nil {
		events = event.BuiltinTypes()
	}
	for _, t := range targets {
		fresh, ok := events.NewEvent(t.Operation.Spec().Event)
		if !ok {
			return nil, fmt.Errorf("operation %s: there is no event %s", t.OperationName, t.Operation.Spec().Event)
		}
		if other, twice := r.targets[reflect.TypeOf(fresh)]; twice {
			return nil, fmt.Errorf("event %s goes to %s and to %s: one operation an event is allowed", t.Operation.Spec().Event, other.OperationName, t.OperationName)
		}
		r.targets[reflect.TypeOf(fresh)] = t
	}
	cfg.Guard.Subscribe(func(s guard.Status) {
		r.holds.flood(s.Tripped)
		notify.TrySignal(r.aside.wake)
	})
	return r, nil
}

// NotifyDraining tells everybody who waits, here and in the lanes, to look at their records' Draining.
func (r *Router) NotifyDraining() {
	r.flushed.Notify()
	notify.TrySignal(r.aside.wake)
	r.settler.NotifyDraining()
	for _, t := range r.targets {
		t.Dispatcher.NotifyDraining()
	}
}

// Handle takes records on, in their order. It blocks while something is awaited that is not a record's fault.
func (r *Router) Handle(ctx context.Context, records []*record.Record) {
	for i := range records {
		if records[i] != nil {
			r.handle(ctx, records[i:])
		}
	}
}

// handle takes the first record on; where it waits and assignments end meanwhile, it lets go of all their records.
func (r *Router) handle(ctx context.Context, rest []*record.Record) {
	rec := rest[0]
	var began time.Time
	for attempt := 0; rest[0] != nil; attempt++ {
		flushed := r.flushed.Next()
		w := r.try(ctx, rec, began)
		if w.reason == unknownID && began.IsZero() {
			began = time.Now()
		}
		if w.reason == unknownID && !r.cfg.KeepKeyOrder {
			r.aside.wait(waiting{rec, began})
			w = wait{}
		}
		if w.reason == "" {
			break
		}
		if ctx.Err() == nil {
			r.holds.state(rec, w)
			r.lookAhead(ctx, w.err, rest[1:])
			r.pause(ctx, attempt, flushed)
		}
		dropEnding(ctx, rest, r.obs)
	}
	r.holds.state(rec, wait{})
}

func (r *Router) pause(ctx context.Context, attempt int, flushed <-chan struct{}) {
	t := time.NewTimer(min(250*time.Millisecond<<min(attempt, 6), 10*time.Second))
	defer t.Stop()
	select {
	case <-t.C:
	case <-flushed:
	case <-ctx.Done():
	}
}

// dropEnding lets go of the records that nobody may wait with any more.
func dropEnding(ctx context.Context, rest []*record.Record, obs *observe.Pipeline) {
	for i, rec := range rest {
		if rec != nil && dropIfEnding(ctx, rec, obs) {
			rest[i] = nil
		}
	}
}

func dropIfEnding(ctx context.Context, rec *record.Record, obs *observe.Pipeline) bool {
	_, draining := rec.Draining()
	if !draining && ctx.Err() == nil {
		return false
	}
	rec.Release()
	obs.RecordsReleased(1)
	return true
}

// try takes a record on, or says what it has to wait for. The wait for its schema id began at that time; zero: it has not.
func (r *Router) try(ctx context.Context, rec *record.Record, began time.Time) wait {
	if rec.Raw.Value == nil {
		r.refuse(rec, "", tombstone(r.cfg.SkipTombstones))
		return wait{}
	}
	decoded, err := r.decoder.Decode(ctx, rec.Raw.Topic, rec.Raw.Value)
	if err != nil {
		return r.undecoded(rec, began, err)
	}
	target, ok := r.targets[reflect.TypeOf(decoded.Event)]
	if !ok {
		r.refuse(rec, "", unmapped(r.cfg.SkipUnmapped, &decode.UnmappedError{Name: decoded.Name}))
		return wait{}
	}
	return r.encode(ctx, rec, target, decoded.Event)
}

// The reasons of a wait, besides the classes of an *sink.Unready. With no order to keep, a record of an unknown schema id waits aside, so that those
// behind it go on.
const (
	noRegistry = observe.HoldRegistry
	unknownID  = observe.HoldUnknownSchemaID
)

func (r *Router) undecoded(rec *record.Record, began time.Time, err error) wait {
	var poison *decode.PoisonError
	var nameless *decode.UnmappedError
	var unknown *decode.UnknownSchemaError
	switch {
	case errors.As(err, &poison):
		r.refuse(rec, "", refusal{record.DispositionDead, record.CausePoison, record.StageDecode, poison.Error()})
	case errors.As(err, &nameless):
		r.refuse(rec, "", unmapped(r.cfg.SkipUnmapped, nameless))
	case errors.As(err, &unknown):
		return r.unknown(rec, began, unknown)
	default:
		return wait{noRegistry, err}
	}
	return wait{}
}

// unknown waits, or refuses a record that has waited itself for long enough, or whose id others have waited for: many ids push each other out of the
// decoder's memory.
func (r *Router) unknown(rec *record.Record, began time.Time, e *decode.UnknownSchemaError) wait {
	since := e.FirstSeen
	if !began.IsZero() && began.Before(since) {
		since = began
		if since.Before(e.TrustedSince) {
			since = e.TrustedSince
		}
	}
	switch {
	case !e.EverResolved:
		return wait{noRegistry, fmt.Errorf("no id that was asked for is known, so this may be the wrong registry: %w", e)}
	case time.Since(since) >= r.cfg.UnknownIDWait:
		r.refuse(rec, "", refusal{record.DispositionDead, record.CausePoison, record.StageDecode, e.Error()})
		return wait{}
	default:
		return wait{unknownID, e}
	}
}

func (r *Router) encode(ctx context.Context, rec *record.Record, t Target, e any) wait {
	item, err := t.Operation.Encode(ctx, e, rec.Origin)
	var invalid *sink.ValidationError
	var unready *sink.DependencyError
	switch {
	case err == nil:
		r.passed(rec, t.OperationName)
		t.Dispatcher.Dispatch(deliver.Delivery{Record: rec, Item: item, OrderKey: r.orderKey(rec)})
	case errors.As(err, &invalid):
		r.refuse(rec, t.OperationName, refusal{record.DispositionDead, record.CauseInvalid, record.StageRoute, invalid.Error()})
	case errors.As(err, &unready):
		return wait{holdReasonFor(unready.Response.Class), err}
	case ctx.Err() != nil:
		return wait{"stopping", err}
	default:
		r.refuse(rec, t.OperationName, refusal{record.DispositionDead, record.CauseInvalid, record.StageRoute, err.Error()})
	}
	return wait{}
}

// holdReasonFor gives the reason to wait for what a record needs before it can be encoded, by the
// class of what came back.
func holdReasonFor(class sink.ResultClass) observe.HoldReason {
	switch class {
	case sink.Unauthorized:
		return observe.HoldUnauthorized
	case sink.Throttled:
		return observe.HoldThrottled
	case sink.Unavailable, sink.Unknown:
		return observe.HoldUnavailable
	case sink.Misconfigured, sink.Delivered, sink.Rejected, sink.Retryable, sink.TooLarge:
		return observe.HoldMisconfigured
	}
	return observe.HoldMisconfigured
}

// refusal is why a record does not go on.
type refusal struct {
	kind   record.Disposition
	cause  record.Cause
	stage  record.Stage
	reason string
}

func tombstone(skip bool) refusal {
	return refusal{deadUnless(skip), record.CauseTombstone, record.StageRoute, "the record has no value"}
}

func unmapped(skip bool, e *decode.UnmappedError) refusal {
	return refusal{deadUnless(skip), record.CauseUnmapped, record.StageRoute, e.Error()}
}

func deadUnless(skip bool) record.Disposition {
	if skip {
		return record.DispositionSkipped
	}
	return record.DispositionDead
}

func (r *Router) refuse(rec *record.Record, operation string, why refusal) {
	o := record.Outcome{
		Record: rec, OperationName: operation, Disposition: why.kind, Cause: why.cause, Stage: why.stage, Reason: why.reason, Attempt: rec.Attempt + 1,
	}
	r.count(o)
	r.aside.settle(o)
}

// orderKey is nil where no order is kept; a null key has none to keep.
func (r *Router) orderKey(rec *record.Record) []byte {
	if !r.cfg.KeepKeyOrder {
		return nil
	}
	return rec.Raw.Key
}
