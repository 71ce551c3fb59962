package sample

import "sluice/internal/record"

// Kind says what is wrong with a sample, and so how its record ends.
type Kind string

// The kinds. Every kind but Valid is a bad one.
const (
	// Valid: the vendor accepts it.
	Valid Kind = "valid"
	// Poison: the value is cut off.
	Poison Kind = "poison"
	// Trailing: a byte follows the record's last field.
	Trailing Kind = "trailing"
	// Magic: the first byte is not that of Confluent's wire format.
	Magic Kind = "magic"
	// UnknownID: no schema in the registry has the ID.
	UnknownID Kind = "unknown_id"
	// Invalid: the event breaks a rule of the vendor that is checked before any call.
	Invalid Kind = "invalid"
	// Unmapped: no operation of the pipeline takes the event.
	Unmapped Kind = "unmapped"
	// Tombstone: the value is null.
	Tombstone Kind = "tombstone"
	// Rejected: the vendor rejects it for good.
	Rejected Kind = "rejected"
	// Retryable: the vendor refuses it for now, however often it is sent.
	Retryable Kind = "retryable"
)

// Kinds returns the bad kinds, those that damage the bytes first.
func Kinds() []Kind {
	return []Kind{Poison, Trailing, Magic, UnknownID, Tombstone, Unmapped, Invalid, Rejected, Retryable}
}

// Cause returns the cause with which a sample of the kind is dead-lettered; empty for Valid.
func (k Kind) Cause() record.Cause {
	switch k {
	case Valid:
		return ""
	case Poison, Trailing, Magic, UnknownID:
		return record.CausePoison
	case Retryable:
		return record.CauseExhausted
	case Tombstone, Unmapped, Invalid, Rejected: // these have the names of their causes
	}
	return record.Cause(k)
}
