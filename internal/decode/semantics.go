package decode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// checkSemantics returns an error if a field resolves by Avro's rules but its meaning would change.
// The rules ignore logical types, so microseconds would be read as milliseconds, a string such as
// "12.50" as the bytes of a decimal, and the bytes of a decimal as a string. A writer's type
// without a logical type is accepted for any reader's type except a decimal. path is the path of
// the field, for the error.
func checkSemantics(path string, reader, writer *avro.SchemaNode) error {
	for _, w := range nonNullBranches(writer) {
		for _, r := range nonNullBranches(reader) {
			if err := checkTypeSemantics(path, r, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// nonNullBranches returns the types of a union other than null, or the type itself if it is not a
// union.
func nonNullBranches(node *avro.SchemaNode) []*avro.SchemaNode {
	if node.Type != "union" {
		return []*avro.SchemaNode{node}
	}
	var types []*avro.SchemaNode
	for i := range node.Branches {
		if node.Branches[i].Type != "null" {
			types = append(types, &node.Branches[i])
		}
	}
	return types
}

func checkTypeSemantics(path string, reader, writer *avro.SchemaNode) error {
	switch {
	case reader.Type == "record" && writer.Type == "record":
		return checkFieldSemantics(path, reader, writer)
	case reader.Type == "array" && writer.Type == "array":
		return checkSemantics(path+"[]", reader.Items, writer.Items)
	case reader.Type == "map" && writer.Type == "map":
		return checkSemantics(path+"[]", reader.Values, writer.Values)
	case reader.Type == "record", // the writer's type is not a record, or is recursive beyond the expansion
		reader.LogicalType == "decimal" && writer.LogicalType != "decimal",
		reader.LogicalType != writer.LogicalType && writer.LogicalType != "" &&
			(reader.LogicalType != "" || hasUnit(writer.LogicalType)):
		return fmt.Errorf("field %s: the writer's %s cannot be read as %s", path, typeName(writer), typeName(reader))
	}
	return nil
}

// hasUnit reports whether a logical type gives a number a unit or a scale.
func hasUnit(logicalType string) bool {
	return logicalType == "decimal" || logicalType == "date" || strings.Contains(logicalType, "time")
}

func checkFieldSemantics(path string, reader, writer *avro.SchemaNode) error {
	for _, readerField := range reader.Fields {
		i := slices.IndexFunc(writer.Fields, func(writerField avro.SchemaField) bool {
			return writerField.Name == readerField.Name || slices.Contains(readerField.Aliases, writerField.Name)
		})
		if i < 0 {
			continue
		}
		fieldPath := readerField.Name
		if path != "" {
			fieldPath = path + "." + readerField.Name
		}
		if err := checkSemantics(fieldPath, &readerField.Type, &writer.Fields[i].Type); err != nil {
			return err
		}
	}
	return nil
}

func typeName(node *avro.SchemaNode) string {
	if node.LogicalType == "" {
		return node.Type
	}
	return node.Type + " " + node.LogicalType
}
