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

// scene is what the view shows.
type scene struct {
	elapsed, length time.Duration // length 0: until it is stopped
	phase           string
	pipelines       []string // in the order shown
	figures         map[string]Figures
	lag             map[string]int64
	states          map[string]string // by the connector's own account
	total           Figures
	acts            []act
}

// state is a pipeline's in a few words; what needs a person first.
func state(s observe.PipelineStatus) string {
	if s.Hold != nil {
		return "held: " + s.Hold.Reason
	}
	var parts []string
	for _, o := range s.Operations {
		if o.Hold != nil && (o.Breaker == "" || o.Breaker == closedBreaker) {
			parts = append(parts, fmt.Sprintf("held: %s (%s)", o.Hold.Reason, short(o.Operation)))
		}
	}
	for _, breaker := range []string{"open", "half-open"} {
		var names []string
		for _, o := range s.Operations {
			if o.Breaker == breaker {
				names = append(names, short(o.Operation))
			}
		}
		if len(names) > 0 {
			parts = append(parts, fmt.Sprintf("%s breaker (%s)", breaker, strings.Join(names, ", ")))
		}
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, ", ")
	case !s.Started:
		return stopped
	}
	return running
}

const (
	running       = "running"
	stopped       = "stopped"
	closedBreaker = "closed"
)

// short is an operation's name without its account.
func short(operation string) string { return operation[strings.LastIndexByte(operation, '.')+1:] }

const row = "%-16s %8s %9s %8s %4s %7s %4s  %s"

// table draws the scene, a line an element.
func (s scene) table() []string {
	lines := []string{"Sluice demo  " + s.clock() + "  " + s.phase, "",
		fmt.Sprintf(row, "pipeline", "produced", "delivered", "retrying", "dead", "skipped", "lag", "state")}
	for _, name := range s.pipelines {
		f := s.figures[name]
		lines = append(lines, fmt.Sprintf(row, name, count(f.Produced), count(f.Delivered), count(f.Retrying), count(f.Dead), count(f.Skipped),
			fmt.Sprint(s.lag[name]), s.states[name]))
	}
	lines = append(lines, "", "script")
	for _, a := range s.acts {
		lines = append(lines, "  "+a.line())
	}
	for range actLines - len(s.acts) {
		lines = append(lines, "")
	}
	return append(append(lines, ""), s.total.lines()...)
}

// actLines is how many acts are shown, so that the table keeps its height.
const actLines = 5

func (s scene) clock() string {
	if s.length == 0 {
		return fmt.Sprintf("%d s (Ctrl-C ends it)", int(s.elapsed.Seconds()))
	}
	return fmt.Sprintf("%d s of %d s", int(s.elapsed.Seconds()), int(s.length.Seconds()))
}

func (a act) line() string { return fmt.Sprintf("%d s: %s", int(a.at.Seconds()), a.words) }

// lines are the ledger's, short enough for a terminal of 80 columns.
func (f Figures) lines() []string {
	return []string{
		fmt.Sprintf("ledger  produced %d = delivered %d + retrying %d + dead %d + skipped %d", f.Produced, f.Delivered, f.Retrying, f.Dead, f.Skipped),
		fmt.Sprintf("        + not yet settled %d + lost %d; duplicates %d", f.Unsettled, f.Lost, f.Duplicates),
	}
}

func (f Figures) line() string {
	lines := f.lines()
	return lines[0] + " " + strings.TrimSpace(lines[1])
}

func count(n int) string { return fmt.Sprint(n) }

// plain is the scene in one line, for what is no terminal.
func (s scene) plain() string {
	parts := []string{s.clock(), s.total.line()}
	for _, name := range s.pipelines {
		if state := s.states[name]; state != running && state != stopped {
			parts = append(parts, name+" "+state)
		}
	}
	if len(s.acts) > 0 {
		parts = append(parts, "script "+s.acts[len(s.acts)-1].line())
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

func (v *view) draw(s scene) error {
	if v.screen.Width == nil {
		return v.write(s.plain() + "\n")
	}
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, cursorUp, v.drawn)
	}
	lines, width := s.table(), v.screen.Width()
	for _, line := range lines {
		b.WriteString(cut(line, width) + eraseLine + "\n")
	}
	b.WriteString(eraseBelow)
	v.drawn = len(lines)
	return v.write(b.String())
}

func (v *view) write(text string) error {
	if _, err := io.WriteString(v.screen, text); err != nil {
		return fmt.Errorf("drawing the view: %w", err)
	}
	return nil
}

// cut keeps a line from wrapping, which would spoil the count of lines.
func cut(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}
