package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// problem is how a value breaks a page's rule.
type problem uint8

const (
	missing      problem = iota + 1 // a mandatory key is not there
	extraneous                      // a key that the page does not name
	mistyped                        // another JSON type
	unfit                           // the type, but not a value that is allowed
	notExactly1                     // none or several of keys that exclude each other
	wrongLength                     // too few or too many elements
	unknownValue                    // well formed, but nothing the vendor has
)

// violation is one broken rule. It never holds the value.
type violation struct {
	path    []string // keys and indices down to the value at fault, or to the object that holds key
	problem problem
	key     string // with missing and extraneous
	want    string // what is allowed
	found   string // with mistyped: the type found
}

// at is the path down to the key meant.
func (v violation) at() []string {
	if v.key == "" {
		return v.path
	}
	return append(slices.Clone(v.path), v.key)
}

// check gives what is wrong with a value, with paths relative to it.
type check func(v any) []violation

// shape is what a page says about an object.
type shape struct {
	fields    map[string]check
	mandatory []string
	present   []string   // mandatory too, though an empty text will do
	exclusive [][]string // of each group exactly one key must be there
}

func (s shape) check(v any) []violation {
	o, ok := v.(*object)
	if !ok {
		return mistype("JSONObject", v)
	}
	var vs []violation
	for key, value := range o.fields {
		c, known := s.fields[key]
		if !known {
			vs = append(vs, violation{problem: extraneous, key: key})
			continue
		}
		vs = append(vs, under(key, c(value))...)
	}
	for _, key := range s.mandatory {
		if value, there := o.fields[key]; !there || value == "" {
			vs = append(vs, violation{problem: missing, key: key})
		}
	}
	for _, key := range s.present {
		if _, there := o.fields[key]; !there {
			vs = append(vs, violation{problem: missing, key: key})
		}
	}
	for _, group := range s.exclusive {
		if !exactlyOne(o, group) {
			vs = append(vs, violation{problem: notExactly1, want: "exactly one of " + strings.Join(group, ", ")})
		}
	}
	return vs
}

func exactlyOne(o *object, keys []string) bool {
	n, filled := 0, false
	for _, key := range keys {
		if value, there := o.fields[key]; there {
			n++
			filled = value != ""
		}
	}
	return n == 1 && filled
}

// inspect runs a check and gives its violations in a stable order.
func inspect(c check, v any) []violation {
	vs := c(v)
	slices.SortFunc(vs, func(a, b violation) int {
		if n := slices.Compare(a.path, b.path); n != 0 {
			return n
		}
		if n := int(a.problem) - int(b.problem); n != 0 {
			return n
		}
		return strings.Compare(a.key, b.key)
	})
	return vs
}

func under(segment string, vs []violation) []violation {
	for i := range vs {
		vs[i].path = append([]string{segment}, vs[i].path...)
	}
	return vs
}

func mistype(want string, v any) []violation {
	return []violation{{problem: mistyped, want: want, found: typeName(v)}}
}

func unfitUnless(ok bool, want string) []violation {
	if ok {
		return nil
	}
	return []violation{{problem: unfit, want: want}}
}

// typeName names JSON types as everit-org/json-schema does, whose messages Propel's documents show.
func typeName(v any) string {
	switch v := v.(type) {
	case string:
		return "String"
	case bool:
		return "Boolean"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "BigDecimal"
		}
		return "Integer"
	case []any:
		return "JSONArray"
	case *object:
		return "JSONObject"
	default:
		return "Null"
	}
}

func text(v any) []violation { return textThat(func(string) bool { return true }, "a string")(v) }

func textThat(ok func(string) bool, want string) check {
	return func(v any) []violation {
		s, isText := v.(string)
		if !isText {
			return mistype("String", v)
		}
		return unfitUnless(ok(s), want)
	}
}

func oneOf(allowed ...string) check {
	return textThat(func(s string) bool { return slices.Contains(allowed, s) }, "one of "+strings.Join(allowed, ", "))
}

func boolean(v any) []violation {
	if _, ok := v.(bool); !ok {
		return mistype("Boolean", v)
	}
	return nil
}

// number is a plain decimal. An exponent is refused: an amount that came as 1E+2 was a binary float on its way.
func number(v any) []violation {
	n, ok := v.(json.Number)
	if !ok {
		return mistype("Number", v)
	}
	return unfitUnless(!strings.ContainsAny(n.String(), "eE"), "a number without exponent")
}

// integer is a signed 32-bit number, what .NET's int takes.
func integer(v any) []violation {
	n, ok := v.(json.Number)
	if !ok {
		return mistype("Integer", v)
	}
	_, err := strconv.ParseInt(n.String(), 10, 32)
	return unfitUnless(err == nil, "a 32-bit integer")
}

// textOrInteger is for what a page calls "integer or string", with no word on how large.
func textOrInteger(v any) []violation {
	switch v := v.(type) {
	case string:
		return nil
	case json.Number:
		return unfitUnless(!strings.ContainsAny(v.String(), ".eE"), "an integer")
	default:
		return mistype("Integer", v)
	}
}

func nullable(c check) check {
	return func(v any) []violation {
		if v == nil {
			return nil
		}
		return c(v)
	}
}

// list is an array with at least so many elements.
func list(atLeast int, c check) check {
	return func(v any) []violation {
		l, ok := v.([]any)
		if !ok {
			return mistype("JSONArray", v)
		}
		var vs []violation
		if len(l) < atLeast {
			vs = append(vs, violation{problem: wrongLength, want: "at least " + strconv.Itoa(atLeast)})
		}
		for i, element := range l {
			vs = append(vs, under(strconv.Itoa(i), c(element))...)
		}
		return vs
	}
}

func layout(form string) check {
	return textThat(func(s string) bool {
		t, err := time.Parse(form, s)
		return err == nil && t.Format(form) == s
	}, "a date such as "+form)
}

// dotNetInstant is what .NET's DateTime reads without loss: an offset, at most 7 digits of a second, or a date alone.
var dotNetInstant = textThat(func(s string) bool {
	if _, err := time.Parse(time.DateOnly, s); err == nil {
		return true
	}
	_, err := time.Parse(time.RFC3339, s)
	return err == nil && dotNetForm.MatchString(s)
}, "RFC 3339 with at most 7 digits of a second, or yyyy-MM-dd")

var (
	dotNetForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)$`)
	guidForm   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

var (
	guid       = textThat(guidForm.MatchString, "a globally unique identifier")
	base64Text = textThat(func(s string) bool { _, err := base64.StdEncoding.DecodeString(s); return err == nil }, "base64")
)

// rule says what is allowed.
func (v violation) rule() string {
	switch v.problem {
	case missing:
		return "is mandatory"
	case extraneous:
		return "is not a parameter of this method"
	case mistyped:
		return "must be of type " + v.want + ", not " + v.found
	case unknownValue:
		return "does not exist"
	case wrongLength:
		return "must have " + v.want + " elements"
	default:
		return "must be " + v.want
	}
}
