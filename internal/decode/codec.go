package decode

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/avro"

	"sluice/internal/event"
)

// rawDecimals has decimals handed over as their bytes, which is what event.Decimal is. Without it each would become a big.Rat first.
var rawDecimals = avro.CustomType{LogicalType: "decimal", AvroType: "bytes"}

// reader is one event's schema and type.
type reader struct {
	schema *avro.Schema
	root   *avro.SchemaNode // with references expanded
	fresh  func() any       // a pointer to an empty event
}

// readers finds the reader of a writer's record name. It does not change once made.
type readers struct{ byFull, byShort, byAlias map[string]*reader }

// builtinReaders are the readers of the generated events. They are parsed once a process and never
// change.
var builtinReaders = sync.OnceValues(func() (*readers, error) { return parseReaders(event.BuiltinTypes()) })

// readersOf returns the readers of the given events, or of the generated ones where none are given.
func readersOf(types event.Types) (*readers, error) {
	if types == nil {
		return builtinReaders()
	}
	return parseReaders(types)
}

func parseReaders(types event.Types) (*readers, error) {
	r := newReaders()
	for _, t := range types {
		if t.New() == nil {
			return nil, fmt.Errorf("schema %s: package event has no such type", t.Name)
		}
		if err := r.add(t.Schema, t.New); err != nil {
			return nil, fmt.Errorf("schema %s: %w", t.Name, err)
		}
	}
	return r, nil
}

func newReaders() *readers {
	return &readers{byFull: map[string]*reader{}, byShort: map[string]*reader{}, byAlias: map[string]*reader{}}
}

func (r *readers) add(text string, fresh func() any) error {
	schema, err := avro.Parse(text, rawDecimals)
	if err != nil {
		return fmt.Errorf("parsing it: %w", err)
	}
	root := schema.Root().ExpandReferences()
	reader := &reader{schema: schema, root: root, fresh: fresh}
	full := fullName(root)
	r.byFull[full] = reader
	r.byShort[short(full)] = reader
	for _, alias := range root.Aliases {
		r.byAlias[alias] = reader
	}
	return nil
}

// find goes by the full name, then the short one, then the readers' aliases (Avro 1.12, schema resolution: records match by unqualified name).
func (r *readers) find(full string) *reader {
	for _, found := range []*reader{r.byFull[full], r.byShort[short(full)], r.byAlias[full], r.byAlias[short(full)]} {
		if found != nil {
			return found
		}
	}
	return nil
}

func fullName(n *avro.SchemaNode) string {
	if n.Namespace == "" || strings.Contains(n.Name, ".") {
		return n.Name
	}
	return n.Namespace + "." + n.Name
}

func short(full string) string { return full[strings.LastIndexByte(full, '.')+1:] }

// codec decodes the records of one schema id; with err it refuses them all.
type codec struct {
	name   string // the writer's full record name
	schema *avro.Schema
	fresh  func() any
	err    error
}

// codec resolves a writer's schema against its reader's.
func (r *readers) codec(id int, writer *avro.Schema) *codec {
	if err := bounded(writer); err != nil {
		return &codec{err: &PoisonError{ID: id, Reason: cut("the schema has " + err.Error())}}
	}
	root := writer.Root().ExpandReferences()
	if root.Type != "record" {
		return &codec{err: &PoisonError{ID: id, Reason: fmt.Sprintf("the schema is %s, want a record", root.Type)}}
	}
	name := fullName(root)
	reader := r.find(name)
	if reader == nil {
		return &codec{err: &UnmappedError{Name: cut(name)}}
	}
	resolved, err := reader.resolve(writer, root)
	if err != nil {
		return &codec{err: &PoisonError{ID: id, Reason: cut("resolving the schema: " + err.Error())}}
	}
	return &codec{name: name, schema: resolved, fresh: reader.fresh}
}

func (r *reader) resolve(writer *avro.Schema, root *avro.SchemaNode) (*avro.Schema, error) {
	if err := sameMeaning("", r.root, root); err != nil {
		return nil, err
	}
	return avro.Resolve(writer, r.schema)
}

// overflower is an event that has decimals. Avro libraries do not hold a decimal to its precision.
type overflower interface{ Overflow() string }

func (c *codec) decode(id int, body []byte) (DecodedEvent, error) {
	if c.err != nil {
		return DecodedEvent{}, c.err
	}
	e := c.fresh()
	rest, err := c.schema.Decode(body, e)
	if err != nil {
		return DecodedEvent{}, &PoisonError{ID: id, Reason: malformed(err)}
	}
	if len(rest) > 0 {
		return DecodedEvent{}, &PoisonError{ID: id, Reason: fmt.Sprintf("%d bytes are left after the record's last field", len(rest))}
	}
	if o, ok := e.(overflower); ok {
		if field := o.Overflow(); field != "" {
			return DecodedEvent{}, &PoisonError{ID: id, Reason: cut(fmt.Sprintf("field %s: the decimal has more digits than its schema allows", field))}
		}
	}
	return DecodedEvent{Name: c.name, Event: e}, nil
}

// malformed says where a record is broken and of what kind the fault is. The library's own text stays out, for it can quote values.
func malformed(err error) string {
	where := ""
	var at *avro.SemanticError
	if errors.As(err, &at) && at.Field != "" {
		where = "field " + at.Field + ": "
	}
	var brief *avro.ShortBufferError
	if errors.As(err, &brief) {
		return cut(fmt.Sprintf("%sthe record ends within a %s", where, brief.Type))
	}
	return cut(where + "the bytes are not of the schema's form")
}
