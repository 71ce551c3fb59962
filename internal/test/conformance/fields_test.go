package conformance

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	pathpkg "path"
	"slices"
	"strings"
	"testing"

	"sluice/schemas"
)

//go:embed testdata/*.fields testdata/exceptions.txt
var testdata embed.FS

// pages are the lists of fields, one a page. They were written from the pages and not from the schemas.
var pages = map[string][]section{
	"crmcom-customer-events-bulk": {
		{"purchases", "crmcom.Purchase", "purchase_customer_events_set[]."},
		{"referrals", "crmcom.Referral", "referral_customer_events_set[]."},
		{"achievements", "crmcom.Achievement", "achievement_customer_events_set[]."},
		{"social_media", "crmcom.SocialMediaAction", "social_media_customer_events_set[]."},
		{"web", "crmcom.WebVisit", "web_customer_events_set[]."},
		{"financial_achievements", "crmcom.FinancialAchievement", "financial_achievement_customer_events_set[]."},
		{"financial_statements", "crmcom.FinancialStatement", "financial_achievement_customer_events_set[]."},
	},
	"expoints-customer-add":          {{"add", "expoints.FeedbackRequest", "Customers[]."}},
	"expoints-customer-addfinished":  {{"addfinished", "expoints.FeedbackFinished", "Customer."}},
	"expoints-customer-addlock":      {{"addlock", "expoints.FeedbackLock", ""}},
	"propel-customers-bulk-sourceid": {{"customers", "propel.CustomerChange", "customers[]."}},
}

// section is one method of a page: its event, and what stands before an item's own fields.
type section struct{ name, event, item string }

// pageField is a line of a list.
type pageField struct{ need, release string }

// schemaField is a field of a schema, by its path.
type schemaField struct {
	optional bool // may be absent: null, or an empty list
	doc      string
}

// exceptions are what differs between page and schema, each with a reason, by event.
type exceptions struct {
	to   map[exception]string // with kind carried: the schema's path, "-" where the schema has none
	used map[exception]bool
}

type exception struct{ kind, path string }

// take tells whether there is such an exception, and that it was needed.
func (e *exceptions) take(kind, path string) (to string, ok bool) {
	to, ok = e.to[exception{kind, path}]
	e.used[exception{kind, path}] = ok
	return to, ok
}

func TestEveryFieldOfThePagesIsInASchemaAndTheOtherWayRound(t *testing.T) {
	excepted := readExceptions(t)
	all := schemaFields(t)
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		checked := 0
		lists := readFields(t, page)
		for _, s := range pages[page] {
			checked += len(lists[s.name])
			checkSection(t, s, lists[s.name], all[s.event], excepted[s.event])
			delete(lists, s.name)
		}
		if len(lists) > 0 || checked == 0 {
			t.Errorf("%s: %d fields checked, and sections that no event is for: %v", page, checked, lists)
		}
		t.Logf("%s: %d fields checked", page, checked)
	}
	for name, e := range excepted {
		for x := range e.to {
			if !e.used[x] {
				t.Errorf("exceptions.txt: %s %s %s is no exception", name, x.kind, x.path)
			}
		}
	}
}

