package schemas

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twmb/avro"
)

func TestEveryFileIsAWholeRecordOfItsName(t *testing.T) {
	all := All()
	if len(all) != 11 {
		t.Errorf("%d schemas, want one an operation: 11", len(all))
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

// Producers write with the committed schemas, and so may consumers of the same topics: each has to read what the other writes.
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
