package main

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// model is what the schemas say, in the order in which it is written.
type model struct {
	events []string // full names, one a file
	types  []*goType
	byName map[string]*goType
}

// goType is a record as a Go struct.
type goType struct {
	name   string // short Avro name, the Go type's name
	full   string
	doc    string
	file   string // where it was seen first
	source string // its schema on its own, to compare with other files'
	fields []goField
}

type goField struct {
	name, avro, doc string
	typ             typeRef
}

// vendorNamespace is the form of a vendor's namespace; a record in any other is a mistake.
var vendorNamespace = regexp.MustCompile(`^sluice\.[a-z][a-z0-9]*$`)

// taken are the names that package event declares itself.
var taken = []string{
	"Decimal", "Millionths", "ParseDecimal", "Scale", "NewEvent", "EventNames", "Type", "Types", "BuiltinTypes",
}

// readModel reads every schema of the directory.
func readModel(dir fs.FS) (*model, error) {
	files, err := fs.Glob(dir, "*.avsc")
	if err != nil {
		return nil, fmt.Errorf("listing the schemas: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no *.avsc file")
	}
	m := &model{byName: map[string]*goType{}}
	for _, file := range files {
		if err := m.addFile(dir, file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return m, nil
}

func (m *model) addFile(dir fs.FS, file string) error {
	text, err := fs.ReadFile(dir, file)
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	schema, err := avro.Parse(string(text))
	if err != nil {
		return fmt.Errorf("parsing it: %w", err)
	}
	// Expanded, so that a type used twice is met with its definition each time.
	root := schema.Root().ExpandReferences()
	if root.Type != "record" {
		return fmt.Errorf("is a %s, a record is wanted", root.Type)
	}
	if _, err := m.addRecord(file, root); err != nil {
		return err
	}
	m.events = append(m.events, fullName(root))
	return nil
}

func fullName(n *avro.SchemaNode) string {
	if n.Namespace == "" || strings.Contains(n.Name, ".") {
		return n.Name
	}
	return n.Namespace + "." + n.Name
}

// addRecord adds the record's type, or checks that it is the one seen before.
func (m *model) addRecord(file string, n *avro.SchemaNode) (*goType, error) {
	full := fullName(n)
	namespace, short := full[:max(0, strings.LastIndexByte(full, '.'))], full[strings.LastIndexByte(full, '.')+1:]
	if !vendorNamespace.MatchString(namespace) {
		return nil, fmt.Errorf("record %s: namespace %q, want sluice.<vendor>, such as sluice.crmcom", short, namespace)
	}
	if slices.Contains(taken, short) || goName(short) != short {
		return nil, fmt.Errorf("record %s: the name must be an exported Go name other than %s", short, strings.Join(taken, ", "))
	}
	own, err := n.Schema()
	if err != nil {
		return nil, fmt.Errorf("record %s: parsing it on its own: %w", short, err)
	}
	if seen := m.byName[short]; seen != nil {
		if seen.full != full || seen.source != own.String() {
			return nil, fmt.Errorf("record %s: differs from the one in %s; a type of one name must be the same in all files", full, seen.file)
		}
		return seen, nil
	}
	t := &goType{name: short, full: full, doc: n.Doc, file: file, source: own.String()}
	m.byName[short] = t
	m.types = append(m.types, t)
	for _, f := range n.Fields {
		if err := m.addField(file, t, f); err != nil {
			return nil, fmt.Errorf("record %s, field %s: %w", short, f.Name, err)
		}
	}
	return t, nil
}

func (m *model) addField(file string, t *goType, f avro.SchemaField) error {
	typ, err := m.typeOf(file, &f.Type)
	if err != nil {
		return err
	}
	name := goName(f.Name)
	for _, other := range t.fields {
		if other.name == name {
			return fmt.Errorf("has the Go name %s, as field %s has", name, other.avro)
		}
	}
	t.fields = append(t.fields, goField{name: name, avro: f.Name, doc: f.Doc, typ: typ})
	return nil
}

// goName is the Avro name with each part between underscores begun in upper case: sale_value is
// SaleValue, sourceId is SourceId.
func goName(avroName string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(avroName, "_") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
