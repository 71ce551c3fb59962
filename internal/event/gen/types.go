package main

import (
	"fmt"

	"github.com/twmb/avro"
)

// typeKind says how a value is traversed to check its decimals.
type typeKind int

const (
	scalar typeKind = iota
	decimal
	record
	array
	mapping
	pointer
)

// typeRef is the Go type of a field.
type typeRef struct {
	kind      typeKind
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

const allowedTypes = "string, uuid, enum, int, date, long, timestamp-millis, boolean, double, bytes, " +
	"decimal over bytes, array, map, record, and a union of null and one of these"

// typeOf returns the Go type of a schema.
func (m *model) typeOf(file string, node *avro.SchemaNode) (typeRef, error) {
	switch node.Type {
	case "record":
		t, err := m.addRecord(file, node)
		if err != nil {
			return typeRef{}, err
		}
		return typeRef{kind: record, text: t.name, record: t}, nil
	case "array":
		return m.containerType(file, array, "[]", node.Items)
	case "map":
		return m.containerType(file, mapping, "map[string]", node.Values)
	case "union":
		return m.nullableType(file, node)
	}
	name := node.Type
	if node.LogicalType != "" {
		name += "." + node.LogicalType
	}
	if name == "bytes.decimal" {
		return decimalType(node)
	}
	text, ok := scalars[name]
	if !ok {
		return typeRef{}, fmt.Errorf("type %s: allowed are %s, none of which may contain itself", name, allowedTypes)
	}
	return typeRef{text: text}, nil
}

func decimalType(node *avro.SchemaNode) (typeRef, error) {
	if node.Scale != decimalScale {
		return typeRef{}, fmt.Errorf("decimal of scale %d: every decimal has scale %d", node.Scale, decimalScale)
	}
	return typeRef{kind: decimal, text: "Decimal", precision: node.Precision}, nil
}

func (m *model) containerType(file string, kind typeKind, prefix string, elem *avro.SchemaNode) (typeRef, error) {
	e, err := m.typeOf(file, elem)
	if err != nil {
		return typeRef{}, err
	}
	return typeRef{kind: kind, text: prefix + e.text, elem: &e}, nil
}

// nullableType returns the type of a union of null and one other: a pointer, or for an array the
// slice itself, whose nil is null.
func (m *model) nullableType(file string, node *avro.SchemaNode) (typeRef, error) {
	var other []avro.SchemaNode
	for _, b := range node.Branches {
		if b.Type != "null" {
			other = append(other, b)
		}
	}
	if len(node.Branches) != 2 || len(other) != 1 {
		return typeRef{}, fmt.Errorf("union of %d types: allowed is null and one other", len(node.Branches))
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
