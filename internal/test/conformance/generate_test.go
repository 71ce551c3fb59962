package conformance

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/event"
)

// stringRule has the valid values of a string and examples of invalid ones.
type stringRule struct {
	valid   *rapid.Generator[string]
	invalid []string
}

func oneOf(allowed ...string) stringRule {
	return stringRule{rapid.SampledFrom(allowed), []string{"", "X", strings.ToLower(allowed[0]) + " "}}
}

var (
	anyString  = stringRule{valid: rapid.String()}
	nonEmpty   = stringRule{rapid.StringN(1, -1, 200), []string{""}}
	twoLetters = stringRule{rapid.StringMatching(`[a-zA-Z]{2}`), []string{"", "N", "NLD", "1L", "é"}}
	guid       = stringRule{
		rapid.StringMatching(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`),
		[]string{"", "2ec40570-e563-45eb-9c25", "2ec40570-e563-45eb-9c25-4dec09dee46g"},
	}
	address = stringRule{
		rapid.OneOf(
			rapid.StringMatching(`[a-z0-9.+_-]{1,20}@[a-z0-9-]{1,20}\.[a-z]{2,5}`),
			rapid.SampledFrom([]string{"c@example.org", "C@Example.org", `"c d@e"@example.org`, "c@[192.0.2.1]",
				"ç@exämple.org"}),
		),
		[]string{
			"", "example.org", "@example.org", "c@", "c d@example.org", " c@example.org", "c@example.org\n",
			"c@d@example.org",
		},
	}
	anyAddress = rapid.OneOf(address.valid, rapid.String())
	columnName = stringRule{valid: rapid.SampledFrom([]string{requiredColumn, freeColumn, eventIDColumn})}
)

// drawer draws random events that follow the rules of a vendor's pages.
type drawer struct {
	t     *rapid.T
	types event.Types
	rules eventRules
	// all sets every field and puts one element into each list. variant selects which of several
	// mutually exclusive keys is set.
	all     bool
	variant int
}

// someEvents returns a generator of valid events in which optional fields may be unset.
func (s suite) someEvents(o operationFixture, name string) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		return drawer{t: t, types: s.vendors.Events(), rules: o.vendor.events}.drawEvent(name)
	})
}

// variantCount is the number of full events in which each of the mutually exclusive keys is set at
// least once.
const variantCount = 8

// fullEvent returns an event in which every field is set that may be set at the same time.
func (s suite) fullEvent(o operationFixture, name string, variant int) any {
	return rapid.Custom(func(t *rapid.T) any {
		d := drawer{t: t, types: s.vendors.Events(), rules: o.vendor.events, all: true, variant: variant}
		return d.drawEvent(name)
	}).Example(variant)
}

// drawEvent draws a valid event of the given full Avro name.
func (d drawer) drawEvent(name string) any {
	ev, ok := d.types.NewEvent(name)
	if !ok {
		d.t.Fatalf("unknown event %s", name)
	}
	d.drawFields(reflect.ValueOf(ev).Elem())
	if d.rules.finishEvent != nil {
		d.rules.finishEvent(d, ev)
	}
	return ev
}

func (d drawer) drawFields(v reflect.Value) {
	if d.rules.drawRecord != nil && d.rules.drawRecord(d, v) {
		return
	}
	for i := range v.NumField() {
		d.drawValue(v.Field(i), fieldName(v, i))
	}
	if d.rules.finishRecord != nil {
		d.rules.finishRecord(d, v)
	}
}

// fieldName returns the name by which the rules know a field, such as "PropelAddress.city".
func fieldName(v reflect.Value, i int) string { return v.Type().Name() + "." + avroTag(v, i) }

func avroTag(v reflect.Value, i int) string { return v.Type().Field(i).Tag.Get("avro") }

func (d drawer) drawValue(v reflect.Value, name string) {
	t := d.t
	switch at := v.Addr().Interface().(type) {
	case *string:
		*at = d.rules.stringRuleFor(name).valid.Draw(t, name)
	case *float64:
		*at = rapid.Float64().Draw(t, name)
	case *time.Time:
		*at = instants.Draw(t, name)
	case *event.Decimal:
		*at = decimals.Draw(t, name)
	case *bool:
		*at = rapid.Bool().Draw(t, name)
	case *int32:
		*at = rapid.Int32().Draw(t, name)
	case *[]byte:
		*at = rapid.SliceOf(rapid.Byte()).Draw(t, name)
	default:
		d.drawComposite(v, name)
	}
}

func (d drawer) drawComposite(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		d.drawOptional(v, name)
	case reflect.Slice:
		n := 1
		if !d.all {
			n = rapid.IntRange(0, 3).Draw(d.t, name)
		}
		if d.rules.requiredLists[name] {
			n = max(n, 1)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			d.drawValue(v.Index(i), name)
		}
	default:
		d.drawFields(v)
	}
}

func (d drawer) drawOptional(v reflect.Value, name string) {
	if d.all || d.rules.requiredLists[name] || rapid.Bool().Draw(d.t, name+" is present") {
		v.Set(reflect.New(v.Type().Elem()))
		d.drawValue(v.Elem(), name)
	}
}

// chooseFirst chooses between two mutually exclusive alternatives.
func (d drawer) chooseFirst(what string) bool {
	if d.all {
		return d.variant%2 == 0
	}
	return rapid.Bool().Draw(d.t, what)
}

// drawIndex draws an index below n.
func (d drawer) drawIndex(n int, what string) int { return rapid.IntRange(0, n-1).Draw(d.t, what) }

func (r eventRules) stringRuleFor(name string) stringRule {
	if rule, ok := r.stringRules[name]; ok {
		return rule
	}
	return anyString
}

// instants draws times whose year has at most four digits in every time zone.
var instants = rapid.Custom(func(t *rapid.T) time.Time {
	first, last := time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC)
	return time.UnixMilli(rapid.Int64Range(first.UnixMilli(), last.UnixMilli()).Draw(t, "ms")).UTC()
})

var decimals = rapid.Custom(func(t *rapid.T) event.Decimal {
	if rapid.Bool().Draw(t, "small") {
		return event.Millionths(rapid.Int64().Draw(t, "millionths"))
	}
	digits := rapid.StringMatching(`-?[0-9]{1,32}(\.[0-9]{1,6})?`).Draw(t, "digits")
	d, err := event.ParseDecimal(digits)
	if err != nil {
		panic(fmt.Errorf("parsing %s: %w", digits, err)) // the expression matches only decimals
	}
	return d
})
