package config

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Violation is one thing wrong in a configuration.
type Violation struct {
	// Line is where it stands, from 1; 0 where the file does not have it.
	Line int
	// Path is the key, such as pipelines.purchases.batch.max_items.
	Path string
	// Value is the value as the file has it, references not put in; *** for a secret, empty for a section.
	Value string
	// Rule says what is allowed.
	Rule string
}

// InvalidError is a configuration with all its faults, by line.
type InvalidError struct {
	File       string
	Violations []Violation
}

// Error is a line for each fault: "file:line: path: value: rule".
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Violations))
	for i, f := range e.Violations {
		parts := []string{e.File, f.Path, f.Value, f.Rule}
		if f.Line > 0 {
			parts[0] += ":" + strconv.Itoa(f.Line)
		}
		lines[i] = strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
	}
	return strings.Join(lines, "\n")
}

// Violations gathers faults. The zero value is ready; a vendor gets one whose paths begin at its account's section.
type Violations struct {
	prefix string
	sheet  *sheet
}

// sheet is what is known of the file while it is checked.
type sheet struct {
	places map[string]place
	hide   []string // values that must not show in any rule
	found  []Violation
}

// place is where a key stands, and its value as it may be shown.
type place struct {
	line int
	show string
}

func (f *Violations) page() *sheet {
	if f.sheet == nil {
		f.sheet = &sheet{places: map[string]place{}}
	}
	return f.sheet
}

// Add notes a fault. path is the key below this section, such as "auth.client_id"; the rule says what is allowed, without the value.
// What follows from a fault that stands already, at the same key or below it, is left out.
func (f *Violations) Add(path, rule string, args ...any) {
	s := f.page()
	full := join(f.prefix, path)
	if slices.ContainsFunc(s.found, func(o Violation) bool { return o.Path == full || inside(o.Path, full) }) {
		return
	}
	at, known := s.places[full]
	for up := full; !known && up != ""; {
		up = parent(up)
		at, known = s.places[up]
		at.show = ""
	}
	text := fmt.Sprintf(rule, args...)
	for _, secret := range s.hide {
		text = strings.ReplaceAll(text, secret, hidden)
	}
	s.found = append(s.found, Violation{Line: at.line, Path: full, Value: at.show, Rule: text})
}

// below gives the same faults with paths that begin deeper.
func (f *Violations) below(path string) *Violations {
	return &Violations{prefix: join(f.prefix, path), sheet: f.page()}
}

func (f *Violations) note(path string, line int, show string) {
	f.page().places[join(f.prefix, path)] = place{line: line, show: show}
}

// never keeps a value out of every rule. Very short ones are left, for they stand in ordinary words.
func (f *Violations) never(value string) {
	if len(value) >= 4 {
		f.page().hide = append(f.page().hide, value)
	}
}

// Found is what was noted, by line and path.
func (f *Violations) Found() []Violation {
	found := slices.Clone(f.page().found)
	slices.SortStableFunc(found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	})
	return found
}

func join(a, b string) string {
	if a == "" || b == "" || strings.HasPrefix(b, "[") {
		return a + b
	}
	return a + "." + b
}

// inside tells whether a path is below another.
func inside(path, section string) bool {
	rest, ok := strings.CutPrefix(path, section)
	return ok && (section == "" || strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "["))
}

func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// shown is a value fit for one line of a terminal.
func shown(s string) string {
	if u, err := url.Parse(s); strings.Contains(s, "://") && strings.Contains(s, "@") && (err != nil || u.User != nil) {
		return hidden
	}
	const most = 80
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	if q := strconv.Quote(s); s == "" || q != `"`+s+`"` {
		return q
	}
	return s
}
