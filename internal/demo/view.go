package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/observe"
)

// Screen is the output of the live view.
type Screen struct {
	io.Writer
	// Width returns the number of columns of the terminal. It is nil if the writer is not a
	// terminal; then it gets one line per second instead of a table that is redrawn.
	Width func() int
}

// viewState is what the view shows.
type viewState struct {
	elapsed, length time.Duration // a length of 0 means no limit
	phase           string
	pipelines       []string // in display order
	figures         map[string]Figures
	lag             map[string]int64
	states          map[string]string // as the connector reports them
	total           Figures
	events          []scriptEvent
}

// pipelineState summarizes the state of a pipeline. What needs an operator comes first.
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
			parts = append(parts, fmt.Sprintf("breaker %s (%s)", breaker, strings.Join(names, ", ")))
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
	drainingPhase = "draining, production has ended"
	closedBreaker = "closed"
)

// shortName returns an operation's name without its account.
func shortName(operation string) string { return operation[strings.LastIndexByte(operation, '.')+1:] }

const (
	tableHeader = "%-16s %8s %9s %8s %4s %7s %4s  %s"
	tableRow    = "%-16s %8d %9d %8d %4d %7d %4d  %s"
)

// tableLines renders the table.
func (s viewState) tableLines() []string {
	lines := []string{"Sluice demo  " + s.elapsedText() + "  " + s.phase, "",
		fmt.Sprintf(tableHeader, "pipeline", "produced", "delivered", "retrying", "dead", "skipped", "lag", "state")}
	for _, name := range s.pipelines {
		figures := s.figures[name]
		lines = append(lines, fmt.Sprintf(tableRow, name, figures.Produced, figures.Delivered, figures.Retrying,
			figures.Dead, figures.Skipped, s.lag[name], s.states[name]))
	}
	lines = append(lines, "", "scripted events")
	for _, event := range s.events {
		lines = append(lines, "  "+event.summaryLine())
	}
	for range eventLines - len(s.events) {
		lines = append(lines, "")
	}
	return append(append(lines, ""), s.total.ledgerLines()...)
}

// eventLines is the number of lines for events, which keeps the height of the table constant.
const eventLines = 5

func (s viewState) elapsedText() string {
	if s.length == 0 {
		return fmt.Sprintf("%d s (Ctrl-C to stop)", int(s.elapsed.Seconds()))
	}
	return fmt.Sprintf("%d s of %d s", int(s.elapsed.Seconds()), int(s.length.Seconds()))
}

func (e scriptEvent) summaryLine() string {
	return fmt.Sprintf("%d s: %s", int(e.startsAt.Seconds()), e.description)
}

// ledgerLines renders the ledger in lines that fit into 80 columns.
func (f Figures) ledgerLines() []string {
	return []string{
		fmt.Sprintf(
			"ledger  produced %d = delivered %d + retrying %d + dead %d + skipped %d", f.Produced, f.Delivered,
			f.Retrying, f.Dead, f.Skipped,
		),
		fmt.Sprintf("        + unsettled %d + lost %d; duplicates %d", f.Unsettled, f.Lost, f.Duplicates),
	}
}

func (f Figures) ledgerLine() string {
	lines := f.ledgerLines()
	return strings.TrimPrefix(lines[0], "ledger  ") + " " + strings.TrimSpace(lines[1])
}

// plainLine renders everything in one line, for output that is not a terminal.
func (s viewState) plainLine() string {
	parts := []string{s.elapsedText() + ", " + s.phase, s.total.ledgerLine()}
	for _, name := range s.pipelines {
		if state := s.states[name]; state != stateRunning && state != stateStopped {
			parts = append(parts, name+" "+state)
		}
	}
	if len(s.events) > 0 {
		parts = append(parts, "last event at "+s.events[len(s.events)-1].summaryLine())
	}
	return strings.Join(parts, " | ")
}

// ECMA-48 control functions.
const (
	cursorUp   = "\x1b[%dF" // to the beginning of a line further up
	eraseLine  = "\x1b[K"
	eraseBelow = "\x1b[J"
)

// view redraws the table in place. It is not safe for concurrent use.
type view struct {
	screen Screen
	drawn  int // number of lines of the last table
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
		return fmt.Errorf("writing the live view: %w", err)
	}
	return nil
}

// truncateLine prevents a line from wrapping, which would break the cursor movement.
func truncateLine(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}
