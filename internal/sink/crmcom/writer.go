package crmcom

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// writer appends one item's JSON and gathers what is wrong with it. It writes on after a fault, so that one pass finds all of them; what it wrote is then
// thrown away.
type writer struct {
	*settings
	buf    []byte
	group  string
	origin string
	within [3]scope
	depth  int
	faults []sink.Violation
}

// settings are what an account's configuration says about an item's JSON.
type settings struct {
	zone           *time.Location
	release        release
	externalSystem string
}

// scope is a member or an element of a list that the writer is within; index is below 0 for a member.
type scope struct {
	name  string
	index int
}

// fault notes that the member called name, within where the writer is, breaks a rule.
func (w *writer) fault(name, rule string) {
	path := ""
	for _, s := range w.within[:w.depth] {
		path += s.name
		if s.index >= 0 {
			path += "[" + strconv.Itoa(s.index) + "]"
		}
		path += "."
	}
	w.faults = append(w.faults, sink.Violation{Path: path + name, Rule: rule})
}

// from notes a fault where the account's release does not know a member yet.
func (w *writer) from(r release, name string) {
	if w.release < r {
		w.fault(name, "is taken from release "+r.String()+" on, the account has "+w.release.String())
	}
}

// until notes a fault where the account's release does not take a member any more.
func (w *writer) until(r release, name string) {
	if w.release >= r {
		w.fault(name, "is not taken from release "+r.String()+" on, the account has "+w.release.String())
	}
}

func (w *writer) separate() {
	if last := w.buf[len(w.buf)-1]; last != '{' && last != '[' {
		w.buf = append(w.buf, ',')
	}
}

func (w *writer) key(name string) {
	w.separate()
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '"', ':')
}

func (w *writer) openList(name string) {
	w.key(name)
	w.buf = append(w.buf, '[')
}

func (w *writer) closeList() { w.buf = append(w.buf, ']') }

func (w *writer) openElement(list string, index int) {
	w.separate()
	w.buf = append(w.buf, '{')
	w.within[w.depth] = scope{list, index}
	w.depth++
}

func (w *writer) closeElement() {
	w.buf = append(w.buf, '}')
	w.depth--
}

func (w *writer) text(name, v string) {
	if !utf8.ValidString(v) {
		w.fault(name, "must be valid UTF-8") // Avro says so of a string, and its libraries do not look
	}
	w.key(name)
	w.buf = vendorhttp.AppendString(w.buf, v)
}

func (w *writer) mandatoryText(name, v string) {
	if v == "" {
		w.fault(name, "is mandatory")
	}
	w.text(name, v)
}

func (w *writer) optionalText(name string, v *string) {
	if v != nil {
		w.text(name, *v)
	}
}

// oneOf writes a text that the vendor has a closed list for.
func (w *writer) oneOf(name, v, allowed string) {
	if v != allowed {
		w.fault(name, "must be "+allowed)
	}
	w.text(name, v)
}

const amountPrecision = 38 // digits, as in schemas/

func (w *writer) amount(name string, v event.Decimal) {
	if !v.Fits(amountPrecision) {
		w.fault(name, "must have at most "+strconv.Itoa(amountPrecision)+" digits")
		return
	}
	w.key(name)
	w.buf = v.AppendJSON(w.buf)
}

func (w *writer) optionalAmount(name string, v *event.Decimal) {
	if v != nil {
		w.amount(name, *v)
	}
}

func (w *writer) optionalFloat(name string, v *float64) {
	if v == nil {
		return
	}
	if math.IsNaN(*v) || math.IsInf(*v, 0) {
		w.fault(name, "must be a finite number")
		return
	}
	w.key(name)
	w.buf = strconv.AppendFloat(w.buf, *v, 'f', -1, 64)
}

// dateForm is how the page's examples write a Date: no zone, no fraction.
const dateForm = "2006-01-02T15:04:05"

func (w *writer) date(name string, v time.Time) {
	v = v.In(w.zone)
	if y := v.Year(); y < 1 || y > 9999 {
		w.fault(name, "must be in the years 1 to 9999")
		return
	}
	w.key(name)
	w.buf = append(w.buf, '"')
	w.buf = v.AppendFormat(w.buf, dateForm)
	w.buf = append(w.buf, '"')
}

func (w *writer) optionalDate(name string, v *time.Time) {
	if v != nil {
		w.date(name, *v)
	}
}
