package conformance

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	pathpkg "path"
	"slices"
	"strings"
	"testing"
)

//go:embed testdata
var productTestdata embed.FS

// pageSection is one method of a page: its operation, the event's full name without "sluice.", and
// the path prefix of an item's fields.
type pageSection struct{ operation, event, itemPrefix string }

// pageField is one line of a list of fields.
type pageField struct{ need, release string }

// schemaField is a field of a schema.
type schemaField struct {
	optional bool // may be absent: null, or an empty list
	doc      string
}

// exceptions are the differences between an event's page and its schema, each with a reason.
type exceptions struct {
	// targets has the schema's path for exceptions of kind carried, or "-" if the schema has none.
	targets map[exception]string
	used    map[exception]bool
	forAll  map[exception]bool // exceptions that are listed for every event
}

type exception struct{ kind, path string }

// useException returns an exception's target and whether there is one, and records that it was
// used.
func (e *exceptions) useException(kind, path string) (target string, ok bool) {
	target, ok = e.targets[exception{kind, path}]
	e.used[exception{kind, path}] = ok
	return target, ok
}

func TestSchemasHaveExactlyTheFieldsOfThePages(t *testing.T) { productSuite().checkSchemaFields(t) }

func (s suite) checkSchemaFields(t *testing.T) {
	s.requireParts(t)
	excepted := s.readExceptions(t)
	schemas := s.readSchemaFields(t)
	for _, name := range slices.Sorted(maps.Keys(s.fixtures)) {
		pages := s.fixtures[name].pages
		for _, page := range slices.Sorted(maps.Keys(pages)) {
			checked := 0
			lists := s.readFieldLists(t, page)
			for _, section := range pages[page] {
				checked += len(lists[section.operation])
				checkSection(t, section, lists[section.operation], schemas[section.event], excepted[section.event])
				delete(lists, section.operation)
			}
			if len(lists) > 0 || checked == 0 {
				t.Errorf("%s: %d fields checked, and sections without an event: %v; want some and none", page,
					checked, lists)
			}
			t.Logf("%s: %d fields checked", page, checked)
		}
	}
	reportUnusedExceptions(t, excepted)
}

// reportUnusedExceptions reports exceptions that were never used. One that is listed for every
// event must be used by at least one.
func reportUnusedExceptions(t *testing.T, excepted map[string]*exceptions) {
	t.Helper()
	usedByAny := map[exception]bool{}
	for _, e := range excepted {
		for x := range e.targets {
			usedByAny[x] = usedByAny[x] || e.used[x]
		}
	}
	for name, e := range excepted {
		for x := range e.targets {
			if used := e.used[x] || e.forAll[x] && usedByAny[x]; !used {
				t.Errorf("exceptions.txt: %s %s %s is not needed", name, x.kind, x.path)
			}
		}
	}
}

