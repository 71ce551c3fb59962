package decode

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/avro"

	"sluice/internal/event"
)

// rawDecimals makes twmb/avro decode decimals to their bytes, the representation of event.Decimal.
// Without it, each decimal would be converted to a big.Rat first.
var rawDecimals = avro.CustomType{LogicalType: "decimal", AvroType: "bytes"}

// eventReader is the reader schema and the Go type of one event.
type eventReader struct {
	schema   *avro.Schema
	root     *avro.SchemaNode // with references expanded
	newEvent func() any       // returns a pointer to an empty event
}

// readers finds the reader for the record name of a writer schema. It is immutable once built.
type readers struct{ byFull, byShort, byAlias map[string]*eventReader }

// builtinReaders returns the readers of the generated events, which are parsed once per process.
var builtinReaders = sync.OnceValues(func() (*readers, error) { return parseReaders(event.BuiltinTypes()) })

// readersFor returns the readers of the given events, or of the generated ones if types is nil.
func readersFor(types event.Types) (*readers, error) {
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
		if err := r.addSchema(t.Schema, t.New); err != nil {
			return nil, fmt.Errorf("schema %s: %w", t.Name, err)
		}
	}
	return r, nil
}

func newReaders() *readers {
	return &readers{
		byFull: map[string]*eventReader{}, byShort: map[string]*eventReader{}, byAlias: map[string]*eventReader{},
	}
}

func (r *readers) addSchema(text string, newEvent func() any) error {
	schema, err := avro.Parse(text, rawDecimals)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	root := schema.Root().ExpandReferences()
	reader := &eventReader{schema: schema, root: root, newEvent: newEvent}
	full := fullName(root)
	r.byFull[full] = reader
	r.byShort[shortName(full)] = reader
	for _, alias := range root.Aliases {
		r.byAlias[alias] = reader
	}
	return nil
}

// findReader matches the full name, then the short name, then the readers' aliases, because Avro's
// schema resolution matches records by their unqualified name. It returns nil if no reader matches.
func (r *readers) findReader(full string) *eventReader {
	short := shortName(full)
	for _, found := range []*eventReader{r.byFull[full], r.byShort[short], r.byAlias[full], r.byAlias[short]} {
		if found != nil {
			return found
		}
	}
	return nil
}

func fullName(node *avro.SchemaNode) string {
	if node.Namespace == "" || strings.Contains(node.Name, ".") {
		return node.Name
	}
	return node.Namespace + "." + node.Name
}

func shortName(full string) string { return full[strings.LastIndexByte(full, '.')+1:] }

// codec decodes the records of one schema ID. If err is set, it rejects them all with that error.
type codec struct {
	name     string // the writer's full record name
	schema   *avro.Schema
	newEvent func() any
	err      error
}

// newCodec resolves a writer schema against the schema of its reader.
func (r *readers) newCodec(id int, writer *avro.Schema) *codec {
	if err := checkSize(writer); err != nil {
		return &codec{err: &PoisonError{ID: id, Reason: truncateText("the schema has " + err.Error())}}
	}
	root := writer.Root().ExpandReferences()
	if root.Type != "record" {
		return &codec{err: &PoisonError{ID: id, Reason: fmt.Sprintf("the schema is %s, want a record", root.Type)}}
	}
	name := fullName(root)
	reader := r.findReader(name)
	if reader == nil {
		return &codec{err: &UnmappedError{Name: truncateText(name)}}
	}
	resolved, err := reader.resolveWriter(writer, root)
	if err != nil {
		return &codec{err: &PoisonError{ID: id, Reason: truncateText("resolving the schema: " + err.Error())}}
	}
	return &codec{name: name, schema: resolved, newEvent: reader.newEvent}
}

func (r *eventReader) resolveWriter(writer *avro.Schema, root *avro.SchemaNode) (*avro.Schema, error) {
	if err := checkSemantics("", r.root, root); err != nil {
		return nil, err
	}
	return avro.Resolve(writer, r.schema)
}

// overflowChecker is an event with decimals. It checks their precision, which the Avro libraries do
// not.
type overflowChecker interface{ Overflow() string }

func (c *codec) decodeBody(id int, body []byte) (DecodedEvent, error) {
	if c.err != nil {
		return DecodedEvent{}, c.err
	}
	decoded := c.newEvent()
	rest, err := c.schema.Decode(body, decoded)
	if err != nil {
		return DecodedEvent{}, &PoisonError{ID: id, Reason: describeMalformed(err)}
	}
	if len(rest) > 0 {
		reason := fmt.Sprintf("%d bytes are left after the record's last field", len(rest))
		return DecodedEvent{}, &PoisonError{ID: id, Reason: reason}
	}
	if checker, ok := decoded.(overflowChecker); ok {
		if field := checker.Overflow(); field != "" {
			reason := fmt.Sprintf("field %s: the decimal has more digits than its schema allows", field)
			return DecodedEvent{}, &PoisonError{ID: id, Reason: truncateText(reason)}
		}
	}
	return DecodedEvent{Name: c.name, Event: decoded}, nil
}

// describeMalformed describes where and how a record is malformed. It omits the text of the
// library's error, which may quote values.
func describeMalformed(err error) string {
	where := ""
	var at *avro.SemanticError
	if errors.As(err, &at) && at.Field != "" {
		where = "field " + at.Field + ": "
	}
	var truncated *avro.ShortBufferError
	if errors.As(err, &truncated) {
		return truncateText(fmt.Sprintf("%sthe record ends within a %s", where, truncated.Type))
	}
	return truncateText(where + "the bytes do not match the schema")
}
