package conformance

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"time"

	"sluice/internal/event"
)

// flaw is one way to violate one rule of an event. path is where the violation must be reported.
type flaw struct {
	path  string
	what  string
	apply func()
}

// flawsOf returns all flaws that a valid event can be given, each at one of its fields.
func flawsOf(rules eventRules, ev any) []flaw {
	c := &flawCollector{rules: rules}
	c.addFieldFlaws(reflect.ValueOf(ev).Elem(), "")
	if rules.eventFlaws != nil {
		rules.eventFlaws(c, ev)
	}
	return c.flaws
}

type flawCollector struct {
	rules eventRules
	flaws []flaw
}

func (c *flawCollector) add(path, what string, apply func()) {
	c.flaws = append(c.flaws, flaw{path, what, apply})
}

func (c *flawCollector) addFieldFlaws(v reflect.Value, path string) {
	if c.rules.recordFlaws != nil && c.rules.recordFlaws(c, v, path) {
		return
	}
	for i := range v.NumField() {
		c.addValueFlaws(v.Field(i), fieldName(v, i), joinPath(path, avroTag(v, i)))
	}
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (c *flawCollector) addValueFlaws(v reflect.Value, name, path string) {
	switch at := v.Addr().Interface().(type) {
	case *string:
		for _, bad := range c.rules.stringRuleFor(name).invalid {
			c.add(path, fmt.Sprintf("%q", bad), func() { *at = bad })
		}
	case *float64:
		c.add(path, "not a number", func() { *at = math.NaN() })
		c.add(path, "infinite", func() { *at = math.Inf(-1) })
	case *time.Time:
		c.add(path, "the year 10000", func() { *at = time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC) })
		c.add(path, "the year 0", func() { *at = time.Date(0, 12, 30, 0, 0, 0, 0, time.UTC) })
	case *event.Decimal:
		c.add(path, "over 38 digits", func() { *at = bytes.Repeat([]byte{0x7f}, 17) })
	case *[]byte, *bool, *int32, *int64:
	default:
		c.addCompositeFlaws(v, name, path)
	}
}

func (c *flawCollector) addCompositeFlaws(v reflect.Value, name, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.addValueFlaws(v.Elem(), name, path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.addValueFlaws(v.Index(i), name, fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		c.addFieldFlaws(v, path)
	}
}
