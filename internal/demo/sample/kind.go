package sample

import "sluice/internal/record"

// Kind is what is wrong with a sample. It determines what becomes of the sample's record.
type Kind string

// The kinds. All of them except Valid are bad.
const (
	// Valid samples are accepted by the vendor.
	Valid Kind = "valid"
	// Poison samples have a truncated value.
	Poison Kind = "poison"
	// Trailing samples have an extra byte after the record's last field.
	Trailing Kind = "trailing"
	// Magic samples have a first byte other than the magic byte of Confluent's wire format.
	Magic Kind = "magic"
	// UnknownID samples have a schema ID that the registry does not have.
	UnknownID Kind = "unknown_id"
	// Invalid samples violate a rule of the vendor that is checked before any call.
	Invalid Kind = "invalid"
	// Unmapped samples are of an event that no operation of the pipeline handles.
	Unmapped Kind = "unmapped"
	// Tombstone samples have a null value.
	Tombstone Kind = "tombstone"
	// Rejected samples are rejected permanently by the vendor.
	Rejected Kind = "rejected"
	// Retryable samples are refused with a retryable result every time they are sent.
	Retryable Kind = "retryable"
)

// Kinds returns the bad kinds, those that damage the bytes first.
func Kinds() []Kind {
	return []Kind{Poison, Trailing, Magic, UnknownID, Tombstone, Unmapped, Invalid, Rejected, Retryable}
}

// Cause returns the cause with which samples of the kind are dead-lettered, or "" for Valid.
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
