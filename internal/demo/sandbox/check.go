package sandbox

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// violationKind is the way in which a value violates a documented rule.
type violationKind uint8

const (
	missingKey    violationKind = iota + 1 // a mandatory key is missing
	extraneousKey                          // the documents do not name this key
	wrongType                              // the JSON type is wrong
	invalidValue                           // the type is right, the value is not allowed
	notExactlyOne                          // none or several of a group of mutually exclusive keys
	wrongLength                            // too few or too many elements
	unknownValue                           // well formed, but unknown to the vendor
)

// violation is one violated rule. It never contains the value, which may be personal data.
type violation struct {
	path      []string // keys and indexes leading to the value, or to the object that contains key
	kind      violationKind
	key       string // for missingKey and extraneousKey
	allowed   string // the allowed values
	foundType string // for wrongType: the type that was found
}

// fullPath returns the path including key.
func (v violation) fullPath() []string {
	if v.key == "" {
		return v.path
	}
	return append(slices.Clone(v.path), v.key)
}

// A validator returns the rules that a value violates, with paths relative to the value.
type validator func(value any) []violation

// objectSchema describes an object as the vendor's documents define it.
type objectSchema struct {
	fields      map[string]validator
	mandatory   []string
	presentKeys []string   // mandatory keys whose value may be an empty string
	exclusive   [][]string // groups of keys of which exactly one must be present
}

func (s objectSchema) validate(input any) []violation {
	object, ok := input.(*jsonObject)
	if !ok {
		return typeViolation("JSONObject", input)
	}
	var violations []violation
	for key, value := range object.fields {
		validateField, known := s.fields[key]
		if !known {
			violations = append(violations, violation{kind: extraneousKey, key: key})
			continue
		}
		violations = append(violations, prefixPaths(key, validateField(value))...)
	}
	for _, key := range s.mandatory {
		if value, present := object.fields[key]; !present || value == "" {
			violations = append(violations, violation{kind: missingKey, key: key})
		}
	}
	for _, key := range s.presentKeys {
		if _, present := object.fields[key]; !present {
			violations = append(violations, violation{kind: missingKey, key: key})
		}
	}
	for _, group := range s.exclusive {
		if !hasExactlyOne(object, group) {
			violations = append(violations, violation{
				kind: notExactlyOne, allowed: "exactly one of " + strings.Join(group, ", "),
			})
		}
	}
	return violations
}

func hasExactlyOne(object *jsonObject, keys []string) bool {
	count, filled := 0, false
	for _, key := range keys {
		if value, present := object.fields[key]; present {
			count++
			filled = value != ""
		}
	}
	return count == 1 && filled
}

// validateSorted runs a validator and sorts the violations, so that responses are reproducible.
func validateSorted(validate validator, value any) []violation {
	violations := validate(value)
	slices.SortFunc(violations, func(a, b violation) int {
		return cmp.Or(slices.Compare(a.path, b.path), cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key))
	})
	return violations
}

func prefixPaths(segment string, violations []violation) []violation {
	for i := range violations {
		violations[i].path = append([]string{segment}, violations[i].path...)
	}
	return violations
}

func typeViolation(want string, value any) []violation {
	return []violation{{kind: wrongType, allowed: want, foundType: jsonTypeName(value)}}
}

func violationUnless(ok bool, want string) []violation {
	if ok {
		return nil
	}
	return []violation{{kind: invalidValue, allowed: want}}
}

// jsonTypeName names JSON types as the library everit-org/json-schema does, whose messages Propel's
// documents show.
func jsonTypeName(value any) string {
	switch v := value.(type) {
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
	case *jsonObject:
		return "JSONObject"
	default:
		return "Null"
	}
}

func anyString(value any) []violation {
	return stringMatching(func(string) bool { return true }, "a string")(value)
}

func stringMatching(ok func(string) bool, want string) validator {
	return func(value any) []violation {
		text, isText := value.(string)
		if !isText {
			return typeViolation("String", value)
		}
		return violationUnless(ok(text), want)
	}
}

func oneOf(allowed ...string) validator {
	return stringMatching(
		func(text string) bool { return slices.Contains(allowed, text) }, "one of "+strings.Join(allowed, ", "),
	)
}

func anyBoolean(value any) []violation {
	if _, ok := value.(bool); !ok {
		return typeViolation("Boolean", value)
	}
	return nil
}

// plainNumber accepts decimal numbers without an exponent: an amount written as 1E+2 has been
// converted to binary floating point before it was sent.
func plainNumber(value any) []violation {
	n, ok := value.(json.Number)
	if !ok {
		return typeViolation("Number", value)
	}
	return violationUnless(!strings.ContainsAny(n.String(), "eE"), "a number without exponent")
}

// int32Number accepts the range of .NET's int, signed 32-bit integers.
func int32Number(value any) []violation {
	n, ok := value.(json.Number)
	if !ok {
		return typeViolation("Integer", value)
	}
	_, err := strconv.ParseInt(n.String(), 10, 32)
	return violationUnless(err == nil, "a 32-bit integer")
}

// stringOrInteger accepts what the documents call "integer or string" without naming a range.
func stringOrInteger(value any) []violation {
	switch v := value.(type) {
	case string:
		return nil
	case json.Number:
		return violationUnless(!strings.ContainsAny(v.String(), ".eE"), "an integer")
	default:
		return typeViolation("Integer", v)
	}
}

func nullable(validate validator) validator {
	return func(value any) []violation {
		if value == nil {
			return nil
		}
		return validate(value)
	}
}

// listOf accepts arrays of valid elements that have at least the given length.
func listOf(minLength int, validate validator) validator {
	return func(value any) []violation {
		elements, ok := value.([]any)
		if !ok {
			return typeViolation("JSONArray", value)
		}
		var violations []violation
		if len(elements) < minLength {
			violations = append(violations, violation{
				kind: wrongLength, allowed: "at least " + strconv.Itoa(minLength),
			})
		}
		for i, element := range elements {
			violations = append(violations, prefixPaths(strconv.Itoa(i), validate(element))...)
		}
		return violations
	}
}

func dateInLayout(layout string) validator {
	return stringMatching(func(text string) bool {
		parsed, err := time.Parse(layout, text)
		return err == nil && parsed.Format(layout) == text
	}, "a date such as "+layout)
}

// dotNetDateTime accepts what .NET's DateTime parses without loss: RFC 3339 with at most 7
// fractional digits, or a date without a time.
var dotNetDateTime = stringMatching(func(text string) bool {
	if _, err := time.Parse(time.DateOnly, text); err == nil {
		return true
	}
	_, err := time.Parse(time.RFC3339, text)
	return err == nil && dotNetPattern.MatchString(text)
}, "RFC 3339 with at most 7 digits of a second, or yyyy-MM-dd")

var (
	dotNetPattern = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)$`)
	guidPattern   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

var (
	guidString   = stringMatching(guidPattern.MatchString, "a globally unique identifier")
	base64String = stringMatching(
		func(text string) bool { _, err := base64.StdEncoding.DecodeString(text); return err == nil }, "base64",
	)
)

// describeRule returns what is allowed, worded so that it follows the path in a sentence.
func (v violation) describeRule() string {
	switch v.kind {
	case missingKey:
		return "is mandatory"
	case extraneousKey:
		return "is not a parameter of this method"
	case wrongType:
		return "must be of type " + v.allowed + ", not " + v.foundType
	case unknownValue:
		return "does not exist"
	case wrongLength:
		return "must have " + v.allowed + " elements"
	case invalidValue, notExactlyOne:
	}
	return "must be " + v.allowed
}
