package decode

import (
	"fmt"
	"strings"
	"time"
)

// PoisonError is a record that can never be decoded, whatever is waited for: the fault is in its bytes or in the schema that it names.
type PoisonError struct {
	// ID is the schema id that the record names, 0 where none could be read.
	ID int
	// Reason says what is wrong, at most 512 bytes, never with a value from the record.
	Reason string
}

// Error is the reason, with the schema id where there is one.
func (e *PoisonError) Error() string {
	if e.ID == 0 {
		return e.Reason
	}
	return fmt.Sprintf("schema id %d: %s", e.ID, e.Reason)
}

// UnmappedError is a record whose schema is a well-formed record of a name that no event has.
type UnmappedError struct {
	// Name is the writer's full record name, at most 512 bytes.
	Name string
}

// Error names the record.
func (e *UnmappedError) Error() string { return fmt.Sprintf("no event has the record name %q", e.Name) }

// UnknownSchemaError is a schema id that the registry does not know, now. A registry that lags behind its leader, or the wrong registry, looks the
// same; how long to wait and when to hold is the caller's to decide.
type UnknownSchemaError struct {
	ID int
	// FirstSeen is when the registry first said so, not before TrustedSince; it starts anew once the id was known, or was pushed out of memory
	// by many others.
	FirstSeen time.Time
	// TrustedSince is when the registry knew its first id, or failed to answer last if that was later: what it said before may not hold any more.
	TrustedSince time.Time
	// EverResolved tells whether the registry has known any id since the start.
	EverResolved bool
}

// Error names the id.
func (e *UnknownSchemaError) Error() string {
	return fmt.Sprintf("schema id %d: unknown to the registry since %s", e.ID, e.FirstSeen.UTC().Format(time.RFC3339))
}

const maxText = 512 // bytes of any text that leaves in an error

// cut is s in at most maxText bytes of valid UTF-8.
func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "")
}
