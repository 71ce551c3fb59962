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

// Figures count the outcomes of a set of records, as found at the vendors and in the topics. They
// do not rely on the connector's own metrics. Produced is the sum of Delivered, Retrying, Dead,
// Skipped, Unsettled and Lost.
type Figures struct {
	Produced  int `json:"produced"`
	Delivered int `json:"delivered"` // in a vendor's ledger
	Retrying  int `json:"retrying"`  // in a retry topic and not yet committed there
	Dead      int `json:"dead"`      // in a dead-letter topic
	Skipped   int `json:"skipped"`   // skipped by a rule of the configuration
	Unsettled int `json:"unsettled"` // not yet committed; 0 after a complete run
	Lost      int `json:"lost"`      // committed, but found nowhere
	// Duplicates counts each place at a vendor or in a dead-letter topic beyond a record's first.
	Duplicates int `json:"duplicates"`
	// Calls counts the calls to the vendors, including failed ones. RecordsPerCall is the average
	// number of records accepted per call.
	Calls          int     `json:"calls"`
	RecordsPerCall float64 `json:"records_per_call"`
	// DelayP50 and DelayP99 are the milliseconds from a record's timestamp to its first acceptance
	// by the vendor.
	DelayP50 float64 `json:"delay_p50_ms"`
	DelayP99 float64 `json:"delay_p99_ms"`
}

// Report is the result of a run.
type Report struct {
	Pipelines  map[string]Figures `json:"pipelines"`
	Operations map[string]Figures `json:"operations"`
	// Faults counts how often each scripted fault occurred. For each of the categories poison,
	// invalid, unmapped and tombstone it has the number of records found in a dead-letter topic,
	// and under "<category>_produced" the number of records produced.
	Faults map[string]int `json:"faults"`
	// Total covers all pipelines.
	Total Figures `json:"-"`
	// Failures lists the promises that the run did not keep; it is empty after a successful run.
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

// Summary returns the human-readable lines of the report. It does not repeat the ledger, which is
// part of the view.
func (r Report) Summary() []string {
	var faults, bad []string
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		category, _, _ := strings.Cut(name, producedSuffix)
		switch {
		case category != name:
		case slices.Contains(categories, name):
			bad = append(bad, fmt.Sprintf("%s %d/%d", name, r.Faults[name], r.Faults[name+producedSuffix]))
		default:
			faults = append(faults, fmt.Sprintf("%s %d", name, r.Faults[name]))
		}
	}
	lines := []string{
		fmt.Sprintf("vendor calls  %d, %.1f records per call", r.Total.Calls, r.Total.RecordsPerCall),
		fmt.Sprintf(
			"latency       p50 %.0f ms, p99 %.0f ms from produced to delivered",
			r.Total.DelayP50, r.Total.DelayP99,
		),
		"faults        " + strings.Join(faults, ", "),
		"dead letters  " + strings.Join(bad, ", ") + " (found/produced)",
	}
	switch {
	case len(r.Failures) > 0:
		for _, failure := range r.Failures {
			lines = append(lines, "FAIL: "+failure)
		}
		return lines
	case r.cutShort:
		return append(lines, "PASS: no record lost. The run was stopped before the script was complete.")
	}
	return append(lines, "PASS: no record lost, and every scripted fault occurred.")
}

// Err returns an error that wraps ErrPromiseBroken if the run has failures, otherwise nil.
func (r Report) Err() error {
	if len(r.Failures) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrPromiseBroken, strings.Join(r.Failures, "; "))
}

// ErrPromiseBroken means that a run did not keep its promises.
var ErrPromiseBroken = errors.New("the run did not keep its promises")

// producedSuffix follows the name of a category in Report.Faults.
const producedSuffix = "_produced"

// newReport evaluates the totals of a run. A run that was cut short need not contain the whole
// script or have settled every record.
func newReport(sums totals, fired map[string]int, script script, complete bool) Report {
	report := Report{
		Pipelines: figuresByName(sums.pipelines), Operations: figuresByName(sums.operations), Faults: maps.Clone(fired),
		Total: sums.total.computeFigures(), cutShort: !complete,
	}
	report.Faults[faultSkipped] = report.Total.Skipped
	for _, category := range categories {
		count := sums.categories[category]
		report.Faults[category], report.Faults[category+producedSuffix] = count.dead, count.produced
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
				"%d items at the vendors or dead letters belong to no produced record", sums.unknownRecords,
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
	require := func(ok bool, count int, what string) {
		if !ok {
			failures = append(failures, fmt.Sprintf("pipeline %s: %d records %s", pipeline, count, what))
		}
	}
	require(
		figures.Lost == 0, figures.Lost,
		"lost: committed, but in no vendor's ledger, retry topic or dead-letter topic",
	)
	require(
		sum.unexplained == 0, sum.unexplained,
		"duplicated without a reason: sent again although confirmed, or twice in a dead-letter topic",
	)
	require(
		sum.unexpected == 0, sum.unexpected,
		"with an unexpected outcome: delivered instead of rejected, or dead instead of delivered",
	)
	require(!complete || figures.Unsettled == 0, figures.Unsettled, "not settled at the end of the drain")
	return failures
}

func scriptFailures(faults map[string]int, script script) []string {
	var failures []string
	for _, name := range script.faultNames() {
		if least := script.minimumCount(name); faults[name] < least {
			failures = append(
				failures,
				fmt.Sprintf("scripted fault %s: got %d occurrences, want at least %d", name, faults[name], least),
			)
		}
	}
	for _, category := range categories {
		if found, made, due := faults[category], faults[category+producedSuffix], script.minimumCount(category); found != made ||
			made != due {
			failures = append(
				failures,
				fmt.Sprintf(
					"category %s: got %d produced and %d dead letters, want %d", category, made, found, due,
				),
			)
		}
	}
	return failures
}
