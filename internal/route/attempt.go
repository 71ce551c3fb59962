package route

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"sluice/internal/decode"
	"sluice/internal/deliver"
	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// routeRecord dispatches or rejects a record, or returns the obstacle that it has to wait for.
// unknownSince is when its schema ID was first found to be unknown, or zero if it was not.
func (r *Router) routeRecord(ctx context.Context, rec *record.Record, unknownSince time.Time) obstacle {
	if rec.Raw.Value == nil {
		r.rejectRecord(rec, "", tombstoneRejection(r.cfg.SkipTombstones))
		return obstacle{}
	}
	decoded, err := r.decoder.Decode(ctx, rec.Raw.Topic, rec.Raw.Value)
	if err != nil {
		return r.handleDecodeError(rec, unknownSince, err)
	}
	target, ok := r.targets[reflect.TypeOf(decoded.Event)]
	if !ok {
		r.rejectRecord(rec, "", unmappedRejection(r.cfg.SkipUnmapped, &decode.UnmappedError{Name: decoded.Name}))
		return obstacle{}
	}
	return r.encodeAndDispatch(ctx, rec, target, decoded.Event)
}

func (r *Router) handleDecodeError(rec *record.Record, unknownSince time.Time, err error) obstacle {
	var poison *decode.PoisonError
	var unmapped *decode.UnmappedError
	var unknown *decode.UnknownSchemaError
	switch {
	case errors.As(err, &poison):
		r.rejectRecord(rec, "", poisonRejection(poison))
	case errors.As(err, &unmapped):
		r.rejectRecord(rec, "", unmappedRejection(r.cfg.SkipUnmapped, unmapped))
	case errors.As(err, &unknown):
		return r.handleUnknownID(rec, unknownSince, unknown)
	default:
		return obstacle{observe.HoldRegistry, err}
	}
	return obstacle{}
}

// handleUnknownID rejects a record whose schema ID has been unknown for UnknownIDWait. Otherwise it
// returns the obstacle to wait for. The record's own wait counts as well as the decoder's, because
// a decoder that meets many unknown IDs forgets when it first saw one.
func (r *Router) handleUnknownID(
	rec *record.Record, unknownSince time.Time, err *decode.UnknownSchemaError,
) obstacle {
	since := err.FirstSeen
	if !unknownSince.IsZero() && unknownSince.Before(since) {
		since = unknownSince
		if since.Before(err.TrustedSince) {
			since = err.TrustedSince
		}
	}
	switch {
	case !err.EverResolved:
		return obstacle{observe.HoldRegistry, fmt.Errorf(
			"the registry knows none of the requested schema IDs and may be the wrong one: %w", err)}
	case time.Since(since) >= r.cfg.UnknownIDWait:
		r.rejectRecord(rec, "", poisonRejection(err))
		return obstacle{}
	default:
		return obstacle{observe.HoldUnknownSchemaID, err}
	}
}

func (r *Router) encodeAndDispatch(ctx context.Context, rec *record.Record, target Target, event any) obstacle {
	item, err := target.Operation.Encode(ctx, event, rec.Origin)
	var invalid *sink.ValidationError
	var dependency *sink.DependencyError
	switch {
	case err == nil:
		r.recordAccepted(rec, target.OperationName)
		target.Dispatcher.Dispatch(deliver.Delivery{Record: rec, Item: item, OrderKey: r.orderKey(rec)})
	case errors.As(err, &invalid):
		r.rejectRecord(rec, target.OperationName, invalidRejection(invalid))
	case errors.As(err, &dependency):
		return obstacle{holdReasonFor(dependency.Response.Class), err}
	case ctx.Err() != nil:
		return obstacle{err: err} // what the record would have waited for is not known
	default:
		r.rejectRecord(rec, target.OperationName, invalidRejection(err))
	}
	return obstacle{}
}

// orderKey returns the record's key if the order of keys is kept, and nil otherwise or if the key
// is null.
func (r *Router) orderKey(rec *record.Record) []byte {
	if !r.cfg.KeepKeyOrder {
		return nil
	}
	return rec.Raw.Key
}
