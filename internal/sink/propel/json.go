package propel

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
)

// writer appends one JSON object to b and gathers what is wrong with the event on the way. Absent
// fields leave no trace in b: the vendor says nothing about null, and what is left out stays as it
// is.
type writer struct {
	b          []byte
	prefix     string // path of the object that is being written, such as "addresses[2]."
	violations []sink.Violation
}

func (w *writer) addViolation(name, rule string) {
	w.violations = append(w.violations, sink.Violation{Path: w.prefix + name, Rule: rule})
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
		w.addViolation(name, "must be valid UTF-8") // Avro says so of a string, and its libraries do not look
	}
	w.key(name)
	w.b = jsonwriter.AppendString(w.b, v)
}

func (w *writer) optText(name string, v *string) {
	if v != nil {
		w.text(name, *v)
	}
}

// mandatory refuses an empty text: the vendor's schema takes it for a value, and it names nothing.
func (w *writer) mandatory(name, v string) {
	if v == "" {
		w.addViolation(name, "is mandatory")
	}
	w.text(name, v)
}

func (w *writer) optOneOf(name string, v *string, allowed ...string) {
	if v != nil {
		w.oneOf(name, *v, allowed...)
	}
}

func (w *writer) oneOf(name, v string, allowed ...string) {
	for _, a := range allowed {
		if v == a {
			w.text(name, v)
			return
		}
	}
	w.addViolation(name, "must be one of "+strings.Join(allowed, ", "))
}

// letters writes a two-letter code in upper case, as the vendor's samples have it.
func (w *writer) letters(name, v, standard string) {
	if len(v) != 2 || !isLetter(v[0]) || !isLetter(v[1]) {
		w.addViolation(name, "must be two letters ("+standard+")")
		return
	}
	w.text(name, strings.ToUpper(v))
}

func isLetter(c byte) bool { return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' }

func (w *writer) optDate(name string, v *time.Time) {
	if v == nil {
		return
	}
	if y := v.Year(); y < 1 || y > 9999 {
		w.addViolation(name, "must lie in the years 1 to 9999")
		return
	}
	w.key(name)
	w.b = v.AppendFormat(w.b, `"2006-01-02"`)
}

// open begins the member object or array item and gives what close needs.
func (w *writer) open(prefix string) (outer string) {
	outer, w.prefix = w.prefix, prefix
	w.b = append(w.b, '{')
	return outer
}

func (w *writer) close(outer string) {
	w.b = append(w.b, '}')
	w.prefix = outer
}

func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]." }
