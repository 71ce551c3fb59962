// Package jsonwriter encodes events as the JSON of a vendor's API and validates them in the same
// pass.
//
// An encoder names each member once, in the order of the vendor's documentation, and the Writer
// does the rest: commas, exact numbers, strings as encoding/json writes them, and the path of every
// violation. An absent optional member is omitted from the JSON.
//
//	w := jsonwriter.New(512)
//	w.BeginObject("")
//	w.RequiredText("sourceId", e.SourceId)
//	w.OptionalText("email", e.Email)
//	jsonwriter.Objects(w, "addresses", e.Addresses, func(a *event.PropelAddress) {
//		w.OneOf("type", a.Type, "delivery", "invoice") // a violation's path is addresses[2].type
//		w.RequiredText("city", a.City)
//	})
//	w.EndObject()
//	if err := w.Err(); err != nil {
//		return sink.Item{}, err // a *sink.ValidationError with all violations
//	}
//	return sink.Item{Body: w.Bytes()}, nil
//
// A vendor's package writes what only that vendor needs with Key and Value.
package jsonwriter

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// Writer writes one JSON value and collects violations. It continues after a violation, so that one
// pass finds all of them, but its bytes must then be discarded. The zero Writer is ready to use. A
// Writer does not check that the sequence of calls produces well-formed JSON.
type Writer struct {
	buf        []byte
	path       []segment
	violations []sink.Violation
}

// segment is one step of the path to the object that is being written.
type segment struct {
	field string // empty if the object adds nothing to the path
	index int    // negative if the object is not an element of an array
}

// New returns a Writer with an initial capacity in bytes.
func New(capacity int) *Writer { return &Writer{buf: make([]byte, 0, capacity)} }

// Reset discards what was written and all violations, and keeps the buffer for reuse.
func (w *Writer) Reset() {
	w.buf, w.path, w.violations = w.buf[:0], w.path[:0], nil
}

// Bytes returns what was written. The slice shares the Writer's memory and is valid only until
// Reset.
func (w *Writer) Bytes() []byte { return w.buf }

// Err returns a *sink.ValidationError with the violations in the order found, or nil.
func (w *Writer) Err() error {
	if len(w.violations) == 0 {
		return nil
	}
	return &sink.ValidationError{Violations: w.violations}
}

// Violations returns the violations in the order found.
func (w *Writer) Violations() []sink.Violation { return w.violations }

// AddViolations adds violations that were found elsewhere, with their paths unchanged.
func (w *Writer) AddViolations(found ...sink.Violation) {
	w.violations = append(w.violations, found...)
}

// AddViolation records that a field of the object being written breaks a rule. The rule describes
// what is allowed and must not repeat the value.
func (w *Writer) AddViolation(field, rule string) {
	var path strings.Builder
	for _, s := range w.path {
		if s.field == "" {
			continue
		}
		path.WriteString(s.field)
		if s.index >= 0 {
			path.WriteString("[" + strconv.Itoa(s.index) + "]")
		}
		path.WriteByte('.')
	}
	path.WriteString(field)
	w.violations = append(w.violations, sink.Violation{Path: path.String(), Rule: rule})
}

// BeginObject begins an object as the value of the last Key or as the whole value. The paths of
// violations in it include field, which is empty for an object that does not exist in the event.
func (w *Writer) BeginObject(field string) { w.beginObject(segment{field, -1}) }

// EndObject ends the innermost object.
func (w *Writer) EndObject() {
	w.path = w.path[:len(w.path)-1]
	w.buf = append(w.buf, '}')
}

// BeginArray begins a member that is an array, such as the items of a call, and does not end it.
// Objects writes a complete array of objects, and Value any other array.
func (w *Writer) BeginArray(name string) {
	w.Key(name)
	w.buf = append(w.buf, '[')
}

// Objects writes a member that is an array with one object per item. The function members writes
// the members of each object.
func Objects[T any](writer *Writer, name string, items []T, members func(item *T)) {
	writer.BeginArray(name)
	for i := range items {
		writer.beginObject(segment{name, i})
		members(&items[i])
		writer.EndObject()
	}
	writer.buf = append(writer.buf, ']')
}

