package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/observe"
)

// Screen is where the live view goes.
type Screen struct {
	io.Writer
	// Width gives the terminal's columns; nil where the writer is no terminal and gets a line a second instead of a table that redraws.
	Width func() int
}

// viewState is what the view shows.
type viewState struct {
	elapsed, length time.Duration // length 0: until it is stopped
	phase           string
	pipelines       []string // in the order shown
	figures         map[string]Figures
	lag             map[string]int64
	states          map[string]string // by the connector's own account
	total           Figures
	events          []scriptEvent
}

// pipelineState is a pipeline's in a few words; what needs a person first.
func pipelineState(status observe.PipelineStatus) string {
	if status.Hold != nil {
		return "held: " + string(status.Hold.Reason)
	}
	var parts []string
	for _, operation := range status.Operations {
		if operation.Hold != nil && (operation.Breaker == "" || operation.Breaker == closedBreaker) {
			parts = append(parts, fmt.Sprintf("held: %s (%s)", operation.Hold.Reason, shortName(operation.Operation)))
		}
	}
	for _, breaker := range []string{"open", "half-open"} {
		var names []string
		for _, operation := range status.Operations {
			if operation.Breaker == breaker {
				names = append(names, shortName(operation.Operation))
			}
		}
		if len(names) > 0 {
			parts = append(parts, fmt.Sprintf("%s breaker (%s)", breaker, strings.Join(names, ", ")))
		}
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, ", ")
	case !status.Started:
		return stateStopped
	}
	return stateRunning
}

const (
	stateRunning  = "running"
	stateStopped  = "stopped"
	closedBreaker = "closed"
)

// shortName is an operation's name without its account.
func shortName(operation string) string { return operation[strings.LastIndexByte(operation, '.')+1:] }

const tableRow = "%-16s %8s %9s %8s %4s %7s %4s  %s"

// tableLines draws the scene, a line an element.
func (s viewState) tableLines() []string {
	lines := []string{"Sluice demo  " + s.elapsedText() + "  " + s.phase, "",
		fmt.Sprintf(tableRow, "pipeline", "produced", "delivered", "retrying", "dead", "skipped", "lag", "state")}
	for _, name := range s.pipelines {
		figures := s.figures[name]
		lines = append(lines, fmt.Sprintf(tableRow, name, formatCount(figures.Produced), formatCount(figures.Delivered), formatCount(figures.Retrying), formatCount(figures.Dead), formatCount(figures.Skipped),
			fmt.Sprint(s.lag[name]), s.states[name]))
	}
	lines = append(lines, "", "script")
	for _, event := range s.events {
		lines = append(lines, "  "+event.summaryLine())
	}
	for range eventLines - len(s.events) {
		lines = append(lines, "")
	}
	return append(append(lines, ""), s.total.ledgerLines()...)
}

// eventLines is how many acts are shown, so that the table keeps its height.
const eventLines = 5

func (s viewState) elapsedText() string {
	if s.length == 0 {
		return fmt.Sprintf("%d s (Ctrl-C ends it)", int(s.elapsed.Seconds()))
	}
	return fmt.Sprintf("%d s of %d s", int(s.elapsed.Seconds()), int(s.length.Seconds()))
}

func (a scriptEvent) summaryLine() string {
	return fmt.Sprintf("%d s: %s", int(a.startsAt.Seconds()), a.description)
}

// ledgerLines are the ledger's, short enough for a terminal of 80 columns.
func (f Figures) ledgerLines() []string {
	return []string{
		fmt.Sprintf(
			"ledger  produced %d = delivered %d + retrying %d + dead %d + skipped %d", f.Produced, f.Delivered,
			f.Retrying, f.Dead, f.Skipped,
		),
		fmt.Sprintf("        + not yet settled %d + lost %d; duplicates %d", f.Unsettled, f.Lost, f.Duplicates),
	}
}

func (f Figures) ledgerLine() string {
	lines := f.ledgerLines()
	return lines[0] + " " + strings.TrimSpace(lines[1])
}

func formatCount(count int) string { return fmt.Sprint(count) }

// plainLine is the scene in one line, for what is no terminal.
func (s viewState) plainLine() string {
	parts := []string{s.elapsedText(), s.total.ledgerLine()}
	for _, name := range s.pipelines {
		if state := s.states[name]; state != stateRunning && state != stateStopped {
			parts = append(parts, name+" "+state)
		}
	}
	if len(s.events) > 0 {
		parts = append(parts, "script "+s.events[len(s.events)-1].summaryLine())
	}
	return strings.Join(parts, " | ")
}

// ECMA-48 control functions.
const (
	cursorUp   = "\x1b[%dF" // to the start of a line above
	eraseLine  = "\x1b[K"
	eraseBelow = "\x1b[J"
)

// view draws scenes over each other. Only one goroutine may use it.
type view struct {
	screen Screen
	drawn  int // lines of the last table
}

func (v *view) drawState(state viewState) error {
	if v.screen.Width == nil {
		return v.writeText(state.plainLine() + "\n")
	}
	var drawing strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&drawing, cursorUp, v.drawn)
	}
	lines, width := state.tableLines(), v.screen.Width()
	for _, line := range lines {
		drawing.WriteString(truncateLine(line, width) + eraseLine + "\n")
	}
	drawing.WriteString(eraseBelow)
	v.drawn = len(lines)
	return v.writeText(drawing.String())
}

func (v *view) writeText(text string) error {
	if _, err := io.WriteString(v.screen, text); err != nil {
		return fmt.Errorf("drawing the view: %w", err)
	}
	return nil
}

// truncateLine keeps a line from wrapping, which would spoil the count of lines.
func truncateLine(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}
