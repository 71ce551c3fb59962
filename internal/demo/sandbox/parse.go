package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// jsonObject is a JSON object and the bytes from which it was parsed. Its values are *jsonObject,
// []any, string, json.Number, bool or nil.
type jsonObject struct {
	fields map[string]any
	raw    []byte
}

// textAt returns the string at key, or "" if there is none.
func (o *jsonObject) textAt(key string) string {
	text, _ := o.fields[key].(string)
	return text
}

// listAt returns the array at key, or nil if there is none.
func (o *jsonObject) listAt(key string) []any {
	elements, _ := o.fields[key].([]any)
	return elements
}

// objectAt returns the object at key, or an empty one if there is none.
func (o *jsonObject) objectAt(key string) *jsonObject {
	if sub, ok := o.fields[key].(*jsonObject); ok {
		return sub
	}
	return &jsonObject{}
}

// scalarAt returns the text of the string, number or boolean at a dotted path such as
// "accounts_receivable_identifier.number".
func (o *jsonObject) scalarAt(path string) (string, bool) {
	head, rest, nested := strings.Cut(path, ".")
	switch v := o.fields[head].(type) {
	case *jsonObject:
		if nested {
			return v.scalarAt(rest)
		}
	case string, json.Number, bool:
		if !nested {
			return fmt.Sprint(v), true
		}
	}
	return "", false
}

var (
	errSyntax       = errors.New("not valid JSON in UTF-8")
	errDuplicateKey = errors.New("a key occurs twice in one object")
	errNotObject    = errors.New("not a JSON object")
)

// parseObject parses a body that is a single JSON object. It refuses duplicate keys, whose meaning
// RFC 8259, section 4, leaves open, and keeps the text of numbers.
func parseObject(body []byte) (*jsonObject, error) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, errSyntax
	}
	parser := jsonParser{in: body}
	object, ok := parser.readValue().(*jsonObject)
	switch {
	case parser.duplicate:
		return nil, errDuplicateKey
	case !ok:
		return nil, errNotObject
	}
	return object, nil
}

// jsonParser parses JSON that json.Valid has accepted, which also limits its nesting depth.
type jsonParser struct {
	in        []byte
	position  int
	duplicate bool
}

func (p *jsonParser) readValue() any {
	p.skipSpace()
	switch p.in[p.position] {
	case '{':
		return p.readObject()
	case '[':
		return p.readArray()
	case '"':
		return p.readText()
	case 't':
		p.position += len("true")
		return true
	case 'f':
		p.position += len("false")
		return false
	case 'n':
		p.position += len("null")
		return nil
	default:
		return p.readNumber()
	}
}

func (p *jsonParser) readObject() *jsonObject {
	start := p.position
	object := &jsonObject{fields: make(map[string]any)}
	for p.hasMore('}') {
		key := p.readText()
		p.skipSpace()
		p.position++ // the colon
		if _, twice := object.fields[key]; twice {
			p.duplicate = true
		}
		object.fields[key] = p.readValue()
	}
	object.raw = p.in[start:p.position]
	return object
}

func (p *jsonParser) readArray() []any {
	list := []any{}
	for p.hasMore(']') {
		list = append(list, p.readValue())
	}
	return list
}

// hasMore skips the opening bracket or a comma and reports whether an element follows. If not, it
// skips the closing bracket.
func (p *jsonParser) hasMore(closing byte) bool {
	p.skipSpace()
	if p.in[p.position] != closing {
		p.position++
		p.skipSpace()
	}
	if p.in[p.position] != closing {
		return true
	}
	p.position++
	return false
}

func (p *jsonParser) readText() string {
	start, escaped := p.position, false
	for p.position++; p.in[p.position] != '"'; p.position++ {
		if p.in[p.position] == '\\' {
			escaped = true
			p.position++
		}
	}
	p.position++
	if !escaped {
		return string(p.in[start+1 : p.position-1])
	}
	var text string
	_ = json.Unmarshal(p.in[start:p.position], &text) // cannot fail, since json.Valid accepted it
	return text
}

func (p *jsonParser) readNumber() json.Number {
	start := p.position
	for p.position < len(p.in) && strings.IndexByte("+-0123456789.eE", p.in[p.position]) >= 0 {
		p.position++
	}
	return json.Number(p.in[start:p.position])
}

func (p *jsonParser) skipSpace() {
	for p.position < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.position]) >= 0 {
		p.position++
	}
}