// OptionalObjects is Objects for an array that is absent if items is nil.
func OptionalObjects[T any](writer *Writer, name string, items []T, members func(item *T)) {
	if items != nil {
		Objects(writer, name, items, members)
	}
}

// Key begins a member, whose value must be written next. The name is not escaped.
func (w *Writer) Key(name string) {
	w.buf = appendSeparator(w.buf)
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '"', ':')
}

// Value writes a member with the JSON that appendTo appends.
func (w *Writer) Value(name string, appendTo func([]byte) []byte) {
	w.Key(name)
	w.buf = appendTo(w.buf)
}

// Text writes a string. It reports invalid UTF-8 as a violation: Avro forbids it, but Avro
// libraries do not check that.
func (w *Writer) Text(name, text string) {
	if !utf8.ValidString(text) {
		w.AddViolation(name, "must be valid UTF-8")
	}
	w.Key(name)
	w.buf = AppendString(w.buf, text)
}

// OptionalText writes a string that may be absent.
func (w *Writer) OptionalText(name string, text *string) {
	if text != nil {
		w.Text(name, *text)
	}
}

// RequiredText writes a string that must not be empty.
func (w *Writer) RequiredText(name, text string) {
	if text == "" {
		w.AddViolation(name, "is mandatory")
	}
	w.Text(name, text)
}

// OneOf writes a string that must be one of those allowed.
func (w *Writer) OneOf(name, text string, allowed ...string) {
	if !slices.Contains(allowed, text) {
		rule := "must be one of "
		if len(allowed) == 1 {
			rule = "must be "
		}
		w.AddViolation(name, rule+strings.Join(allowed, ", "))
		return
	}
	w.Text(name, text)
}

// OptionalOneOf is OneOf for a string that may be absent.
func (w *Writer) OptionalOneOf(name string, text *string, allowed ...string) {
	if text != nil {
		w.OneOf(name, *text, allowed...)
	}
}

// Bool writes true or false.
func (w *Writer) Bool(name string, value bool) {
	w.Key(name)
	w.buf = strconv.AppendBool(w.buf, value)
}

// OptionalBool writes true or false unless value is nil.
func (w *Writer) OptionalBool(name string, value *bool) {
	if value != nil {
		w.Bool(name, *value)
	}
}

// Int writes a whole number.
func (w *Writer) Int(name string, value int64) {
	w.Key(name)
	w.buf = strconv.AppendInt(w.buf, value, 10)
}

// OptionalInt writes an Avro int that may be absent.
func (w *Writer) OptionalInt(name string, value *int32) {
	if value != nil {
		w.Int(name, int64(*value))
	}
}

// Float writes a finite number, never in exponent form.
func (w *Writer) Float(name string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		w.AddViolation(name, "must be a finite number")
		return
	}
	w.Key(name)
	w.buf = strconv.AppendFloat(w.buf, value, 'f', -1, 64)
}

// decimalDigits is the precision of the decimals in schemas/.
const decimalDigits = 38

// Decimal writes an exact number, never in exponent form.
func (w *Writer) Decimal(name string, value event.Decimal) {
	if !value.Fits(decimalDigits) {
		w.AddViolation(name, "must have at most "+strconv.Itoa(decimalDigits)+" digits")
		return
	}
	w.Key(name)
	w.buf = value.AppendJSON(w.buf)
}

// Time writes an instant in its location, formatted by a layout of package time, which must not
// contain characters that JSON escapes. The year must be within 1 to 9999, because the vendors'
// formats have four digits for it.
func (w *Writer) Time(name string, instant time.Time, layout string) {
	if year := instant.Year(); year < 1 || year > 9999 {
		w.AddViolation(name, "must be in the years 1 to 9999")
		return
	}
	w.Key(name)
	w.buf = append(w.buf, '"')
	w.buf = instant.AppendFormat(w.buf, layout)
	w.buf = append(w.buf, '"')
}

func (w *Writer) beginObject(step segment) {
	w.buf = appendSeparator(w.buf)
	w.buf = append(w.buf, '{')
	w.path = append(w.path, step)
}

// appendSeparator appends the comma before a member or element that is not the first one.
func appendSeparator(buf []byte) []byte {
	if len(buf) == 0 {
		return buf
	}
	switch buf[len(buf)-1] {
	case '{', '[', ':':
		return buf
	}
	return append(buf, ',')
}
