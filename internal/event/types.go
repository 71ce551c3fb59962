package event

import "sluice/schemas"

// Type is one kind of event.
type Type struct {
	// Name is the full Avro name, such as "sluice.crmcom.Purchase".
	Name string
	// Schema is the schema that records are read and written with, as JSON. It refers to no other
	// one.
	Schema string
	// New returns a pointer to a new, empty event.
	New func() any
}

// Types is a set of kinds of events.
type Types []Type

// BuiltinTypes returns the types that are generated from schemas/, in the order of their files.
func BuiltinTypes() Types {
	var types Types
	for _, s := range schemas.All() {
		types = append(types, Type{Name: s.Name, Schema: s.JSON, New: func() any {
			e, ok := NewEvent(s.Name)
			if !ok {
				return nil // the schema has no generated type, which the package's test reports
			}
			return e
		}})
	}
	return types
}

// Find returns the type of the given full Avro name, false where there is none.
func (t Types) Find(name string) (Type, bool) {
	for _, known := range t {
		if known.Name == name {
			return known, true
		}
	}
	return Type{}, false
}

// NewEvent returns a pointer to a new event of the given full Avro name, false where there is none.
func (t Types) NewEvent(name string) (any, bool) {
	known, ok := t.Find(name)
	if !ok {
		return nil, false
	}
	return known.New(), true
}
