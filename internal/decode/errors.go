package decode

import (
	"fmt"
	"strings"
	"time"
)

// PoisonError reports that a record can never be decoded, because of its bytes or of the schema
// that it refers to.
type PoisonError struct {
	// ID is the record's schema ID, or 0 if it could not be read.
	ID int
	// Reason describes what is wrong, in at most 512 bytes and without any value from the record.
	Reason string
}

// Error returns the reason, with the schema ID if there is one.
func (e *PoisonError) Error() string {
	if e.ID == 0 {
		return e.Reason
	}
	return fmt.Sprintf("schema id %d: %s", e.ID, e.Reason)
}

// UnmappedError reports that no event has the record name of a writer schema.
type UnmappedError struct {
	// Name is the full record name in the writer schema, at most 512 bytes.
	Name string
}

// Error returns a text with the record name.
func (e *UnmappedError) Error() string { return fmt.Sprintf("no event has the record name %q", e.Name) }

// UnknownSchemaError reports that the registry does not currently know a schema ID. A registry that
// lags behind its leader, and the wrong registry, respond in the same way, so the caller decides
// how long to wait.
type UnknownSchemaError struct {
	ID int
	// FirstSeen is when the ID was first found to be unknown, but not before TrustedSince. It is
	// reset if the ID becomes known or if other IDs evict it from the cache.
	FirstSeen time.Time
	// TrustedSince is when the registry first knew an ID or when it last failed to respond,
	// whichever is later. Earlier responses may no longer be valid.
	TrustedSince time.Time
	// EverResolved reports whether the registry has known any ID since the decoder was created.
	EverResolved bool
}

// Error returns a text with the ID.
func (e *UnknownSchemaError) Error() string {
	return fmt.Sprintf("schema id %d: unknown to the registry since %s", e.ID, e.FirstSeen.UTC().Format(time.RFC3339))
}

// maxTextBytes bounds every text in an error that comes from outside the connector.
const maxTextBytes = 512

// truncateText returns at most maxTextBytes of the text, as valid UTF-8.
func truncateText(s string) string {
	if len(s) > maxTextBytes {
		s = s[:maxTextBytes]
	}
	return strings.ToValidUTF8(s, "")
}
