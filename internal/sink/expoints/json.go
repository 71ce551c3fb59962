package expoints

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
)

// writer appends one JSON value to b and gathers what is wrong with the event on the way. Absent fields leave no trace in b.
type writer struct {
	b      []byte
	zone   *time.Location
	path   []segment
	faults []sink.Violation
}

// segment is one step of the path to the array item that is being written.
type segment struct {
	name  string
	index int
}

func (w *writer) fault(name, rule string) {
	var path []byte
	for _, s := range w.path {
		path = append(path, s.name...)
		path = append(path, '[')
		path = strconv.AppendInt(path, int64(s.index), 10)
		path = append(path, "]."...)
	}
	w.faults = append(w.faults, sink.Violation{Path: string(append(path, name...)), Rule: rule})
}

func (w *writer) key(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, `":`...)
}

func (w *writer) text(name, v string) {
	if !utf8.ValidString(v) {
		w.fault(name, "must be valid UTF-8") // Avro says so of a string, and its libraries do not look
	}
	w.key(name)
	w.b = jsonwriter.AppendString(w.b, v)
}

func (w *writer) optText(name string, v *string) {
	if v != nil {
		w.text(name, *v)
	}
}

func (w *writer) optInt(name string, v *int32) {
	if v != nil {
		w.key(name)
		w.b = strconv.AppendInt(w.b, int64(*v), 10)
	}
}

func (w *writer) bool(name string, v bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) optBool(name string, v *bool) {
	if v != nil {
		w.bool(name, *v)
	}
}

func (w *writer) optGUID(name string, v *string) {
	if v == nil {
		return
	}
	if !isGUID(*v) {
		w.fault(name, "must be a globally unique identifier, 8-4-4-4-12 hexadecimal digits")
	}
	w.text(name, *v)
}

func (w *writer) optBase64(name string, v *[]byte) {
	if v == nil {
		return
	}
	w.key(name)
	w.b = append(w.b, '"')
	w.b = base64.StdEncoding.AppendEncode(w.b, *v)
	w.b = append(w.b, '"')
}

func (w *writer) optTime(name string, v *time.Time) {
	if v == nil {
		return
	}
	t := v.In(w.zone)
	if y := t.Year(); y < 1 || y > 9999 {
		w.fault(name, "must lie in the years 1 to 9999")
		return
	}
	w.key(name)
	w.b = appendTime(w.b, t)
}

// appendTime appends t in RFC 3339 with at most 7 fractional digits, the 100 ns that a .NET DateTime holds.
func appendTime(b []byte, t time.Time) []byte {
	// RFC 3339 has no seconds in an offset, local mean time has.
	if _, offset := t.Zone(); offset%60 != 0 {
		t = t.UTC()
	}
	return t.AppendFormat(b, `"2006-01-02T15:04:05.9999999Z07:00"`)
}

func (w *writer) optInts(name string, v []int32) {
	if v == nil {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for i, n := range v {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = strconv.AppendInt(w.b, int64(n), 10)
	}
	w.b = append(w.b, ']')
}

// list writes an array of objects; a nil one is absent.
func list[T any](w *writer, name string, items []T, members func(*writer, *T)) {
	if items == nil {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for i := range items {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(w.b, '{')
		w.path = append(w.path, segment{name, i})
		members(w, &items[i])
		w.path = w.path[:len(w.path)-1]
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
