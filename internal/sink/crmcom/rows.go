package crmcom

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// row is an element of either set. Its other members, the event's ID and number, are not needed. A
// member that is not a string is decoded as empty.
type row struct {
	id          []byte // request_unique_identifier; it may share the response's memory
	code        string // error_code
	description string // error_description
}

// rowSet is one of the two sets.
type rowSet struct {
	decoded bool
	rows    []row
}

var (
	errDuplicateSet = errors.New("the response has a set twice")
	errNotRows      = errors.New("a set is not an array of objects")
)

// decode decodes a set. It returns an error if the response has the set twice, because the second
// one would hide the first.
func (s *rowSet) decode(c *cursor) error {
	if s.decoded {
		return errDuplicateSet
	}
	s.decoded = true
	switch c.peekByte() {
	case 'n': // null
		c.skipValue()
		return nil
	case '[':
	default:
		return errNotRows
	}
	for c.nextElement(']') {
		switch c.peekByte() {
		case '{':
			s.rows = append(s.rows, c.readRow())
		case 'n':
			c.skipValue()
		default:
			return errNotRows
		}
	}
	return nil
}

// cursor is a position in valid JSON.
type cursor struct {
	json []byte
	pos  int
}

// peekByte returns the first byte of the next value or punctuation.
func (c *cursor) peekByte() byte {
	for {
		switch b := c.json[c.pos]; b {
		case ' ', '\t', '\r', '\n':
			c.pos++
		default:
			return b
		}
	}
}

// nextElement moves to the next element or member and returns true. After the last one it moves
// past the closing byte and returns false.
func (c *cursor) nextElement(closing byte) bool {
	b := c.peekByte()
	c.pos++
	switch b {
	case closing:
		return false
	case '[', '{':
		if c.peekByte() == closing {
			c.pos++
			return false
		}
	}
	return true
}

// readObject reads the next value, which must be an object or null. For each member it calls
// readMember with the cursor at the member's value, and readMember must move past that value.
func (c *cursor) readObject(readMember func(name string) error) error {
	switch c.peekByte() {
	case 'n':
		c.skipValue()
		return nil
	case '{':
	default:
		return errUnreadable
	}
	for c.nextElement('}') {
		if err := readMember(string(unquoteString(c.readName()))); err != nil {
			return err
		}
	}
	return nil
}

// readName moves past the next member's name and its colon, and returns the name with its quotes.
func (c *cursor) readName() []byte {
	c.peekByte()
	name := c.readValue()
	c.peekByte()
	c.pos++ // the colon
	c.peekByte()
	return name
}

// readRow reads a row. If a member is repeated, its last value counts.
func (c *cursor) readRow() row {
	var r row
	for c.nextElement('}') {
		switch string(c.readName()) {
		case `"request_unique_identifier"`:
			r.id = unquoteString(c.readValue())
		case `"error_code"`:
			r.code = string(unquoteString(c.readValue()))
		case `"error_description"`:
			r.description = string(unquoteString(c.readValue()))
		default:
			c.skipValue()
		}
	}
	return r
}

// readValue moves past the next value and returns its JSON.
func (c *cursor) readValue() []byte {
	start := c.pos
	c.skipValue()
	return c.json[start:c.pos]
}

func (c *cursor) skipValue() {
	depth := 0
	for {
		switch c.json[c.pos] {
		case '"':
			c.skipString()
		case '{', '[':
			depth++
			c.pos++
		case '}', ']':
			depth--
			c.pos++
		default:
			c.pos++
			if depth == 0 && c.pos < len(c.json) && !endsLiteral(c.json[c.pos]) {
				continue
			}
		}
		if depth == 0 {
			return
		}
	}
}

// endsLiteral reports whether char may follow a number, true, false or null.
func endsLiteral(char byte) bool { return bytes.IndexByte([]byte(",]} \t\r\n"), char) >= 0 }

func (c *cursor) skipString() {
	for c.pos++; c.json[c.pos] != '"'; c.pos++ {
		if c.json[c.pos] == '\\' {
			c.pos++
		}
	}
	c.pos++
}

// unquoteString returns the text of a JSON string. It does not copy strings without escapes. It
// returns nil for any other value.
func unquoteString(raw []byte) []byte {
	if raw[0] != '"' {
		return nil
	}
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil
	}
	return []byte(text)
}