func checkSection(t *testing.T, s pageSection, page map[string]pageField, schema map[string]schemaField,
	e *exceptions) {
	t.Helper()
	if len(page) == 0 || len(schema) == 0 || e == nil {
		t.Fatalf("%s: %d fields on the page, %d in schema %s; want some", s.operation, len(page), len(schema),
			s.event)
	}
	left := maps.Clone(schema)
	for _, path := range slices.Sorted(maps.Keys(page)) {
		target := e.schemaPath(path, s.itemPrefix)
		if target == "-" {
			continue
		}
		f, there := schema[target]
		if !there {
			t.Errorf("%s: %s of the page is not in schema %s; if this is intended, add a line to "+
				"testdata/exceptions.txt: %s carried %s SCHEMA_PATH REASON, with SCHEMA_PATH - for none",
				s.operation, path, s.event, s.event, path)
			continue
		}
		delete(left, target)
		if problem := compareFields(page[path], f); problem != "" {
			if _, excepted := e.useException("need", path); !excepted {
				t.Errorf("%s: %s: %s; if this is intended, add a line to testdata/exceptions.txt: %s need %s REASON",
					s.event, target, problem, s.event, path)
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(left)) {
		if _, excepted := e.useException("own", path); !excepted {
			t.Errorf("%s: %s is on no page; if this is intended, add a line to testdata/exceptions.txt: %s own %s REASON",
				s.event, path, s.event, path)
		}
	}
}

// schemaPath returns the path in the schema for a path on the page: "-" if the schema is not
// supposed to have one, and "" if it should have one but does not.
func (e *exceptions) schemaPath(path, itemPrefix string) string {
	if target, ok := e.useException("carried", path); ok {
		return target
	}
	for at := path; strings.Contains(at, "."); {
		at = at[:strings.LastIndexByte(at, '.')]
		if target, ok := e.targets[exception{"carried", at}]; ok && target != "-" {
			return target + path[len(at):]
		}
	}
	if own, ok := strings.CutPrefix(path, itemPrefix); ok {
		return own
	}
	return ""
}

// oldReleases need no mention in a schema, because every release with bulk methods is later.
var oldReleases = []string{"R9.1.0", "R10.0.0"}

// compareFields returns how a schema's field differs from the page's, or "" if it does not.
func compareFields(p pageField, f schemaField) string {
	mandatory := p.need == "mandatory" || p.need == "required"
	switch {
	case mandatory && f.optional:
		return "the page has it as " + p.need + ", but the schema allows its absence"
	case !mandatory && !f.optional:
		return "the page has it as " + p.need + ", but the schema requires it"
	case p.release != "" && !slices.Contains(oldReleases, p.release) && !strings.Contains(f.doc, "From "+p.release):
		return "the page has it from " + p.release + ", but the schema does not mention that"
	}
	return ""
}

// readFieldLists reads the list of fields of a page. Each section begins with a line "[section]",
// followed by lines "path need" or "path need release". Lines that begin with # are comments.
func (s suite) readFieldLists(t *testing.T, page string) map[string]map[string]pageField {
	t.Helper()
	lists := map[string]map[string]pageField{}
	var fields map[string]pageField
	for _, words := range s.readLines(t, page+".fields") {
		if name, ok := strings.CutPrefix(words[0], "["); ok {
			fields = map[string]pageField{}
			lists[strings.TrimSuffix(name, "]")] = fields
			continue
		}
		if _, twice := fields[words[0]]; twice || len(words) < 2 || len(words) > 3 {
			t.Fatalf("%s.fields: %v: want a path that occurs once, a need and optionally a release", page, words)
		}
		fields[words[0]] = pageField{need: words[1], release: strings.Join(words[2:], "")}
	}
	return lists
}

// readExceptions reads lines "event kind path reason", or "event carried path target reason", where
// target is the path in the schema.
func (s suite) readExceptions(t *testing.T) map[string]*exceptions {
	t.Helper()
	all := map[string]*exceptions{}
	for _, fixture := range s.fixtures {
		for _, sections := range fixture.pages {
			for _, section := range sections {
				all[section.event] = &exceptions{
					targets: map[exception]string{}, used: map[exception]bool{}, forAll: map[exception]bool{},
				}
			}
		}
	}
	wordCount := map[string]int{"own": 4, "need": 4, "carried": 5} // at least
	for _, words := range s.readLines(t, "exceptions.txt") {
		if len(words) < 2 || wordCount[words[1]] == 0 || len(words) < wordCount[words[1]] {
			t.Fatalf("exceptions.txt: %v: want an event, a kind (carried, own or need), a path and a reason", words)
		}
		matched := false
		for name, e := range all {
			if ok, err := pathpkg.Match(words[0], name); err != nil || !ok {
				continue
			}
			matched = true
			x := exception{words[1], words[2]}
			e.targets[x], e.forAll[x] = words[3], words[0] == "*"
		}
		if !matched {
			t.Fatalf("exceptions.txt: %v: no such event", words)
		}
	}
	return all
}

// readLines returns the words of each line of a file in the suite's testdata, without comments.
func (s suite) readLines(t *testing.T, file string) [][]string {
	t.Helper()
	text, err := fs.ReadFile(s.testdata, "testdata/"+file)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
			out = append(out, words)
		}
	}
	return out
}

// readSchemaFields returns the fields of the vendors' schemas by event, without "sluice.", and by
// their JSON path, such as "products_set[].net_amount".
func (s suite) readSchemaFields(t *testing.T) map[string]map[string]schemaField {
	t.Helper()
	all := map[string]map[string]schemaField{}
	for _, eventType := range s.vendors.Events() {
		var root any
		if err := json.Unmarshal([]byte(eventType.Schema), &root); err != nil {
			t.Fatal(err)
		}
		w := schemaWalker{records: map[string]any{}, fields: map[string]schemaField{}}
		w.walkType(root, "")
		all[strings.TrimPrefix(eventType.Name, "sluice.")] = w.fields
	}
	return all
}

type schemaWalker struct {
	records map[string]any // by short name, for later references
	fields  map[string]schemaField
}

func (w *schemaWalker) walkType(schema any, path string) {
	switch s := schema.(type) {
	case string:
		if record, ok := w.records[s[strings.LastIndexByte(s, '.')+1:]]; ok {
			w.walkType(record, path)
		}
	case []any:
		for _, branch := range s {
			w.walkType(branch, path)
		}
	case map[string]any:
		switch s["type"] {
		case "record":
			w.walkRecord(s, path)
		case "array":
			w.walkType(s["items"], path+"[]")
		}
	}
}

func (w *schemaWalker) walkRecord(s map[string]any, path string) {
	w.records[fmt.Sprint(s["name"])] = s
	for _, field := range s["fields"].([]any) {
		f := field.(map[string]any)
		fieldPath := joinPath(path, fmt.Sprint(f["name"]))
		union, _ := f["type"].([]any)
		w.fields[fieldPath] = schemaField{optional: slices.Contains(union, any("null")), doc: fmt.Sprint(f["doc"])}
		w.walkType(f["type"], fieldPath)
	}
}
