package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	// Many images have no time zone database, and a wrong zone would shift every date that is sent.
	_ "time/tzdata"
)

var errDuration = errors.New("must be a duration such as 250ms, 10s, 1m30s or 24h (units ns, us, ms, s, m, h)")

// setValue sets a value from its text and checks it against its allow tag. The error states what is
// allowed.
func setValue(value reflect.Value, text, allow string) error {
	err := parseInto(value, text)
	if err == nil {
		return checkAllowed(allow, value, text)
	}
	if strings.Contains(allow, "..") {
		return fmt.Errorf("%w; allowed: %s", err, describeAllowed(allow))
	}
	return err
}

// parseInto sets a value from its text. The error states what is allowed.
func parseInto(value reflect.Value, text string) error {
	if isTextUnmarshaler(value) {
		if u, ok := value.Addr().Interface().(encoding.TextUnmarshaler); ok {
			return u.UnmarshalText([]byte(text))
		}
	}
	if value.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return errDuration
		}
		value.SetInt(int64(d))
		return nil
	}
	return parseIntoKind(value, text)
}

func parseIntoKind(value reflect.Value, text string) error {
	switch value.Kind() {
	case reflect.String:
		value.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("must be true or false")
		}
		value.SetBool(text == "true")
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, value.Type().Bits())
		if err != nil {
			return errors.New("must be a whole number")
		}
		value.SetInt(n)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return errors.New("must be a number")
		}
		value.SetFloat(x)
	default:
		return fmt.Errorf("cannot be set from a file (its type is %s)", value.Type())
	}
	return nil
}

// formatValue returns a value as it would be written in the file.
func formatValue(value reflect.Value) string {
	switch x := value.Interface().(type) {
	case time.Duration:
		return DelayName(x)
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			return hiddenText
		}
		return string(text)
	}
	switch value.Kind() {
	case reflect.Slice:
		items := make([]string, value.Len())
		for i := range items {
			items[i] = formatValue(value.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		items := make([]string, 0, value.Len())
		for k, e := range value.Seq2() {
			items = append(items, fmt.Sprintf("%v: %s", k, formatValue(e)))
		}
		slices.Sort(items)
		return "{" + strings.Join(items, ", ") + "}"
	case reflect.String:
		return printable(value.String())
	default:
		return fmt.Sprint(value.Interface())
	}
}

// textForms has the forms that a text can be required to have, by the name used in an allow tag.
var textForms = map[string]struct {
	rule string
	ok   func(string) bool
}{
	"url":       {"must be an absolute http or https URL without user, query and fragment", isURL},
	"host:port": {"must be host:port", isHostPort},
	"listen":    {"must be host:port, :port or empty, the port 0 to 65535", isListen},
	"file":      {"must be a readable file", isReadable},
	"zone":      {"must be a time zone from the IANA database, such as Europe/Amsterdam", isZone},
	"topic":     {"must be 1 to 249 characters from a-z, A-Z, 0-9, '.', '_' and '-', and not . or ..", isTopic},
}

// checkAllowed checks a value against an allow tag: the name of a form, a range "1..1000" (either
// end may be open), or alternatives "a|b|c". An empty text passes everything but alternatives,
// because whether a setting is required is checked elsewhere.
func checkAllowed(allow string, value reflect.Value, text string) error {
	if form, ok := textForms[allow]; ok {
		if text != "" && !form.ok(text) {
			return errors.New(form.rule)
		}
		return nil
	}
	if low, high, ok := strings.Cut(allow, ".."); ok {
		if !isWithin(value, low, high) {
			return errors.New("must be " + describeAllowed(allow))
		}
		return nil
	}
	if allow != "" && !slices.Contains(strings.Split(allow, "|"), text) {
		return errors.New("must be " + describeAllowed(allow))
	}
	return nil
}

// describeAllowed returns an allow tag in words, for violations ("must be ...") and the reference.
func describeAllowed(allow string) string {
	if form, ok := textForms[allow]; ok {
		return strings.TrimPrefix(form.rule, "must be ")
	}
	if low, high, ok := strings.Cut(allow, ".."); ok {
		switch {
		case high == "":
			return low + " or more"
		case low == "":
			return "at most " + high
		}
		return low + " to " + high
	}
	words := strings.Split(allow, "|")
	for i, w := range words {
		if w == "" {
			words[i] = "empty"
		}
	}
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// isWithin reports whether a value is in a range. NaN, which a number set in code may be, never is.
func isWithin(value reflect.Value, low, high string) bool {
	if value.Kind() == reflect.Float64 && math.IsNaN(value.Float()) {
		return false
	}
	return (low == "" || !isLess(value, parseBound(value, low))) && (high == "" || !isLess(parseBound(value, high), value))
}

// parseBound parses one end of a range as a value of the same type.
func parseBound(value reflect.Value, text string) reflect.Value {
	b := reflect.New(value.Type()).Elem()
	if err := parseInto(b, text); err != nil {
		return value
	}
	return b
}

func isLess(left, right reflect.Value) bool {
	if left.Kind() == reflect.Float64 {
		return left.Float() < right.Float()
	}
	return left.CanInt() && left.Int() < right.Int()
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func isHostPort(text string) bool {
	host, port, ok := splitHostPort(text)
	return ok && port > 0 && host != ""
}

// isListen also accepts an empty host, for all interfaces, and port 0, for any free port.
func isListen(text string) bool {
	_, _, ok := splitHostPort(text)
	return ok
}

func splitHostPort(text string) (host string, port uint64, ok bool) {
	host, number, err := net.SplitHostPort(text)
	port, portErr := strconv.ParseUint(number, 10, 16)
	return host, port, err == nil && portErr == nil && !strings.ContainsAny(host, " /@,")
}

// isReadable only opens regular files, because opening a pipe or a terminal could block.
func isReadable(text string) bool {
	if info, err := os.Stat(text); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(text)
	return err == nil && f.Close() == nil
}

func isZone(text string) bool {
	_, err := time.LoadLocation(text)
	return err == nil && text != "Local"
}

func isTopic(text string) bool {
	return len(text) <= maxTopicNameLength && topicName.MatchString(text) && text != "." && text != ".."
}
