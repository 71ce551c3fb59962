package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// jsonObject is a JSON object with the bytes that it was read from. Values are *object, []any, string, json.Number, bool or nil.
type jsonObject struct {
	fields map[string]any
	raw    []byte
}

// textAt is the string at key; empty where there is none or another type.
func (o *jsonObject) textAt(key string) string {
	text, _ := o.fields[key].(string)
	return text
}

// listAt is the array at key; nil where there is none or another type.
func (o *jsonObject) listAt(key string) []any {
	elements, _ := o.fields[key].([]any)
	return elements
}

// objectAt is the object at key; an empty one where there is none or another type.
func (o *jsonObject) objectAt(key string) *jsonObject {
	if sub, ok := o.fields[key].(*jsonObject); ok {
		return sub
	}
	return &jsonObject{}
}

// scalarAt is the text of the string, number or boolean at a dotted path such as "accounts_receivable_identifier.number".
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
	errNoObject     = errors.New("not a JSON object")
)

// parseObject reads a body that is one JSON object. Keys that occur twice are refused (RFC 8259, section 4, leaves their meaning open), and
// numbers keep their text.
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
		return nil, errNoObject
	}
	return object, nil
}

// jsonParser walks JSON that json.Valid has passed, which also bounds its depth.
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

// hasMore passes the opening bracket or a comma and stops at the next element; at the closing bracket it passes that and gives false.
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
	_ = json.Unmarshal(p.in[start:p.position], &text) // cannot fail: json.Valid has passed it
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
