package decode

import (
	"fmt"
	"strings"
	"time"
)

// PoisonError is the error for a record that can never be decoded, because of its bytes or of the
// schema that it names.
type PoisonError struct {
	// ID is the schema ID that the record names, 0 if none could be read.
	ID int
	// Reason says what is wrong, in at most 512 bytes and without any value from the record.
	Reason string
}

// Error returns the reason, with the schema ID if there is one.
func (e *PoisonError) Error() string {
	if e.ID == 0 {
		return e.Reason
	}
	return fmt.Sprintf("schema id %d: %s", e.ID, e.Reason)
}

// UnmappedError is the error for a record whose record name is that of no event.
type UnmappedError struct {
	// Name is the full record name in the writer schema, at most 512 bytes.
	Name string
}

// Error returns a text with the record name.
func (e *UnmappedError) Error() string { return fmt.Sprintf("no event has the record name %q", e.Name) }

// UnknownSchemaError is the error for a schema ID that the registry does not know at present. A
// registry that lags behind its leader, or the wrong registry, looks the same, so the caller
// decides how long to wait.
type UnknownSchemaError struct {
	ID int
	// FirstSeen is when the ID was first found to be unknown, not before TrustedSince. It is reset
	// when the ID becomes known, or is evicted from the cache by many others.
	FirstSeen time.Time
	// TrustedSince is when the registry first knew an ID or, if that was later, last failed to
	// respond: earlier responses may not be valid any more.
	TrustedSince time.Time
	// EverResolved reports whether the registry has known any ID since the start.
	EverResolved bool
}

// Error returns a text with the ID.
func (e *UnknownSchemaError) Error() string {
	return fmt.Sprintf("schema id %d: unknown to the registry since %s", e.ID, e.FirstSeen.UTC().Format(time.RFC3339))
}

// maxTextBytes bounds every text of foreign origin in an error.
const maxTextBytes = 512

// truncateText returns at most maxTextBytes of the text, as valid UTF-8.
func truncateText(s string) string {
	if len(s) > maxTextBytes {
		s = s[:maxTextBytes]
	}
	return strings.ToValidUTF8(s, "")
}
