package observe

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

const referenceHead = "# Metrics, status and hold reasons\n\n" +
	"Generated from the code by `go generate ./cmd/connector`; change the code, not this page.\n\n" +
	"`/metrics` serves the metrics in the Prometheus text format, together with those of the Go runtime\n" +
	"(`go_*`) and the process (`process_*`). Every series of a configured pipeline, operation, topic and\n" +
	"reason exists from the start with value 0, except that a breaker starts as `closed` with value 1;\n" +
	"series with the label `partition` exist while the partition is assigned. Counters start at 0\n" +
	"when the process starts.\n"

// ReferenceMarkdown returns the content of docs/metrics.md. status is the type that /status
// returns; its doc tags become the descriptions of the fields.
func ReferenceMarkdown(status reflect.Type) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	writeMetrics(&b)
	writeStatus(&b, status)
	writeHoldReasons(&b)
	return b.String()
}

func writeMetrics(out *strings.Builder) {
	out.WriteString("\n## Metrics\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, d := range definitions() {
		labels := strings.Join(d.labelNames(), "`, `")
		fmt.Fprintf(out, "| `%s_%s` | %s | `%s` | %s |\n", namespace, d.name, d.kind, labels, d.help)
	}
	out.WriteString("\n## Labels\n\n| label | metrics | value |\n| --- | --- | --- |\n")
	for _, l := range distinctLabels() {
		if len(l.values) == 0 {
			fmt.Fprintf(out, "| `%s` | %s | %s |\n", l.name, metricsWith(l), l.meaning)
		}
	}
	for _, l := range distinctLabels() {
		if len(l.values) > 0 {
			writeLabelValues(out, l)
		}
	}
}

func writeLabelValues(out *strings.Builder, of label) {
	fmt.Fprintf(out, "\n### `%s` of %s\n\n| value | meaning |\n| --- | --- |\n", of.name, metricsWith(of))
	for _, v := range of.values {
		fmt.Fprintf(out, "| `%s` | %s |\n", v.valueText(), v.meaning)
	}
}

// valueText returns the value as it appears in the table.
func (v labelValue) valueText() string {
	if v.value == "" {
		return `""`
	}
	return v.value
}

// distinctLabels returns the labels of all metrics, each once, in order of first use.
func distinctLabels() []label {
	var out []label
	for _, d := range definitions() {
		for _, l := range d.labels {
			if !slices.ContainsFunc(out, l.equalTo) {
				out = append(out, l)
			}
		}
	}
	return out
}

func (l label) equalTo(other label) bool {
	return l.name == other.name && l.meaning == other.meaning && slices.Equal(l.values, other.values)
}

// metricsWith lists the metrics that have the label.
func metricsWith(wanted label) string {
	if wanted.equalTo(pipelineLabel) {
		return "all but `" + namespace + "_" + buildInfo.name + "`"
	}
	var names []string
	for _, d := range definitions() {
		if slices.ContainsFunc(d.labels, wanted.equalTo) {
			names = append(names, "`"+namespace+"_"+d.name+"`")
		}
	}
	return strings.Join(names, ", ")
}

func writeStatus(out *strings.Builder, status reflect.Type) {
	out.WriteString("\n## /status\n\n`/status` returns one JSON object. Counts begin at 0 when the process starts. Maps omit zero counts.\n" +
		"If a pipeline has several holds, one that concerns partitions takes precedence over one that concerns\n" +
		"writes, and both over the pipeline's own.\n\n| field | type | meaning |\n| --- | --- | --- |\n")
	writeFields(out, "", status)
}

// writeFields writes a row for each field, with those of nested objects below it.
func writeFields(out *strings.Builder, prefix string, object reflect.Type) {
	for i := range object.NumField() {
		f := object.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind, nested := jsonType(f.Type)
		fmt.Fprintf(out, "| `%s%s` | %s | %s |\n", prefix, name, kind, f.Tag.Get("doc"))
		if nested != nil {
			writeFields(out, prefix+name+separatorFor(kind), nested)
		}
	}
}

func separatorFor(kind string) string {
	if kind == "array of objects" {
		return "[]."
	}
	return "."
}

// jsonType returns the JSON type of a Go type, and the struct that it contains, if any.
func jsonType(goType reflect.Type) (kind string, nested reflect.Type) {
	switch goType.Kind() {
	case reflect.Pointer:
		return jsonType(goType.Elem())
	case reflect.Slice:
		if elem, nested := jsonType(goType.Elem()); nested == nil {
			return "array of " + elem + "s", nil
		}
		return "array of objects", goType.Elem()
	case reflect.Map:
		return "map of numbers", nil
	case reflect.Struct:
		if goType == reflect.TypeFor[time.Time]() {
			return "string", nil
		}
		return "object", goType
	case reflect.Bool:
		return "boolean", nil
	case reflect.String:
		return "string", nil
	default:
		return "number", nil
	}
}

func writeHoldReasons(out *strings.Builder) {
	out.WriteString("\n## Hold reasons\n\nWhile something is held, no record moves to a retry or dead-letter topic because of it, except\nthat a record with an unknown schema ID is dead-lettered after `unknown_id_wait`.\n\n" +
		"| reason | scope | meaning | remedy |\n| --- | --- | --- | --- |\n")
	for _, reason := range HoldReasons() {
		scope := "pipeline"
		if slices.Contains(operationHoldReasons, reason) {
			scope = "operation or pipeline"
		}
		text := holdDescriptions[reason]
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", reason, scope, text.meaning, text.remedy)
	}
}
