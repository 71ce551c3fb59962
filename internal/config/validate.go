package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// ReportFunc reports one violation: the key's path below its section and the rule that its value
// breaks, formatted with args. The rule never repeats the value, which may be a secret.
type ReportFunc = func(path, rule string, args ...any)

// CheckTags reports every value of a settings struct that its tags do not permit, in the order of
// the fields. The tags alone define which values a field may have:
//
//   - allow:"1s..", allow:"1..1000", allow:"a|b" or a form such as allow:"url" (see the reference).
//     For a map or a list the tag is about each element.
//   - required:"true": the key must be given. Only accounts that a pipeline uses must be complete,
//     so CheckTags enforces it and the decoder does not.
//
// Rules between fields belong in the Check method of the settings, which calls CheckTags first.
func CheckTags(settings any, report ReportFunc) {
	// The decoder's helpers need addressable fields.
	v := reflect.New(reflect.TypeOf(settings)).Elem()
	v.Set(reflect.ValueOf(settings))
	checkFields(fieldsOf(v), "", report)
}

// CheckSettings returns an error that joins all violations which check reports, each as "path:
// rule", or nil if there are none.
func CheckSettings(check func(report ReportFunc)) error {
	var violations []error
	check(func(path, rule string, args ...any) {
		violations = append(violations, fmt.Errorf("%s: %s", path, fmt.Sprintf(rule, args...)))
	})
	return errors.Join(violations...)
}

func checkFields(fields []field, section string, report ReportFunc) {
	for _, f := range fields {
		path := joinPath(section, f.key)
		switch {
		case f.required && f.value.IsZero():
			report(path, "%s", requiredRule(f.allow))
		case isTextUnmarshaler(f.value):
			checkValue(f.allow, f.value, path, report)
		case f.value.Kind() == reflect.Struct:
			checkFields(fieldsOf(f.value), path, report)
		case f.value.Kind() == reflect.Map:
			checkEntries(f, path, report)
		case f.value.Kind() == reflect.Slice:
			for i := range f.value.Len() {
				checkValue(f.allow, f.value.Index(i), fmt.Sprintf("%s[%d]", path, i), report)
			}
		default:
			checkValue(f.allow, f.value, path, report)
		}
	}
}

// checkEntries checks the values of a map in the order of its keys.
func checkEntries(dest field, path string, report ReportFunc) {
	values := map[string]reflect.Value{}
	for key, value := range dest.value.Seq2() {
		values[key.String()] = value
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		checkValue(dest.allow, values[key], joinPath(path, key), report)
	}
}

func checkValue(allow string, value reflect.Value, path string, report ReportFunc) {
	text := ""
	if value.Kind() == reflect.String {
		text = value.String()
	}
	if err := checkAllowed(allow, value, text); err != nil {
		report(path, "%s", err)
	}
}

// requiredRule returns the rule that a missing key violates.
func requiredRule(allow string) string {
	switch form, ok := textForms[allow]; {
	case ok:
		return form.rule
	case strings.Contains(allow, "|"), strings.Contains(allow, ".."):
		return "must be " + describeAllowed(allow)
	}
	return "is mandatory"
}
