package decode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// sameMeaning finds a field that resolves by Avro's rules and would mean something else: those rules look at the types underneath, so that
// microseconds would be read as milliseconds, a text such as "12.50" as a decimal's bytes, and a decimal's bytes as a text. A writer that says
// nothing of a number's meaning is believed, except for a decimal.
func sameMeaning(path string, reader, writer *avro.SchemaNode) error {
	for _, w := range branches(writer) {
		for _, r := range branches(reader) {
			if err := sameMeaningOf(path, r, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// branches are the types of a union other than null, or the one type that there is.
func branches(n *avro.SchemaNode) []*avro.SchemaNode {
	if n.Type != "union" {
		return []*avro.SchemaNode{n}
	}
	var types []*avro.SchemaNode
	for i := range n.Branches {
		if n.Branches[i].Type != "null" {
			types = append(types, &n.Branches[i])
		}
	}
	return types
}

func sameMeaningOf(path string, r, w *avro.SchemaNode) error {
	switch {
	case r.Type == "record" && w.Type == "record":
		return sameMeaningOfFields(path, r, w)
	case r.Type == "array" && w.Type == "array":
		return sameMeaning(path+"[]", r.Items, w.Items)
	case r.Type == "map" && w.Type == "map":
		return sameMeaning(path+"[]", r.Values, w.Values)
	case r.Type == "record", // and the writer's type is none, or refers to itself too deep to be followed
		r.LogicalType == "decimal" && w.LogicalType != "decimal",
		r.LogicalType != w.LogicalType && w.LogicalType != "" && (r.LogicalType != "" || measures(w.LogicalType)):
		return fmt.Errorf("field %s: the writer's %s cannot be read as %s", path, kind(w), kind(r))
	}
	return nil
}

// measures tells whether a logical type says of what its value is the number.
func measures(logicalType string) bool {
	return logicalType == "decimal" || logicalType == "date" || strings.Contains(logicalType, "time")
}

func sameMeaningOfFields(path string, r, w *avro.SchemaNode) error {
	for _, rf := range r.Fields {
		i := slices.IndexFunc(w.Fields, func(wf avro.SchemaField) bool {
			return wf.Name == rf.Name || slices.Contains(rf.Aliases, wf.Name)
		})
		if i < 0 {
			continue
		}
		at := rf.Name
		if path != "" {
			at = path + "." + rf.Name
		}
		if err := sameMeaning(at, &rf.Type, &w.Fields[i].Type); err != nil {
			return err
		}
	}
	return nil
}

func kind(n *avro.SchemaNode) string {
	if n.LogicalType == "" {
		return n.Type
	}
	return n.Type + " " + n.LogicalType
}
