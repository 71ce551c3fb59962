// Package schemas contains the Avro schemas of the events, one record per file. They are the reader
// schemas of Avro's schema resolution: a producer may write with any schema that resolves against
// them.
package schemas

import (
	"embed"
	"encoding/json"
	"fmt"
	"sync"
)

//go:embed *.avsc
var files embed.FS

// Schema is one event's schema.
type Schema struct {
	// Name is the record's full name, such as "sluice.crmcom.Purchase".
	Name string
	// File is the file's name, such as "purchase.avsc".
	File string
	// JSON is the text of the schema. It does not refer to other files.
	JSON string
}

// All returns all schemas in the order of their file names. The caller may modify the slice.
func All() []Schema { return append([]Schema(nil), parseAll()...) }

// parseAll panics if a file cannot be read or parsed, because it was already broken when it was
// embedded. The package's test detects that first.
var parseAll = sync.OnceValue(func() []Schema {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(fmt.Errorf("listing the embedded schemas: %w", err))
	}
	schemas := make([]Schema, 0, len(entries))
	for _, entry := range entries {
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			panic(fmt.Errorf("reading the embedded schema %s: %w", entry.Name(), err))
		}
		var record struct{ Name, Namespace string }
		if err := json.Unmarshal(text, &record); err != nil {
			panic(fmt.Errorf("parsing the embedded schema %s: %w", entry.Name(), err))
		}
		schemas = append(schemas,
			Schema{Name: record.Namespace + "." + record.Name, File: entry.Name(), JSON: string(text)})
	}
	return schemas
})
