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

	// Images without a zone database are common, and a wrong zone moves every date that is sent.
	_ "time/tzdata"
)

var errDuration = errors.New("must be a duration such as 250ms, 10s, 1m30s or 24h (units ns, us, ms, s, m, h)")

// set sets a value from its text and holds it against its allow tag. The error says all that is allowed.
func set(v reflect.Value, text, allow string) error {
	err := setText(v, text)
	if err == nil {
		return check(allow, v, text)
	}
	if strings.Contains(allow, "..") {
		return fmt.Errorf("%w; allowed is %s", err, allowed(allow))
	}
	return err
}

// setText sets a value from its text. The error says what is allowed.
func setText(v reflect.Value, text string) error {
	if isText(v) {
		if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			return u.UnmarshalText([]byte(text))
		}
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return errDuration
		}
		v.SetInt(int64(d))
		return nil
	}
	return setKind(v, text)
}

func setKind(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("must be true or false")
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return errors.New("must be a whole number")
		}
		v.SetInt(n)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return errors.New("must be a number")
		}
		v.SetFloat(x)
	default:
		return fmt.Errorf("cannot be set from a file (it is of type %s)", v.Type())
	}
	return nil
}

// format is a value as the file would have it.
func format(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return DelayName(x)
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			return hidden
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = format(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		items := make([]string, 0, v.Len())
		for k, e := range v.Seq2() {
			items = append(items, fmt.Sprintf("%v: %s", k, format(e)))
		}
		slices.Sort(items)
		return "{" + strings.Join(items, ", ") + "}"
	case reflect.String:
		return shown(v.String())
	default:
		return fmt.Sprint(v.Interface())
	}
}

// forms are what a text may have to be, by the word in an allow tag.
var forms = map[string]struct {
	rule string
	ok   func(string) bool
}{
	"url":       {"must be an absolute http or https URL without user, query and fragment", isURL},
	"host:port": {"must be host:port", isHostPort},
	"listen":    {"must be host:port, :port or empty, the port 0 to 65535", isListen},
	"file":      {"must be a file that can be read", isReadable},
	"zone":      {"must be a time zone of the IANA database such as Europe/Amsterdam", isZone},
	"topic":     {"must be 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-', and not . or ..", isTopic},
}

// check holds a value against an allow tag: a form's name, a range "1..1000" (either end may be open), or "a|b|c". Text that is
// empty passes all but a list of words; what must be given is checked elsewhere.
func check(allow string, v reflect.Value, text string) error {
	if form, ok := forms[allow]; ok {
		if text != "" && !form.ok(text) {
			return errors.New(form.rule)
		}
		return nil
	}
	if low, high, ok := strings.Cut(allow, ".."); ok {
		if !within(v, low, high) {
			return errors.New("must be " + allowed(allow))
		}
		return nil
	}
	if allow != "" && !slices.Contains(strings.Split(allow, "|"), text) {
		return errors.New("must be " + allowed(allow))
	}
	return nil
}

// allowed says an allow tag in words, for a fault ("must be ...") and the reference.
func allowed(allow string) string {
	if form, ok := forms[allow]; ok {
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

// within refuses NaN, which a number set in code may be and which is neither below nor above any bound.
func within(v reflect.Value, low, high string) bool {
	if v.Kind() == reflect.Float64 && math.IsNaN(v.Float()) {
		return false
	}
	return (low == "" || !less(v, bound(v, low))) && (high == "" || !less(bound(v, high), v))
}

// bound reads an end of a range as the value's own type would be read.
func bound(v reflect.Value, text string) reflect.Value {
	b := reflect.New(v.Type()).Elem()
	if err := setText(b, text); err != nil {
		return v
	}
	return b
}

func less(a, b reflect.Value) bool {
	if a.Kind() == reflect.Float64 {
		return a.Float() < b.Float()
	}
	return a.CanInt() && a.Int() < b.Int()
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func isHostPort(s string) bool {
	host, port, ok := hostPort(s)
	return ok && port > 0 && host != ""
}

// isListen also takes no host, for all interfaces, and port 0, for any that is free.
func isListen(s string) bool {
	_, _, ok := hostPort(s)
	return ok
}

func hostPort(s string) (host string, port uint64, ok bool) {
	host, number, err := net.SplitHostPort(s)
	port, portErr := strconv.ParseUint(number, 10, 16)
	return host, port, err == nil && portErr == nil && !strings.ContainsAny(host, " /@,")
}

// isReadable opens nothing but a regular file, for a pipe or a terminal would block the start.
func isReadable(s string) bool {
	if info, err := os.Stat(s); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(s)
	return err == nil && f.Close() == nil
}

func isZone(s string) bool {
	_, err := time.LoadLocation(s)
	return err == nil && s != "Local"
}

func isTopic(s string) bool {
	return len(s) <= topicNameMax && topicName.MatchString(s) && s != "." && s != ".."
}
