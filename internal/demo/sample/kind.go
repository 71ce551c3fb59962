package sample

import "sluice/internal/record"

// Kind is what a sample is made to lead to.
type Kind string

// The kinds. Every kind but Valid is a bad one.
const (
	// Valid: the vendor takes it.
	Valid Kind = "valid"
	// Poison: the value ends within the record.
	Poison Kind = "poison"
	// Trailing: a byte follows the record's last field.
	Trailing Kind = "trailing"
	// Magic: the first byte is not that of Confluent's wire format.
	Magic Kind = "magic"
	// UnknownID: no schema in the registry has the id.
	UnknownID Kind = "unknown_id"
	// Invalid: a rule of the vendor that can be told without a call is broken.
	Invalid Kind = "invalid"
	// Unmapped: the record's name has no operation in the pipeline.
	Unmapped Kind = "unmapped"
	// Tombstone: the value is null.
	Tombstone Kind = "tombstone"
	// Rejected: the vendor refuses it for good.
	Rejected Kind = "rejected"
	// Retryable: the vendor refuses it for now, each time.
	Retryable Kind = "retryable"
)

// Kinds are the bad kinds, those of the bytes first.
func Kinds() []Kind {
	return []Kind{Poison, Trailing, Magic, UnknownID, Tombstone, Unmapped, Invalid, Rejected, Retryable}
}

// Cause is the cause with which a sample of the kind ends in the dead-letter topic; empty for
// Valid.
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
