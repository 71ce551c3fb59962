package config

import (
	"fmt"
	"io"
)

const hiddenText = "***"

// Secret is a text that is never printed: fmt, JSON, YAML and zap all show ***. The zero value is
// unset.
type Secret struct {
	// A pointer, because fmt prints unexported fields without calling their String method, and
	// prints only the address of a pointer.
	text *string
}

// NewSecret returns a Secret for a text; an empty text is unset.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text, for the one place that sends it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet reports whether there is a text.
func (s Secret) IsSet() bool { return s.text != nil }

// String returns ***.
func (Secret) String() string { return hiddenText }

// GoString returns ***.
func (Secret) GoString() string { return hiddenText }

// Format writes *** for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hiddenText) }

// MarshalText returns ***.
func (Secret) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }

// MarshalYAML returns ***.
func (Secret) MarshalYAML() (any, error) { return hiddenText, nil }

// UnmarshalText sets the text.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
