package schemas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twmb/avro"
)

func TestEveryFileIsOneRecord(t *testing.T) {
	all := All()
	files, err := filepath.Glob("*.avsc")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(files) || len(files) == 0 {
		t.Errorf("got %d schemas, want one for each of the %d files", len(all), len(files))
	}
	seen := map[string]string{}
	for _, s := range all {
		if other, ok := seen[s.Name]; ok {
			t.Errorf("%s and %s both define %s", s.File, other, s.Name)
		}
		seen[s.Name] = s.File
		schema, err := avro.Parse(s.JSON)
		if err != nil {
			t.Errorf("%s: %v", s.File, err)
			continue
		}
		root := schema.Root()
		if got := root.Namespace + "." + root.Name; root.Type != "record" || got != s.Name {
			t.Errorf("%s: got %s %s, want record %s", s.File, root.Type, got, s.Name)
		}
	}
}

func TestCallerMayChangeResultOfAll(t *testing.T) {
	All()[0].Name = "changed"
	if All()[0].Name == "changed" {
		t.Error("the next caller got the change of another, want the original")
	}
}

// Producers and other consumers of the topics use the committed schemas, so each side must be able
// to read what the other writes.
func TestSchemasAreCompatibleWithCommittedOnesBothWays(t *testing.T) {
	for _, s := range All() {
		text, err := os.ReadFile(filepath.Join("committed", s.File))
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is not in schemas/committed/. To commit to it: cp schemas/%s schemas/committed/",
				s.File, s.File)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		now, before := avro.MustParse(s.JSON), avro.MustParse(string(text))
		reads, isRead := avro.CheckCompatibility(before, now), avro.CheckCompatibility(now, before)
		switch {
		case reads != nil:
			t.Errorf("%s cannot read what was written with schemas/committed/: %v. "+
				"Give a new field a default and leave types as they are.", s.File, reads)
		case isRead != nil:
			t.Errorf("readers with schemas/committed/ cannot read what %s writes: %v. "+
				"Keep a field that has no default.", s.File, isRead)
		case string(text) != s.JSON:
			t.Errorf("%s differs from schemas/committed/ and is compatible with it. "+
				"To accept the change: cp schemas/%s schemas/committed/", s.File, s.File)
		}
	}
}

// Topics contain records of versions before the committed one, in which a field may be missing or
// have its former name.
func TestFieldsKeepDefaultsAndAliases(t *testing.T) {
	for _, s := range All() {
		text, err := os.ReadFile(filepath.Join("committed", s.File))
		if err != nil {
			t.Fatal(err)
		}
		now, before := avro.MustParse(s.JSON).Root().ExpandReferences(), avro.MustParse(string(text)).Root().ExpandReferences()
		for _, lost := range lostFields("", now, before) {
			t.Errorf("%s: %s: records of older versions cannot be read", s.File, lost)
		}
	}
}

// lostFields names the defaults and aliases that fields no longer have. Removed fields are covered
// by the other tests.
func lostFields(path string, now, before *avro.SchemaNode) []string {
	var lost []string
	for _, b := range recordsIn(before) {
		for _, n := range recordsIn(now) {
			for _, field := range b.Fields {
				i := slices.IndexFunc(n.Fields, func(f avro.SchemaField) bool { return f.Name == field.Name })
				if i < 0 {
					continue
				}
				at := path + "." + field.Name
				if field.HasDefault && !n.Fields[i].HasDefault {
					lost = append(lost, "field "+at[1:]+" lost its default")
				}
				for _, alias := range field.Aliases {
					if !slices.Contains(n.Fields[i].Aliases, alias) {
						lost = append(lost, "field "+at[1:]+" lost its alias "+alias)
					}
				}
				lost = append(lost, lostFields(at, &n.Fields[i].Type, &field.Type)...)
			}
		}
	}
	return lost
}

// recordsIn returns the records that a type is or contains.
func recordsIn(n *avro.SchemaNode) []*avro.SchemaNode {
	switch n.Type {
	case "record":
		return []*avro.SchemaNode{n}
	case "array":
		return recordsIn(n.Items)
	case "map":
		return recordsIn(n.Values)
	}
	var records []*avro.SchemaNode
	for i := range n.Branches {
		records = append(records, recordsIn(&n.Branches[i])...)
	}
	return records
}

func TestLossAtAnyDepthIsFound(t *testing.T) {
	parse := func(text string) *avro.SchemaNode {
		return avro.MustParse(text).Root().ExpandReferences()
	}
	const schema = `{"type":"record","name":"R","fields":[{"name":"list","type":["null",{"type":"array","items":{"type":"map","values":{"type":"record","name":"P",
		"fields":[{"name":"f","type":"int"%s}]}}}]},{"name":"again","type":"P"}]}`
	before, now := parse(fmt.Sprintf(schema, `,"default":0,"aliases":["g"]`)), parse(fmt.Sprintf(schema, ""))
	want := []string{
		"field list.f lost its default", "field list.f lost its alias g",
		"field again.f lost its default", "field again.f lost its alias g",
	}
	if got := lostFields("", now, before); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := lostFields("", before, now); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
}

func TestEveryCommittedSchemaExists(t *testing.T) {
	committed, err := filepath.Glob("committed/*.avsc")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range committed {
		if !slices.ContainsFunc(All(), func(s Schema) bool { return s.File == filepath.Base(path) }) {
			t.Errorf("%s has no schema: the records of its producers would be unmapped", path)
		}
	}
}
