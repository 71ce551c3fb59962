package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Figures say what became of a set of records, found at the vendors and in the topics, not in the connector's own counts. Produced is the sum of Delivered,
// Retrying, Dead, Skipped, Unsettled and Lost.
type Figures struct {
	Produced  int `json:"produced"`
	Delivered int `json:"delivered"` // in a vendor's ledger
	Retrying  int `json:"retrying"`  // in a retry topic, and not committed there
	Dead      int `json:"dead"`      // in a dead-letter topic
	Skipped   int `json:"skipped"`   // passed over by a rule of the configuration
	Unsettled int `json:"unsettled"` // at or past the committed offset; 0 after a run that was not cut short
	Lost      int `json:"lost"`      // nowhere, and committed past
	// Duplicates counts the places beyond a record's first, at a vendor and in a dead-letter topic together.
	Duplicates int `json:"duplicates"`
	// Calls counts the vendor's calls, those that failed too; RecordsPerCall is how many records each brought home on average.
	Calls          int     `json:"calls"`
	RecordsPerCall float64 `json:"records_per_call"`
	// DelayP50 and DelayP99 are milliseconds from a record's timestamp to its first acceptance by the vendor.
	DelayP50 float64 `json:"delay_p50_ms"`
	DelayP99 float64 `json:"delay_p99_ms"`
}

// Report is how a run ended.
type Report struct {
	Pipelines  map[string]Figures `json:"pipelines"`
	Operations map[string]Figures `json:"operations"`
	// Faults says how often each scripted fault fired. Of the classes poison, invalid, unmapped and tombstone it has the records found in a
	// dead-letter topic under the class's name, and those produced under "<class>_produced".
	Faults map[string]int `json:"faults"`
	// Total is over all pipelines.
	Total Figures `json:"-"`
	// Failures are the promises that the run did not keep, one a line; empty after a good one.
	Failures []string `json:"-"`

	cutShort bool
}

// WriteJSON writes the report as one JSON object and a newline.
func (r Report) WriteJSON(out io.Writer) error {
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// Summary is the report for people, a line an element, without the ledger, which the view shows.
func (r Report) Summary() []string {
	var faults, bad []string
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		class, _, _ := strings.Cut(name, producedSuffix)
		switch {
		case class != name:
		case slices.Contains(classes, name):
			bad = append(bad, fmt.Sprintf("%s %d of %d", name, r.Faults[name], r.Faults[name+producedSuffix]))
		default:
			faults = append(faults, fmt.Sprintf("%s %d", name, r.Faults[name]))
		}
	}
	lines := []string{
		fmt.Sprintf("vendors  %d calls, %.1f records a call", r.Total.Calls, r.Total.RecordsPerCall),
		fmt.Sprintf(
			"delay    %.0f ms from produced to delivered at the median, %.0f ms at the 99th percentile",
			r.Total.DelayP50, r.Total.DelayP99,
		),
		"faults   " + strings.Join(faults, ", "),
		"dead     " + strings.Join(bad, ", "),
	}
	switch {
	case len(r.Failures) > 0:
		return append(lines, r.Failures...)
	case r.cutShort:
		return append(lines, "Nothing is lost. The run was stopped, so the script was not seen to its end.")
	}
	return append(lines, "Nothing is lost, and everything that the script had in store happened.")
}

// Err says that promises were not kept, nil where all were.
func (r Report) Err() error {
	if len(r.Failures) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrPromiseBroken, strings.Join(r.Failures, "; "))
}

// ErrPromiseBroken is a run that did not keep its promises.
var ErrPromiseBroken = errors.New("the run did not keep its promises")

// producedSuffix follows a class's name in Report.Faults.
const producedSuffix = "_produced"

// newReport puts a run's sums into their public form and judges them. A run that was cut short owes neither the whole script nor an end to each record.
func newReport(sums totals, fired map[string]int, script script, complete bool) Report {
	report := Report{
		Pipelines: figuresByName(sums.pipelines), Operations: figuresByName(sums.operations), Faults: maps.Clone(fired),
		Total: sums.total.computeFigures(), cutShort: !complete,
	}
	report.Faults[faultSkipped] = report.Total.Skipped
	for _, class := range classes {
		count := sums.classes[class]
		report.Faults[class], report.Faults[class+producedSuffix] = count.dead, count.produced
	}
	for _, name := range slices.Sorted(maps.Keys(report.Pipelines)) {
		report.Failures = append(
			report.Failures, pipelineFailures(name, report.Pipelines[name], sums.pipelines[name], complete)...,
		)
	}
	if sums.unknownRecords != 0 {
		report.Failures = append(
			report.Failures,
			fmt.Sprintf(
				"%d items at the vendors or dead letters are of no record that was produced", sums.unknownRecords,
			),
		)
	}
	if complete {
		report.Failures = append(report.Failures, scriptFailures(report.Faults, script)...)
	}
	return report
}

func figuresByName(balances map[string]*balance) map[string]Figures {
	out := make(map[string]Figures, len(balances))
	for name, sum := range balances {
		out[name] = sum.computeFigures()
	}
	return out
}

func pipelineFailures(pipeline string, figures Figures, sum *balance, complete bool) []string {
	var failures []string
	must := func(ok bool, count int, what string) {
		if !ok {
			failures = append(failures, fmt.Sprintf("pipeline %s: %d records %s", pipeline, count, what))
		}
	}
	must(
		figures.Lost == 0, figures.Lost,
		"are lost: committed past, and in no vendor's ledger, retry topic or dead-letter topic",
	)
	must(
		sum.unexplained == 0, sum.unexplained,
		"are double without a reason: at the vendor again though it had confirmed them, or again in a dead-letter topic",
	)
	must(
		sum.unexpected == 0, sum.unexpected,
		"met another end than the script has for them: delivered and to be refused, or dead and to be delivered",
	)
	must(!complete || figures.Unsettled == 0, figures.Unsettled, "were not settled at the end of the drain")
	return failures
}

func scriptFailures(faults map[string]int, script script) []string {
	var failures []string
	for _, name := range script.faultNames() {
		if least := script.minimumCount(name); faults[name] < least {
			failures = append(
				failures,
				fmt.Sprintf("scripted fault %s happened %d times, at least %d was due", name, faults[name], least),
			)
		}
	}
	for _, class := range classes {
		if found, made, due := faults[class], faults[class+producedSuffix], script.minimumCount(class); found != made ||
			made != due {
			failures = append(
				failures,
				fmt.Sprintf(
					"class %s: %d records were due, %d were produced and %d are in a dead-letter topic", class, due,
					made, found,
				),
			)
		}
	}
	return failures
}