func checkSection(t *testing.T, s section, page map[string]pageField, schema map[string]schemaField, e *exceptions) {
	t.Helper()
	if len(page) == 0 || len(schema) == 0 || e == nil {
		t.Fatalf("%s: %d fields on the page, %d in schema %s", s.name, len(page), len(schema), s.event)
	}
	left := maps.Clone(schema)
	for _, path := range slices.Sorted(maps.Keys(page)) {
		to := e.carry(path, s.item)
		if to == "-" {
			continue
		}
		f, there := schema[to]
		if !there {
			t.Errorf("%s: %s of the page is not in schema %s", s.name, path, s.event)
			continue
		}
		delete(left, to)
		if problem := disagreement(page[path], f); problem != "" {
			if _, excepted := e.take("need", path); !excepted {
				t.Errorf("%s: %s: %s", s.event, to, problem)
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(left)) {
		if _, excepted := e.take("own", path); !excepted {
			t.Errorf("%s: %s is on no page", s.event, path)
		}
	}
}

// carry gives the schema's path for a page's; "-" where the schema is to have none, and empty where it should have one and cannot.
func (e *exceptions) carry(path, item string) string {
	if to, ok := e.take("carried", path); ok {
		return to
	}
	for at := path; strings.Contains(at, "."); {
		at = at[:strings.LastIndexByte(at, '.')]
		if to, ok := e.to[exception{"carried", at}]; ok && to != "-" {
			return to + path[len(at):]
		}
	}
	if own, ok := strings.CutPrefix(path, item); ok {
		return own
	}
	return ""
}

// oldReleases say nothing: every release with bulk methods has what they brought.
var oldReleases = []string{"R9.1.0", "R10.0.0"}

// disagreement says how a schema's field differs from what the page asks of it.
func disagreement(p pageField, f schemaField) string {
	mandatory := p.need == "mandatory" || p.need == "required"
	switch {
	case mandatory && f.optional:
		return "the page says " + p.need + ", the schema lets it be absent"
	case !mandatory && !f.optional:
		return "the page says " + p.need + ", the schema insists on it"
	case p.release != "" && !slices.Contains(oldReleases, p.release) && !strings.Contains(f.doc, "From "+p.release):
		return "the page says from " + p.release + ", the schema does not"
	}
	return ""
}

// readFields reads a list: "[section]", then lines "path need release", the release only where the page has one. # begins a comment.
func readFields(t *testing.T, page string) map[string]map[string]pageField {
	t.Helper()
	lists := map[string]map[string]pageField{}
	var fields map[string]pageField
	for _, words := range lines(t, page+".fields") {
		if name, ok := strings.CutPrefix(words[0], "["); ok {
			fields = map[string]pageField{}
			lists[strings.TrimSuffix(name, "]")] = fields
			continue
		}
		if _, twice := fields[words[0]]; twice || len(words) < 2 || len(words) > 3 {
			t.Fatalf("%s.fields: %v: want a path of its own, a need and perhaps a release", page, words)
		}
		fields[words[0]] = pageField{need: words[1], release: strings.Join(words[2:], "")}
	}
	return lists
}

// readExceptions reads lines "event kind path reason", with the schema's path after the page's where the kind is carried.
func readExceptions(t *testing.T) map[string]*exceptions {
	t.Helper()
	all := map[string]*exceptions{}
	for _, sections := range pages {
		for _, s := range sections {
			all[s.event] = &exceptions{to: map[exception]string{}, used: map[exception]bool{}}
		}
	}
	fewest := map[string]int{"own": 4, "need": 4, "carried": 5}
	for _, words := range lines(t, "exceptions.txt") {
		if len(words) < 2 || fewest[words[1]] == 0 || len(words) < fewest[words[1]] {
			t.Fatalf("exceptions.txt: %v: want an event, a kind (carried, own or need), a path and a reason", words)
		}
		matched := false
		for name, e := range all {
			if ok, err := pathpkg.Match(words[0], name); err != nil || !ok {
				continue
			}
			matched = true
			e.to[exception{words[1], words[2]}] = words[3]
		}
		if !matched {
			t.Fatalf("exceptions.txt: %v: no such event", words)
		}
	}
	return all
}

func lines(t *testing.T, file string) [][]string {
	t.Helper()
	text, err := testdata.ReadFile("testdata/" + file)
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

// schemaFields walks the schemas; the paths are those of the JSON that they carry, "products_set[].net_amount".
func schemaFields(t *testing.T) map[string]map[string]schemaField {
	t.Helper()
	all := map[string]map[string]schemaField{}
	for _, s := range schemas.All() {
		var root any
		if err := json.Unmarshal([]byte(s.JSON), &root); err != nil {
			t.Fatal(err)
		}
		w := walker{records: map[string]any{}, fields: map[string]schemaField{}}
		w.walk(root, "")
		all[strings.TrimPrefix(s.Name, "sluice.")] = w.fields
	}
	return all
}

type walker struct {
	records map[string]any // by short name, for later references
	fields  map[string]schemaField
}

func (w *walker) walk(schema any, at string) {
	switch s := schema.(type) {
	case string:
		if record, ok := w.records[s[strings.LastIndexByte(s, '.')+1:]]; ok {
			w.walk(record, at)
		}
	case []any:
		for _, branch := range s {
			w.walk(branch, at)
		}
	case map[string]any:
		switch s["type"] {
		case "record":
			w.record(s, at)
		case "array":
			w.walk(s["items"], at+"[]")
		}
	}
}

func (w *walker) record(s map[string]any, at string) {
	w.records[fmt.Sprint(s["name"])] = s
	if at != "" {
		at += "."
	}
	for _, field := range s["fields"].([]any) {
		f := field.(map[string]any)
		path := at + fmt.Sprint(f["name"])
		union, _ := f["type"].([]any)
		w.fields[path] = schemaField{optional: slices.Contains(union, any("null")), doc: fmt.Sprint(f["doc"])}
		w.walk(f["type"], path)
	}
}
