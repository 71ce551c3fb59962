package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

const referenceHead = `# Configuration reference

Generated from the code (` + "`connector config reference`" + `); change the structs, not this page.

The file is YAML. It is checked whole before anything starts; each fault is told with its line, key, value and what is allowed. Unknown keys
are faults. Any value may hold ` + "`${VAR}`" + ` (an environment variable) and ` + "`${file:/path}`" + ` (a file's text, without the newline at its end);
` + "`$$`" + ` is a dollar. A key that is left out or empty has its default.

Durations are Go durations (units ns, us, ms, s, m, h): ` + "`250ms`, `1m30s`, `24h`" + `. Sizes are bytes, or have a unit: ` + "`64KiB`, `1MiB`, `2GiB`" + `.
`

// ReferenceMarkdown is the reference of all keys in Markdown, the vendors' among them.
func ReferenceMarkdown(vendors map[string]VendorType) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	cfg := Default()
	b.WriteString("\n## The connector\n\n")
	table(&b, "", reflect.ValueOf(&cfg))
	b.WriteString("\n## Pipelines\n\nWithout the key `pipelines` there are these, for the events that an account of `vendors` takes. " +
		"A pipeline with such a name has its events and ordering by default.\n\n| pipeline | events | ordering |\n| --- | --- | --- |\n")
	for _, s := range defaultPipelines(vendors) {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", s.name, strings.Join(s.events, "`, `"), s.ordering)
	}
	b.WriteString("\nA pipeline's name has letters, digits, `_` and `-`. Pipelines that share a topic each skip what the others send (`unmapped: skip`). Its keys, below `pipelines.<name>`:\n\n")
	p := DefaultPipeline("")
	table(&b, "", reflect.ValueOf(&p))
	b.WriteString("\n## Vendors\n\nEach key of `vendors` is an account: a name of letters, digits, `_` and `-`. `type` is its vendor, by default the one of that name. " +
		"Only accounts that a pipeline uses must be complete.\n")
	for _, name := range slices.Sorted(maps.Keys(vendors)) {
		vendorReference(&b, name, vendors[name])
	}
	return b.String()
}

func vendorReference(b *strings.Builder, name string, kind VendorType) {
	own := kind.NewConfig()
	fmt.Fprintf(b, "\n### %s\n\nKeys, below `vendors.<account>`:\n\n", name)
	table(b, "", reflect.ValueOf(own))
	b.WriteString("\n| operation | event | items a call | default | sent twice | unknown outcome |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, o := range kind.Operations(own) {
		r := route(&Pipeline{}, &account{}, o)
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

func table(b *strings.Builder, prefix string, v reflect.Value) {
	b.WriteString("| key | default | allowed | meaning |\n| --- | --- | --- | --- |\n")
	rows(b, prefix, fieldsOf(v))
}

func rows(b *strings.Builder, prefix string, fields []field) {
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, f := range fields {
		key := join(prefix, f.key)
		if f.value.Kind() == reflect.Struct && !isText(f.value) {
			rows(b, key, fieldsOf(f.value))
			continue
		}
		byDefault := ""
		if text := format(f.value); !f.secret && !slices.Contains([]string{`""`, "[]", "{}"}, text) && (isList(f) || check(f.allow, f.value, text) == nil) {
			byDefault = "`" + cell.Replace(text) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, byDefault, cell.Replace(allowedFor(f)), cell.Replace(f.doc))
	}
}

func isList(f field) bool { return f.value.Kind() == reflect.Slice || f.value.Kind() == reflect.Map }

// allowedFor says what a field takes, by its tag or else its type.
func allowedFor(f field) string {
	t, prefix := f.value.Type(), ""
	switch t.Kind() {
	case reflect.Slice:
		prefix, t = "list: ", t.Elem()
	case reflect.Map:
		prefix, t = "mapping: ", t.Elem()
	}
	switch {
	case f.allow != "":
		return prefix + allowed(f.allow)
	case f.secret:
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
