package config

import (
	"fmt"
	"io"
)

const hidden = "***"

// Secret is a text that no way of printing shows: fmt, JSON, YAML and zap all give ***. The zero value is no secret.
type Secret struct {
	// A pointer, for fmt reaches into unexported fields without asking for a Stringer, and prints a pointer's address there.
	text *string
}

// NewSecret hides a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal is the text itself, for the one place that sends it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet tells whether there is a text.
func (s Secret) IsSet() bool { return s.text != nil }

// String is ***.
func (Secret) String() string { return hidden }

// GoString is ***.
func (Secret) GoString() string { return hidden }

// Format writes *** for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText gives ***.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalYAML gives ***.
func (Secret) MarshalYAML() (any, error) { return hidden, nil }

// UnmarshalText takes the text.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
