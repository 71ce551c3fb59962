package decode

import (
	"encoding/json"
	"fmt"

	"github.com/twmb/avro"
)

// maxTypes bounds the number of types in a writer schema, with each named type expanded wherever it
// is used. Types that occupy no bytes of a record still cost the decoder a step each: n named types
// that each refer twice to the previous one expand to 2^n types, so that an empty record would take
// forever to decode.
const maxTypes = 10_000

// checkSize returns an error if a schema has more than maxTypes types. The error completes the
// sentence "the schema has ...".
func checkSize(schema *avro.Schema) error {
	var tree any
	if err := json.Unmarshal(schema.Canonical(), &tree); err != nil {
		return fmt.Errorf("a canonical form that cannot be read: %w", err)
	}
	if (typeCounts{}).countTypes(tree) > maxTypes {
		return fmt.Errorf("more than %d types, with each name expanded where it is used", maxTypes)
	}
	return nil
}

// typeCounts maps each name to the number of types that it expands to.
type typeCounts map[string]int

// countTypes counts the types of a schema in canonical form, in which names are defined before they
// are used. It stops counting beyond maxTypes. A recursive type counts once: each of its levels
// occupies bytes, or the record would be infinite.
func (s typeCounts) countTypes(node any) int {
	switch n := node.(type) {
	case string:
		return max(s[n], 1)
	case []any:
		return s.sumTypes(n)
	case map[string]any:
		name, _ := n["name"].(string)
		inner := []any{n["items"], n["values"]}
		fields, _ := n["fields"].([]any)
		for _, f := range fields {
			if field, ok := f.(map[string]any); ok {
				inner = append(inner, field["type"])
			}
		}
		s[name] = s.sumTypes(inner)
		return s[name]
	}
	return 0
}

func (s typeCounts) sumTypes(nodes []any) int {
	total := 1
	for _, n := range nodes {
		total = min(total+s.countTypes(n), maxTypes+1)
	}
	return total
}
