package crmcom

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// row is an element of either set. Its other members (the event's id and number) say nothing to us.
// A member that is no string is empty.
type row struct {
	id          []byte // request_unique_identifier; it may be part of the answer
	code        string // error_code
	description string // error_description
}

// rows is one of the two sets.
type rows struct {
	seen bool
	list []row
}

var (
	errTwice  = errors.New("a set stands in the answer twice")
	errNoRows = errors.New("a set is no array of objects")
)

// read takes a set, once: of two sets of one name the last would hide the first.
func (r *rows) read(c *cursor) error {
	if r.seen {
		return errTwice
	}
	r.seen = true
	switch c.peek() {
	case 'n': // null
		c.skip()
		return nil
	case '[':
	default:
		return errNoRows
	}
	for c.more(']') {
		switch c.peek() {
		case '{':
			r.list = append(r.list, c.row())
		case 'n':
			c.skip()
		default:
			return errNoRows
		}
	}
	return nil
}

// cursor walks over valid JSON; i is where it stands.
type cursor struct {
	b []byte
	i int
}

// peek is the first byte of the next value or punctuation.
func (c *cursor) peek() byte {
	for {
		switch ch := c.b[c.i]; ch {
		case ' ', '\t', '\r', '\n':
			c.i++
		default:
			return ch
		}
	}
}

// more steps over what stands before the next element, and is false after the end.
func (c *cursor) more(end byte) bool {
	ch := c.peek()
	c.i++
	switch ch {
	case end:
		return false
	case '[', '{':
		if c.peek() == end {
			c.i++
			return false
		}
	}
	return true
}

// object calls f for each member of the next value, an object, with the cursor at the member's
// value, which f steps over. A null has no members.
func (c *cursor) object(f func(name string) error) error {
	switch c.peek() {
	case 'n':
		c.skip()
		return nil
	case '{':
	default:
		return errUnreadable
	}
	for c.more('}') {
		if err := f(string(unquoted(c.name()))); err != nil {
			return err
		}
	}
	return nil
}

// name steps over the next member's name, which it gives as it stands, and its colon.
func (c *cursor) name() []byte {
	c.peek()
	name := c.token()
	c.peek()
	c.i++ // the colon
	c.peek()
	return name
}

// row reads an object. Of two members of one name the last holds.
func (c *cursor) row() row {
	var r row
	for c.more('}') {
		switch string(c.name()) {
		case `"request_unique_identifier"`:
			r.id = unquoted(c.token())
		case `"error_code"`:
			r.code = string(unquoted(c.token()))
		case `"error_description"`:
			r.description = string(unquoted(c.token()))
		default:
			c.skip()
		}
	}
	return r
}

// token gives the next value as it stands.
func (c *cursor) token() []byte {
	from := c.i
	c.skip()
	return c.b[from:c.i]
}

// skip steps over the next value.
func (c *cursor) skip() {
	depth := 0
	for {
		switch c.b[c.i] {
		case '"':
			c.skipString()
		case '{', '[':
			depth++
			c.i++
		case '}', ']':
			depth--
			c.i++
		default:
			c.i++
			if depth == 0 && c.i < len(c.b) && !endsLiteral(c.b[c.i]) {
				continue
			}
		}
		if depth == 0 {
			return
		}
	}
}

// endsLiteral holds for what may follow a number, true, false or null.
func endsLiteral(ch byte) bool { return bytes.IndexByte([]byte(",]} \t\r\n"), ch) >= 0 }

func (c *cursor) skipString() {
	for c.i++; c.b[c.i] != '"'; c.i++ {
		if c.b[c.i] == '\\' {
			c.i++
		}
	}
	c.i++
}

// unquoted is a string's text, without a copy where it stands as it is; empty for what is no
// string.
func unquoted(raw []byte) []byte {
	if raw[0] != '"' {
		return nil
	}
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return []byte(s)
}
