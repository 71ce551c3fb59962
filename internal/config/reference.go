package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

const referenceHeader = `# Configuration reference

Generated from the code (` + "`connector config reference`" + `). Change the structs, not this page.

The file is YAML. All of it is validated before anything starts, and each violation is reported with
its line, key, value and what is allowed. Unknown keys are violations. Any value may contain ` + "`${VAR}`" + `
(an environment variable) and ` + "`${file:/path}`" + ` (the content of a file, without its final newline);
` + "`$$`" + ` is a dollar sign. A key that is omitted or empty has its default.

Durations are Go durations (units ns, us, ms, s, m, h): ` + "`250ms`, `1m30s`, `24h`" + `. Sizes are numbers
of bytes, optionally with a unit: ` + "`64KiB`, `1MiB`, `2GiB`" + `.
`

// ReferenceMarkdown returns the reference of all keys in Markdown, including those of the vendors.
func ReferenceMarkdown(vendors map[string]VendorType) string {
	var b strings.Builder
	b.WriteString(referenceHeader)
	cfg := Default()
	b.WriteString("\n## Connector\n\n")
	writeTable(&b, "", reflect.ValueOf(&cfg))
	b.WriteString("\n## Pipelines\n\nWithout the key `pipelines`, the following pipelines exist for the events that an account in `vendors`\n" +
		"accepts. A configured pipeline with one of these names has its events and ordering by default.\n\n| pipeline | events | ordering |\n| --- | --- | --- |\n")
	for _, s := range defaultPipelines(vendors) {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", s.name, strings.Join(s.events, "`, `"), s.ordering)
	}
	b.WriteString("\nThe name of a pipeline consists of letters, digits, `_` and `-`. Pipelines that share a topic must each skip\n" +
		"the events of the others (`unmapped: skip`). Keys under `pipelines.<name>`:\n\n")
	p := DefaultPipeline("")
	writeTable(&b, "", reflect.ValueOf(&p))
	b.WriteString("\n## Vendors\n\nEach key under `vendors` is an account, with a name of letters, digits, `_` and `-`. `type` is its vendor, by\n" +
		"default the one with that name. Only accounts that a pipeline uses must be complete.\n")
	for _, name := range slices.Sorted(maps.Keys(vendors)) {
		writeVendor(&b, name, vendors[name])
	}
	return b.String()
}

func writeVendor(b *strings.Builder, name string, kind VendorType) {
	own := kind.NewConfig()
	fmt.Fprintf(b, "\n### %s\n\nKeys under `vendors.<account>`:\n\n", name)
	writeTable(b, "", reflect.ValueOf(own))
	b.WriteString("\n| operation | event | items per call | default | sent twice | unknown outcome |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, o := range kind.Operations(own) {
		r := newRoute(&Pipeline{}, &account{}, o)
		twice, unknown := "may do harm", r.Unknown.Policy
		if o.Repeatable {
			twice, unknown = "harmless", "sent again"
		}
		if unknown == UnknownRetry {
			unknown += fmt.Sprintf(", %d resends", r.Unknown.Resends)
		}
		fmt.Fprintf(b, "| `%s.%s` | `%s` | %d | %d | %s | %s |\n", name, o.Name, o.Event, o.MaxItems, r.MaxItems, twice, unknown)
	}
}

func writeTable(b *strings.Builder, prefix string, value reflect.Value) {
	b.WriteString("| key | default | allowed | meaning |\n| --- | --- | --- | --- |\n")
	writeRows(b, prefix, fieldsOf(value))
}

func writeRows(b *strings.Builder, prefix string, fields []field) {
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, f := range fields {
		key := joinPath(prefix, f.key)
		if f.value.Kind() == reflect.Struct && !isTextUnmarshaler(f.value) {
			writeRows(b, key, fieldsOf(f.value))
			continue
		}
		byDefault := ""
		if text := formatValue(f.value); !f.secret && !slices.Contains([]string{`""`, "[]", "{}"}, text) && (isCollection(f) || checkAllowed(f.allow, f.value, text) == nil) {
			byDefault = "`" + cell.Replace(text) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, byDefault, cell.Replace(allowedForField(f)), cell.Replace(f.doc))
	}
}

func isCollection(dest field) bool {
	return dest.value.Kind() == reflect.Slice || dest.value.Kind() == reflect.Map
}

// allowedForField describes what a field accepts, from its tag or else its type.
func allowedForField(dest field) string {
	t, prefix := dest.value.Type(), ""
	switch t.Kind() {
	case reflect.Slice:
		prefix, t = "list: ", t.Elem()
	case reflect.Map:
		prefix, t = "mapping: ", t.Elem()
	}
	switch {
	case dest.allow != "":
		return prefix + describeAllowed(dest.allow)
	case dest.secret:
		return prefix + "text (secret)"
	case t == reflect.TypeFor[time.Duration]():
		return prefix + "duration"
	case t == reflect.TypeFor[Size]():
		return prefix + "size"
	case t == reflect.TypeFor[Start]():
		return OffsetEarliest + ", " + OffsetLatest + " or a time"
	case t.Kind() == reflect.Bool:
		return prefix + "true or false"
	case t.Kind() == reflect.Float64:
		return prefix + "number"
	case t.Kind() == reflect.Int:
		return prefix + "whole number"
	}
	return prefix + "text"
}
