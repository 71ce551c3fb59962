package conformance

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/config"
	"sluice/internal/pipeline"
)

// setting is a key of a vendor's section whose values are restricted by an allow tag.
type setting struct {
	path  string // below the account, such as batch.end_after
	allow string
	field []int // index of the field, for reflect.Value.FieldByIndex
	kind  reflect.Type
}

// restrictedSettings returns the settings of a struct that have an allow tag.
func restrictedSettings(section reflect.Type, prefix string, index []int) []setting {
	var found []setting
	for f := range section.Fields() {
		path := prefix + f.Tag.Get("yaml")
		field := append(slices.Clone(index), f.Index...)
		allow, restricted := f.Tag.Lookup("allow")
		switch {
		case restricted:
			found = append(found, setting{path, allow, field, f.Type})
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[config.Secret]():
			found = append(found, restrictedSettings(f.Type, path+".", field)...)
		}
	}
	return found
}

// TestTagsAndChecksAgree tries values at and beyond the limits of every allow tag. The decoder,
// which applies only the tags, and the vendor's Check, which also guards settings built in code,
// must accept and refuse the same values.
func TestTagsAndChecksAgree(t *testing.T) {
	for name, vendor := range pipeline.VendorTypes() {
		settings := restrictedSettings(reflect.TypeOf(vendor.NewConfig()).Elem(), "", nil)
		if len(settings) < 3 {
			t.Errorf("%s: got %d settings with an allow tag, want at least base_url, timeout and requests_per_second", name, len(settings))
		}
		for _, s := range settings {
			accepted, refused := 0, 0
			for _, text := range valuesToTry(t, s) {
				byDecoder := decoderAccepts(t, name, s, text)
				byCheck := checkAccepts(t, vendor, s, text)
				if byDecoder != byCheck {
					t.Errorf("%s.%s: %q: the decoder accepts it: %v, Check accepts it: %v", name, s.path, text,
						byDecoder, byCheck)
				}
				if byDecoder {
					accepted++
				} else {
					refused++
				}
			}
			if accepted == 0 || refused == 0 {
				t.Errorf("%s.%s: got %d accepted and %d refused values, want some of each", name, s.path,
					accepted, refused)
			}
		}
	}
}

// valuesToTry returns values that the tag allows and values that it does not, as text.
func valuesToTry(t *testing.T, s setting) []string {
	t.Helper()
	switch low, high, isRange := strings.Cut(s.allow, ".."); {
	case isRange:
		var texts []string
		for _, limit := range []string{low, high} {
			if limit != "" {
				texts = append(texts, neighborsOf(t, s.kind, limit)...)
			}
		}
		return texts
	case s.allow == "url":
		return []string{"https://vendor.example/v1", "ftp://vendor.example", "https://user:word@vendor.example",
			"vendor.example"}
	case s.allow == "zone":
		return []string{"UTC", "Europe/Amsterdam", "Europe/Atlantis", "Local"}
	case strings.Contains(s.allow, "|"):
		return append(strings.Split(s.allow, "|"), "no such word", strings.ToUpper(s.allow))
	}
	t.Fatalf("%s: no values to try for the tag allow:%q", s.path, s.allow)
	return nil
}

// neighborsOf returns the limit of a range and its two neighbors.
func neighborsOf(t *testing.T, kind reflect.Type, limit string) []string {
	t.Helper()
	v := reflect.New(kind).Elem()
	setText(t, v, limit)
	var texts []string
	for _, step := range []int{-1, 0, 1} {
		if v.CanFloat() {
			texts = append(texts, fmt.Sprint(v.Float()+float64(step)))
			continue
		}
		neighbor := reflect.New(kind).Elem()
		neighbor.SetInt(v.Int() + int64(step))
		texts = append(texts, fmt.Sprint(neighbor.Interface()))
	}
	return texts
}

func setText(t *testing.T, v reflect.Value, text string) {
	t.Helper()
	var err error
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		var d time.Duration
		d, err = time.ParseDuration(text)
		v.SetInt(int64(d))
	case v.CanInt():
		var n int64
		_, err = fmt.Sscan(text, &n)
		v.SetInt(n)
	case v.CanFloat():
		var x float64
		_, err = fmt.Sscan(text, &x)
		v.SetFloat(x)
	case v.Kind() == reflect.Map:
		element := reflect.New(v.Type().Elem()).Elem()
		setText(t, element, text)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("entry"), element)
	default:
		v.SetString(text)
	}
	if err != nil {
		t.Fatalf("setting %q: %v", text, err)
	}
}

// decoderAccepts decodes the value for an account that no pipeline uses: such accounts are not
// checked.
func decoderAccepts(t *testing.T, vendorType string, s setting, text string) bool {
	t.Helper()
	value := fmt.Sprintf("%q", text)
	if s.kind.Kind() == reflect.Map {
		value = "{entry: " + value + "}"
	}
	keys := strings.Split(s.path, ".")
	for _, key := range slices.Backward(keys) {
		value = "{" + key + ": " + value + "}"
	}
	file := fmt.Sprintf("vendors: {spare: %s\npipelines: {p: {events: {}}}\n",
		strings.Replace(value, "{", "{type: "+vendorType+", ", 1)+"}")
	_, err := config.Parse("config.yaml", []byte(file), config.Options{Vendors: pipeline.VendorTypes()})
	var invalid *config.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want violations, since the file names no brokers:\n%s", err, file)
	}
	return !slices.ContainsFunc(invalid.Violations,
		func(v config.Violation) bool { return isAt(v.Path, "vendors.spare."+s.path) })
}

func checkAccepts(t *testing.T, vendor config.VendorType, s setting, text string) bool {
	t.Helper()
	cfg := vendor.NewConfig()
	setText(t, reflect.ValueOf(cfg).Elem().FieldByIndex(s.field), text)
	var found config.Violations
	vendor.Validate(cfg, &found)
	return !slices.ContainsFunc(found.Sorted(), func(v config.Violation) bool { return isAt(v.Path, s.path) })
}

// isAt reports whether a violation is about the setting or an entry of it.
func isAt(path, setting string) bool { return path == setting || strings.HasPrefix(path, setting+".") }
