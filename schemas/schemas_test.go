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

func TestEveryFileIsAWholeRecordOfItsName(t *testing.T) {
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
			t.Errorf("%s and %s are both %s", s.File, other, s.Name)
		}
		seen[s.Name] = s.File
		schema, err := avro.Parse(s.JSON)
		if err != nil {
			t.Errorf("%s: %v", s.File, err)
			continue
		}
		root := schema.Root()
		if got := root.Namespace + "." + root.Name; root.Type != "record" || got != s.Name {
			t.Errorf("%s: is %s %s, listed as %s", s.File, root.Type, got, s.Name)
		}
	}
}

func TestAllMayBeChangedByItsCaller(t *testing.T) {
	All()[0].Name = "changed"
	if All()[0].Name == "changed" {
		t.Error("a caller's change is seen by the next one")
	}
}

// Producers write with the committed schemas, and so may consumers of the same topics: each has to
// read what the other writes.
func TestEverySchemaIsCompatibleWithTheCommittedOneBothWays(t *testing.T) {
	for _, s := range All() {
		text, err := os.ReadFile(filepath.Join("committed", s.File))
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is not in schemas/committed/: to promise it: cp schemas/%s schemas/committed/", s.File, s.File)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		now, before := avro.MustParse(s.JSON), avro.MustParse(string(text))
		reads, isRead := avro.CheckCompatibility(before, now), avro.CheckCompatibility(now, before)
		switch {
		case reads != nil:
			t.Errorf("%s cannot read what was written with schemas/committed/: %v. Give a new field a default and leave types as they are.", s.File, reads)
		case isRead != nil:
			t.Errorf("readers with schemas/committed/ cannot read what %s writes: %v. Keep a field that has no default.", s.File, isRead)
		case string(text) != s.JSON:
			t.Errorf("%s differs from schemas/committed/ and is compatible with it. To accept the change: cp schemas/%s schemas/committed/", s.File, s.File)
		}
	}
}

// Topics hold what versions before the committed one wrote: without a field that came later, or
// with its former name.
func TestNoFieldLosesItsDefaultOrAnAlias(t *testing.T) {
	for _, s := range All() {
		text, err := os.ReadFile(filepath.Join("committed", s.File))
		if err != nil {
			t.Fatal(err)
		}
		now, before := avro.MustParse(s.JSON).Root().ExpandReferences(), avro.MustParse(string(text)).Root().ExpandReferences()
		for _, lost := range losses("", now, before) {
			t.Errorf("%s: %s: records of older versions could not be read", s.File, lost)
		}
	}
}

// losses names what fields had before and have no more. A field that is gone is the other tests'
// business.
func losses(path string, now, before *avro.SchemaNode) []string {
	var lost []string
	for _, b := range inner(before) {
		for _, n := range inner(now) {
			for _, field := range b.Fields {
				i := slices.IndexFunc(n.Fields, func(f avro.SchemaField) bool { return f.Name == field.Name })
				if i < 0 {
					continue
				}
				at := path + "." + field.Name
				if field.HasDefault && !n.Fields[i].HasDefault {
					lost = append(lost, "field "+at[1:]+" has no default any more")
				}
				for _, alias := range field.Aliases {
					if !slices.Contains(n.Fields[i].Aliases, alias) {
						lost = append(lost, "field "+at[1:]+" has not the alias "+alias+" any more")
					}
				}
				lost = append(lost, losses(at, &n.Fields[i].Type, &field.Type)...)
			}
		}
	}
	return lost
}

// inner are the records that a type is or holds.
func inner(n *avro.SchemaNode) []*avro.SchemaNode {
	switch n.Type {
	case "record":
		return []*avro.SchemaNode{n}
	case "array":
		return inner(n.Items)
	case "map":
		return inner(n.Values)
	}
	var records []*avro.SchemaNode
	for i := range n.Branches {
		records = append(records, inner(&n.Branches[i])...)
	}
	return records
}

func TestALossInAnyDepthIsFound(t *testing.T) {
	parse := func(text string) *avro.SchemaNode {
		return avro.MustParse(text).Root().ExpandReferences()
	}
	const schema = `{"type":"record","name":"R","fields":[{"name":"list","type":["null",{"type":"array","items":{"type":"map","values":{"type":"record","name":"P",
		"fields":[{"name":"f","type":"int"%s}]}}}]},{"name":"again","type":"P"}]}`
	before, now := parse(fmt.Sprintf(schema, `,"default":0,"aliases":["g"]`)), parse(fmt.Sprintf(schema, ""))
	want := []string{
		"field list.f has no default any more", "field list.f has not the alias g any more",
		"field again.f has no default any more", "field again.f has not the alias g any more",
	}
	if got := losses("", now, before); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := losses("", before, now); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
}

func TestNoCommittedSchemaHasVanished(t *testing.T) {
	committed, err := filepath.Glob("committed/*.avsc")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range committed {
		if !slices.ContainsFunc(All(), func(s Schema) bool { return s.File == filepath.Base(path) }) {
			t.Errorf("%s has no schema any more: its producers' records would be unmapped", path)
		}
	}
}
