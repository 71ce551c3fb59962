package crmcom

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
)

var writers sync.Pool // of *writer

// Encode makes the item of an event, a pointer to the type that Spec names. It needs nothing from the vendor.
func (o *operation) Encode(_ context.Context, ev any, origin sink.Origin) (sink.Item, error) {
	w, ok := writers.Get().(*writer)
	if !ok {
		w = new(writer)
	}
	defer writers.Put(w)
	*w = writer{settings: &o.account.settings, buf: append(w.buf[:0], '{'), origin: origin.ID(), faults: nil}
	w.text("request_unique_identifier", w.origin)
	if !o.encode(w, ev) {
		w.fault("event", fmt.Sprintf("must be a %s, is a %T", o.spec.Event, ev))
	}
	w.buf = append(w.buf, '}')
	if w.faults != nil {
		return sink.Item{}, &sink.ValidationError{Violations: w.faults}
	}
	return sink.Item{ID: w.origin, Body: slices.Clone(w.buf), EnvelopeKey: w.group}, nil
}

// encoderOf makes an encoder of events of type E one of any event; false where the event is of another type.
func encoderOf[E any](encode func(*writer, *E)) func(*writer, any) bool {
	return func(w *writer, ev any) bool {
		e, ok := ev.(*E)
		if ok && e != nil {
			encode(w, e)
		}
		return ok && e != nil
	}
}

func (w *writer) performed(unit event.UnitIdentifier, on time.Time, description *string) {
	w.unit(unit)
	w.date("performed_on", on)
	w.optionalText("description", description)
}

// external writes where the event comes from, so that a booking that was made twice can be found. The vendor is not known to refuse
// a reference number that it has seen.
func (w *writer) external(system, reference, eventID *string) {
	if system == nil || *system == "" {
		system = &w.externalSystem
	}
	w.text("external_system", *system)
	const name = "external_system_reference_number"
	if w.release < r10_1 {
		if reference != nil {
			w.from(r10_1, name)
		}
		return
	}
	for _, own := range [...]*string{reference, eventID, &w.origin} {
		if own != nil && *own != "" {
			w.text(name, *own)
			return
		}
	}
}

var (
	udfStringNames = [...]string{
		"udf_string_1", "udf_string_2", "udf_string_3", "udf_string_4", "udf_string_5", "udf_string_6", "udf_string_7", "udf_string_8",
		"udf_string_9", "udf_string_10", "udf_string_11", "udf_string_12", "udf_string_13", "udf_string_14", "udf_string_15", "udf_string_16",
	}
	udfFloatNames = [...]string{"udf_float_1", "udf_float_2", "udf_float_3", "udf_float_4"}
	udfDateNames  = [...]string{"udf_date_1", "udf_date_2", "udf_date_3", "udf_date_4"}
)

// udfStringsFirst is how many user-defined strings every release takes.
const udfStringsFirst = 8

func (w *writer) udfStrings(values ...*string) {
	for i, v := range values {
		if v == nil {
			continue
		}
		if i >= udfStringsFirst {
			w.from(r10_1, udfStringNames[i])
		}
		w.text(udfStringNames[i], *v)
	}
}

func (w *writer) udfFloats(values ...*float64) {
	for i, v := range values {
		w.optionalFloat(udfFloatNames[i], v)
	}
}

func (w *writer) udfDates(values ...*time.Time) {
	for i, v := range values {
		w.optionalDate(udfDateNames[i], v)
	}
}
