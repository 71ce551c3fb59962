package main

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// model is the content of all schemas, in the order in which the code is generated.
type model struct {
	events []string // full names, one per file
	types  []*goType
	byName map[string]*goType
}

// goType is a record type and the Go struct that it becomes.
type goType struct {
	name   string // short Avro name, the Go type's name
	full   string
	doc    string
	file   string // the first file that defines it
	source string // its schema alone, to compare it with definitions in other files
	fields []goField
}

type goField struct {
	name, avro, doc string
	typ             typeRef
}

// vendorNamespace matches the namespace of a vendor. Records must not be in any other namespace.
var vendorNamespace = regexp.MustCompile(`^sluice\.[a-z][a-z0-9]*$`)

// reservedNames are the names that the hand-written part of package event declares.
var reservedNames = []string{
	"Decimal", "Millionths", "ParseDecimal", "Scale", "NewEvent", "EventNames", "Type", "Types", "BuiltinTypes",
}

// readModel reads every schema of a directory.
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
		return fmt.Errorf("reading the file: %w", err)
	}
	schema, err := avro.Parse(string(text))
	if err != nil {
		return fmt.Errorf("parsing the schema: %w", err)
	}
	// The references are expanded so that the definition of a type is available wherever it is
	// used.
	root := schema.Root().ExpandReferences()
	if root.Type != "record" {
		return fmt.Errorf("is a %s, want a record", root.Type)
	}
	if _, err := m.addRecord(file, root); err != nil {
		return err
	}
	m.events = append(m.events, fullName(root))
	return nil
}

func fullName(node *avro.SchemaNode) string {
	if node.Namespace == "" || strings.Contains(node.Name, ".") {
		return node.Name
	}
	return node.Namespace + "." + node.Name
}

// addRecord adds the type of a record. If an earlier file already defines it, addRecord checks that
// the definitions are equal.
func (m *model) addRecord(file string, node *avro.SchemaNode) (*goType, error) {
	full := fullName(node)
	namespace, short := full[:max(0, strings.LastIndexByte(full, '.'))], full[strings.LastIndexByte(full, '.')+1:]
	if !vendorNamespace.MatchString(namespace) {
		return nil, fmt.Errorf("record %s: namespace %q, want sluice.<vendor>, such as sluice.crmcom", short,
			namespace)
	}
	if slices.Contains(reservedNames, short) || goName(short) != short {
		return nil, fmt.Errorf("record %s: the name must be an exported Go name other than %s", short,
			strings.Join(reservedNames, ", "))
	}
	own, err := node.Schema()
	if err != nil {
		return nil, fmt.Errorf("record %s: parsing its schema alone: %w", short, err)
	}
	if known := m.byName[short]; known != nil {
		if known.full != full || known.source != own.String() {
			return nil, fmt.Errorf("record %s: differs from the one in %s; types with the same name must be the same in all files",
				full, known.file)
		}
		return known, nil
	}
	t := &goType{name: short, full: full, doc: node.Doc, file: file, source: own.String()}
	m.byName[short] = t
	m.types = append(m.types, t)
	for _, f := range node.Fields {
		if err := m.addField(file, t, f); err != nil {
			return nil, fmt.Errorf("record %s, field %s: %w", short, f.Name, err)
		}
	}
	return t, nil
}

func (m *model) addField(file string, owner *goType, field avro.SchemaField) error {
	typ, err := m.typeOf(file, &field.Type)
	if err != nil {
		return err
	}
	name := goName(field.Name)
	for _, other := range owner.fields {
		if other.name == name {
			return fmt.Errorf("its Go name %s is that of field %s", name, other.avro)
		}
	}
	owner.fields = append(owner.fields, goField{name: name, avro: field.Name, doc: field.Doc, typ: typ})
	return nil
}

// goName returns an Avro name as an exported Go name, with each part between underscores
// capitalized: sale_value is SaleValue, sourceId is SourceId.
func goName(avroName string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(avroName, "_") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
