package conformance

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"time"

	"sluice/internal/event"
)

// flaw is one way to break one rule of an event. path is where the violation must be reported.
type flaw struct {
	path  string
	what  string
	apply func()
}

// flawsOf returns all ways to break one rule of a valid event, each at one of the fields that it
// has.
func flawsOf(rules eventRules, ev any) []flaw {
	b := &breaker{rules: rules}
	b.breakFields(reflect.ValueOf(ev).Elem(), "")
	if rules.breakEvent != nil {
		rules.breakEvent(b, ev)
	}
	return b.flaws
}

type breaker struct {
	rules eventRules
	flaws []flaw
}

func (b *breaker) add(path, what string, apply func()) {
	b.flaws = append(b.flaws, flaw{path, what, apply})
}

func (b *breaker) breakFields(v reflect.Value, path string) {
	if b.rules.breakRecord != nil && b.rules.breakRecord(b, v, path) {
		return
	}
	for i := range v.NumField() {
		b.breakValue(v.Field(i), fieldName(v, i), joinPath(path, avroTag(v, i)))
	}
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (b *breaker) breakValue(v reflect.Value, name, path string) {
	switch at := v.Addr().Interface().(type) {
	case *string:
		for _, bad := range b.rules.textRuleOf(name).invalid {
			b.add(path, fmt.Sprintf("%q", bad), func() { *at = bad })
		}
	case *float64:
		b.add(path, "not a number", func() { *at = math.NaN() })
		b.add(path, "infinite", func() { *at = math.Inf(-1) })
	case *time.Time:
		b.add(path, "the year 10000", func() { *at = time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC) })
		b.add(path, "the year 0", func() { *at = time.Date(0, 12, 30, 0, 0, 0, 0, time.UTC) })
	case *event.Decimal:
		b.add(path, "over 38 digits", func() { *at = bytes.Repeat([]byte{0x7f}, 17) })
	case *[]byte, *bool, *int32, *int64:
	default:
		b.breakComposite(v, name, path)
	}
}

func (b *breaker) breakComposite(v reflect.Value, name, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			b.breakValue(v.Elem(), name, path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			b.breakValue(v.Index(i), name, fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		b.breakFields(v, path)
	}
}
