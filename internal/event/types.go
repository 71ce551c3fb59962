package event

import "sluice/schemas"

// Type is an event type: its name, its schema and its Go type.
type Type struct {
	// Name is the full Avro name, such as "sluice.crmcom.Purchase".
	Name string
	// Schema is the JSON of the schema that records are read and written with. It does not refer to
	// other schemas.
	Schema string
	// New returns a pointer to a new, empty event.
	New func() any
}

// Types is a set of event types.
type Types []Type

// BuiltinTypes returns the types generated from schemas/, in the order of their files.
func BuiltinTypes() Types {
	var types Types
	for _, s := range schemas.All() {
		types = append(types, Type{Name: s.Name, Schema: s.JSON, New: func() any {
			e, ok := NewEvent(s.Name)
			if !ok {
				return nil // the schema has no generated type; a test of this package reports that
			}
			return e
		}})
	}
	return types
}

// Find returns the type with the given full Avro name and reports whether there is one.
func (t Types) Find(name string) (Type, bool) {
	for _, known := range t {
		if known.Name == name {
			return known, true
		}
	}
	return Type{}, false
}

// NewEvent returns a pointer to a new event with the given full Avro name and reports whether there
// is such an event.
func (t Types) NewEvent(name string) (any, bool) {
	known, ok := t.Find(name)
	if !ok {
		return nil, false
	}
	return known.New(), true
}
