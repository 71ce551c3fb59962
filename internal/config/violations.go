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

// Violation is one value in a configuration file that breaks a rule.
type Violation struct {
	// Line is its line in the file, from 1, or 0 if the file does not contain it.
	Line int
	// Path is the key, such as pipelines.purchases.batch.max_items.
	Path string
	// Value is the value as written in the file, with references not expanded. It is *** for a
	// secret and empty for a section.
	Value string
	// Rule states what is allowed.
	Rule string
}

// InvalidError reports all violations in a configuration file, sorted by line.
type InvalidError struct {
	File       string
	Violations []Violation
}

// Error has one line per violation: "file:line: path: value: rule".
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Violations))
	for i, f := range e.Violations {
		parts := []string{e.File, f.Path, f.Value, f.Rule}
		if f.Line > 0 {
			parts[0] += ":" + strconv.Itoa(f.Line)
		}
		lines[i] = strings.Join(slices.DeleteFunc(parts, func(text string) bool { return text == "" }), ": ")
	}
	return strings.Join(lines, "\n")
}

// Violations collects violations. The zero value is ready to use. A vendor gets one whose paths are
// relative to its account's section.
type Violations struct {
	prefix   string
	findings *findings
}

// findings is what is known about the file while it is checked.
type findings struct {
	places       map[string]keyPlace
	hiddenValues []string // values that must not appear in any rule
	violations   []Violation
}

// keyPlace is the line of a key, and its value in printable form.
type keyPlace struct {
	line       int
	shownValue string
}

func (f *Violations) shared() *findings {
	if f.findings == nil {
		f.findings = &findings{places: map[string]keyPlace{}}
	}
	return f.findings
}

// Add records a violation. path is the key relative to this section, such as "auth.client_id"; the
// rule states what is allowed, without the value. A violation that follows from one already
// recorded, for the same key or one below it, is ignored.
func (f *Violations) Add(path, rule string, args ...any) {
	s := f.shared()
	full := joinPath(f.prefix, path)
	if slices.ContainsFunc(s.violations, func(other Violation) bool { return other.Path == full || isInside(other.Path, full) }) {
		return
	}
	at, known := s.places[full]
	for up := full; !known && up != ""; {
		up = parentPath(up)
		at, known = s.places[up]
		at.shownValue = ""
	}
	text := fmt.Sprintf(rule, args...)
	for _, secret := range s.hiddenValues {
		text = strings.ReplaceAll(text, secret, hiddenText)
	}
	s.violations = append(s.violations, Violation{Line: at.line, Path: full, Value: at.shownValue, Rule: text})
}

// forSection returns a view whose paths are relative to a section.
func (f *Violations) forSection(path string) *Violations {
	return &Violations{prefix: joinPath(f.prefix, path), findings: f.shared()}
}

func (f *Violations) notePlace(path string, line int, show string) {
	f.shared().places[joinPath(f.prefix, path)] = keyPlace{line: line, shownValue: show}
}

// hideValue masks a value in every rule. Very short values are not masked, because they occur in
// ordinary words.
func (f *Violations) hideValue(value string) {
	if len(value) >= 4 {
		f.shared().hiddenValues = append(f.shared().hiddenValues, value)
	}
}

// Sorted returns the violations by line and path.
func (f *Violations) Sorted() []Violation {
	found := slices.Clone(f.shared().violations)
	slices.SortStableFunc(found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	})
	return found
}

func joinPath(section, key string) string {
	if section == "" || key == "" || strings.HasPrefix(key, "[") {
		return section + key
	}
	return section + "." + key
}

// isInside reports whether a path is below a section.
func isInside(path, section string) bool {
	rest, ok := strings.CutPrefix(path, section)
	return ok && (section == "" || strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "["))
}

func parentPath(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// printable returns a value in a form that fits on one line of a terminal. URLs with credentials
// are masked.
func printable(text string) string {
	if u, err := url.Parse(text); strings.Contains(text, "://") && strings.Contains(text, "@") && (err != nil || u.User != nil) {
		return hiddenText
	}
	const maxRunes = 80
	if utf8.RuneCountInString(text) > maxRunes {
		text = string([]rune(text)[:maxRunes]) + "..."
	}
	if q := strconv.Quote(text); text == "" || q != `"`+text+`"` {
		return q
	}
	return text
}
