package decode

import (
	"encoding/json"
	"fmt"

	"github.com/twmb/avro"
)

// maxTypes bounds the types of a writer's schema, each name written out wherever it is used. Some take no bytes of a record and a step of the
// decoder's each: names that refer twice to the one before make 2^n of them out of n lines, and a record of no bytes that takes for ever.
const maxTypes = 10_000

// bounded fails a schema of more than maxTypes.
func bounded(s *avro.Schema) error {
	var tree any
	if err := json.Unmarshal(s.Canonical(), &tree); err != nil {
		return fmt.Errorf("a canonical form that cannot be read: %w", err)
	}
	if (sizes{}).of(tree) > maxTypes {
		return fmt.Errorf("more than %d types, with each name written out where it is used", maxTypes)
	}
	return nil
}

// sizes are the types that each name is made of.
type sizes map[string]int

// of counts the types of a schema in canonical form, in which a name is defined before it is used. It stops counting beyond maxTypes. A type within
// itself counts once: it takes bytes, for without any it would have no end.
func (s sizes) of(node any) int {
	switch n := node.(type) {
	case string:
		return max(s[n], 1)
	case []any:
		return s.sum(n)
	case map[string]any:
		name, _ := n["name"].(string)
		inner := []any{n["items"], n["values"]}
		fields, _ := n["fields"].([]any)
		for _, f := range fields {
			if field, ok := f.(map[string]any); ok {
				inner = append(inner, field["type"])
			}
		}
		s[name] = s.sum(inner)
		return s[name]
	}
	return 0
}

func (s sizes) sum(nodes []any) int {
	total := 1
	for _, n := range nodes {
		total = min(total+s.of(n), maxTypes+1)
	}
	return total
}
