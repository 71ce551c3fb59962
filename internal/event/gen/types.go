package main

import (
	"fmt"

	"github.com/twmb/avro"
)

// kind is how a value is walked when its decimals are checked.
type kind int

const (
	scalar kind = iota
	decimal
	record
	array
	mapping
	pointer
)

// typeRef is a field's Go type.
type typeRef struct {
	kind      kind
	text      string
	precision int      // of a decimal
	record    *goType  // of a record
	elem      *typeRef // of an array, mapping or pointer
}

const decimalScale = 6 // event.Scale

var scalars = map[string]string{
	"string": "string", "string.uuid": "string", "enum": "string",
	"int": "int32", "int.date": "time.Time",
	"long": "int64", "long.timestamp-millis": "time.Time",
	"boolean": "bool", "double": "float64", "bytes": "[]byte",
}

const allowed = "string, uuid, enum, int, date, long, timestamp-millis, boolean, double, bytes, decimal over bytes, array, map, record, and a union of null and one of these"

// typeOf is the Go type of a schema.
func (m *model) typeOf(file string, n *avro.SchemaNode) (typeRef, error) {
	switch n.Type {
	case "record":
		t, err := m.addRecord(file, n)
		if err != nil {
			return typeRef{}, err
		}
		return typeRef{kind: record, text: t.name, record: t}, nil
	case "array":
		return m.container(file, array, "[]", n.Items)
	case "map":
		return m.container(file, mapping, "map[string]", n.Values)
	case "union":
		return m.nullable(file, n)
	}
	name := n.Type
	if n.LogicalType != "" {
		name += "." + n.LogicalType
	}
	if name == "bytes.decimal" {
		return decimalOf(n)
	}
	text, ok := scalars[name]
	if !ok {
		return typeRef{}, fmt.Errorf("type %s: allowed are %s (none that holds itself)", name, allowed)
	}
	return typeRef{text: text}, nil
}

func decimalOf(n *avro.SchemaNode) (typeRef, error) {
	if n.Scale != decimalScale {
		return typeRef{}, fmt.Errorf("decimal of scale %d: every decimal has scale %d", n.Scale, decimalScale)
	}
	return typeRef{kind: decimal, text: "Decimal", precision: n.Precision}, nil
}

func (m *model) container(file string, k kind, prefix string, elem *avro.SchemaNode) (typeRef, error) {
	e, err := m.typeOf(file, elem)
	if err != nil {
		return typeRef{}, err
	}
	return typeRef{kind: k, text: prefix + e.text, elem: &e}, nil
}

// nullable is the type of a union of null and one other: a pointer, or the slice itself, whose nil
// is null.
func (m *model) nullable(file string, n *avro.SchemaNode) (typeRef, error) {
	var other []avro.SchemaNode
	for _, b := range n.Branches {
		if b.Type != "null" {
			other = append(other, b)
		}
	}
	if len(n.Branches) != 2 || len(other) != 1 {
		return typeRef{}, fmt.Errorf("union of %d types: allowed is null and one other", len(n.Branches))
	}
	e, err := m.typeOf(file, &other[0])
	switch {
	case err != nil || e.kind == array:
		return e, err
	case e.kind == mapping: // hamba/avro cannot write it from a typed map
		return typeRef{}, fmt.Errorf("union of null and map: allowed is a map with the default {}")
	}
	return typeRef{kind: pointer, text: "*" + e.text, elem: &e}, nil
}
