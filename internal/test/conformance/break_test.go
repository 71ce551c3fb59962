package conformance

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"time"

	"sluice/internal/event"
)

// flaw is one way to break one rule of an event: path is where the fault must be found.
type flaw struct {
	path  string
	what  string
	apply func()
}

// flaws are all ways to break one rule of a valid event, each at one of the fields that it has.
func flaws(ev any) []flaw {
	var b breaker
	v := reflect.ValueOf(ev).Elem()
	b.record(v, "")
	b.owner(v)
	switch e := ev.(type) {
	case *event.Purchase:
		b.add("products_set", "empty", func() { e.ProductsSet = nil })
	case *event.FeedbackRequest:
		b.add("Data", "without a required column", func() {
			e.Data = []event.ExpointsData{{Name: freeColumn, Value: "x"}}
		})
		b.add("Data[1].Value", "a required column without a value", func() {
			e.Data = []event.ExpointsData{{Name: freeColumn, Value: "x"}, {Name: requiredColumn}}
		})
	}
	return b.flaws
}

type breaker struct{ flaws []flaw }

func (b *breaker) add(path, what string, apply func()) {
	b.flaws = append(b.flaws, flaw{path, what, apply})
}

func (b *breaker) record(v reflect.Value, path string) {
	switch {
	case isIdentifier(v.Type()):
		b.identifier(v, path)
		return
	case v.Type() == reflect.TypeFor[event.PropelParent]():
		b.parent(v.Addr().Interface().(*event.PropelParent), path)
	}
	for i := range v.NumField() {
		b.value(v.Field(i), nameOf(v, i), join(path, tag(v, i)))
	}
	if row, ok := v.Addr().Interface().(*event.ExpointsData); ok {
		b.column(row, path)
	}
}

func (b *breaker) column(row *event.ExpointsData, path string) {
	byID := func(what, name string, id int32) {
		b.add(join(path, "CustomerDataColumnId"), what, func() { row.Name, row.CustomerDataColumnId = name, &id })
	}
	byID("the id of no column", "", 999)
	byID("the id of an archived column", "", columnID(archivedColumn))
	byID("the id of no column of that name", freeColumn, 999)
	for _, bad := range []string{"", "Nowhere", archivedColumn} {
		b.add(join(path, "Name"), fmt.Sprintf("%q", bad), func() { row.Name, row.CustomerDataColumnId = bad, nil })
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (b *breaker) value(v reflect.Value, name, path string) {
	switch at := v.Addr().Interface().(type) {
	case *string:
		for _, bad := range ruleOf(name).bad {
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
		b.composite(v, name, path)
	}
}

func (b *breaker) composite(v reflect.Value, name, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			b.value(v.Elem(), name, path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			b.value(v.Index(i), name, fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		b.record(v, path)
	}
}

func (b *breaker) identifier(v reflect.Value, path string) {
	b.add(path, "no key", func() { v.SetZero() })
	b.add(path, "two keys", func() {
		v.Field(0).Set(reflect.ValueOf(new("a")))
		v.Field(1).Set(reflect.ValueOf(new("b")))
	})
	for i := range v.NumField() {
		b.add(join(path, tag(v, i)), "empty", func() {
			v.SetZero()
			v.Field(i).Set(reflect.ValueOf(new("")))
		})
	}
}

func (b *breaker) parent(p *event.PropelParent, path string) {
	b.add(path, "nothing", func() { *p = event.PropelParent{} })
	b.add(path, "both ways", func() { *p = event.PropelParent{Id: new(int64(1)), Source: new("ERP"), SourceId: new("1")} })
	b.add(path, "no sourceId", func() { *p = event.PropelParent{Source: new("ERP")} })
	b.add(path, "no source", func() { *p = event.PropelParent{SourceId: new("1")} })
}

func (b *breaker) owner(v reflect.Value) {
	account, participant := v.FieldByName(accountField), v.FieldByName(participantField)
	if !account.IsValid() {
		return
	}
	const path = "accounts_receivable_identifier"
	b.add(path, "neither account nor participant", func() {
		account.SetZero()
		participant.SetZero()
	})
	b.add(path, "account and participant", func() {
		account.Set(reflect.ValueOf(&event.AccountIdentifier{Number: new("A")}))
		participant.Set(reflect.ValueOf(&event.ParticipantIdentifier{Number: new("P")}))
	})
}
