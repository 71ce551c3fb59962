package crmcom

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"sluice/internal/sink"
)

var encoders sync.Pool // of *encoder

// Encode returns the item for an event, which is a pointer to the type of the spec's event. It
// needs nothing from the vendor, so its only error is a *sink.ValidationError.
func (o *operation) Encode(_ context.Context, payload any, origin sink.Origin) (sink.Item, error) {
	e, ok := encoders.Get().(*encoder)
	if !ok {
		e = new(encoder)
	}
	defer encoders.Put(e)
	e.Reset()
	e.settings, e.origin, e.envelopeKey = &o.account.settings, origin.ID(), ""
	e.BeginObject("")
	e.Text("request_unique_identifier", e.origin)
	if !o.encode(e, payload) {
		e.AddViolation("event", fmt.Sprintf("must be a %s, is a %T", o.spec.Event, payload))
	}
	e.EndObject()
	if err := e.Err(); err != nil {
		return sink.Item{}, err
	}
	return sink.Item{ID: e.origin, Body: slices.Clone(e.Bytes()), EnvelopeKey: e.envelopeKey}, nil
}

// encodeAny adapts an encode function for events of type E to accept any event. The adapted
// function returns false for an event of another type.
func encodeAny[E any](encode func(*encoder, *E)) func(*encoder, any) bool {
	return func(e *encoder, payload any) bool {
		typed, ok := payload.(*E)
		if !ok || typed == nil {
			return false
		}
		encode(e, typed)
		return true
	}
}
