package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// object is a JSON object with the bytes that it was read from. Values are *object, []any, string, json.Number, bool or nil.
type object struct {
	fields map[string]any
	raw    []byte
}

// text is the string at key; empty where there is none or another type.
func (o *object) text(key string) string {
	s, _ := o.fields[key].(string)
	return s
}

// list is the array at key; nil where there is none or another type.
func (o *object) list(key string) []any {
	l, _ := o.fields[key].([]any)
	return l
}

// object is the object at key; an empty one where there is none or another type.
func (o *object) object(key string) *object {
	if sub, ok := o.fields[key].(*object); ok {
		return sub
	}
	return &object{}
}

// scalar is the text of the string, number or boolean at a dotted path such as "accounts_receivable_identifier.number".
func (o *object) scalar(path string) (string, bool) {
	head, rest, nested := strings.Cut(path, ".")
	switch v := o.fields[head].(type) {
	case *object:
		if nested {
			return v.scalar(rest)
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
func parseObject(body []byte) (*object, error) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, errSyntax
	}
	p := parser{in: body}
	o, ok := p.value().(*object)
	switch {
	case p.duplicate:
		return nil, errDuplicateKey
	case !ok:
		return nil, errNoObject
	}
	return o, nil
}

// parser walks JSON that json.Valid has passed, which also bounds its depth.
type parser struct {
	in        []byte
	at        int
	duplicate bool
}

func (p *parser) value() any {
	p.space()
	switch p.in[p.at] {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case '"':
		return p.text()
	case 't':
		p.at += len("true")
		return true
	case 'f':
		p.at += len("false")
		return false
	case 'n':
		p.at += len("null")
		return nil
	default:
		return p.number()
	}
}

func (p *parser) object() *object {
	start := p.at
	o := &object{fields: make(map[string]any)}
	for p.more('}') {
		key := p.text()
		p.space()
		p.at++ // the colon
		if _, twice := o.fields[key]; twice {
			p.duplicate = true
		}
		o.fields[key] = p.value()
	}
	o.raw = p.in[start:p.at]
	return o
}

func (p *parser) array() []any {
	list := []any{}
	for p.more(']') {
		list = append(list, p.value())
	}
	return list
}

// more passes the opening bracket or a comma and stops at the next element; at the closing bracket it passes that and gives false.
func (p *parser) more(closing byte) bool {
	p.space()
	if p.in[p.at] != closing {
		p.at++
		p.space()
	}
	if p.in[p.at] != closing {
		return true
	}
	p.at++
	return false
}

func (p *parser) text() string {
	start, escaped := p.at, false
	for p.at++; p.in[p.at] != '"'; p.at++ {
		if p.in[p.at] == '\\' {
			escaped = true
			p.at++
		}
	}
	p.at++
	if !escaped {
		return string(p.in[start+1 : p.at-1])
	}
	var s string
	_ = json.Unmarshal(p.in[start:p.at], &s) // cannot fail: json.Valid has passed it
	return s
}

func (p *parser) number() json.Number {
	start := p.at
	for p.at < len(p.in) && strings.IndexByte("+-0123456789.eE", p.in[p.at]) >= 0 {
		p.at++
	}
	return json.Number(p.in[start:p.at])
}

func (p *parser) space() {
	for p.at < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.at]) >= 0 {
		p.at++
	}
}
