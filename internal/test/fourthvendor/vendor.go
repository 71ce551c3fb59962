// Package fourthvendor is a vendor that exists only in tests: Stampcard, whose API issues stamps on
// loyalty cards. It has everything that a vendor of the product has - a sink, schemas, samples and
// a page of the sandbox - and is registered through the same functions, which proves that a new
// vendor needs nothing else.
package fourthvendor

import (
	_ "embed"
	"time"

	"sluice/internal/event"
	"sluice/internal/pipeline"
)

// Name is the vendor's name in the configuration and in the sandbox.
const Name = "stampcard"

// The full names of the vendor's events.
const (
	stampEvent        = "sluice.stampcard.Stamp"
	cancellationEvent = "sluice.stampcard.Cancellation"
)

var (
	//go:embed stamp.avsc
	stampSchema string
	//go:embed cancellation.avsc
	cancellationSchema string
)

// Stamp is the event of operation "stamps".
type Stamp struct {
	StampId    string        `avro:"stamp_id"`
	CardNumber string        `avro:"card_number"`
	Amount     event.Decimal `avro:"amount"`
	StampedAt  time.Time     `avro:"stamped_at"`
	Note       *string       `avro:"note"`
}

// Overflow returns the path of the first decimal that has more digits than its schema allows, empty
// if all fit.
func (s *Stamp) Overflow() string {
	if !s.Amount.Fits(38) {
		return "amount"
	}
	return ""
}

// Cancellation is the event of operation "cancellations".
type Cancellation struct {
	StampId     string    `avro:"stamp_id"`
	CancelledAt time.Time `avro:"cancelled_at"`
	Reason      *string   `avro:"reason"`
}

// EventTypes returns the types of the vendor's events.
func EventTypes() event.Types {
	return event.Types{
		{Name: stampEvent, Schema: stampSchema, New: func() any { return new(Stamp) }},
		{Name: cancellationEvent, Schema: cancellationSchema, New: func() any { return new(Cancellation) }},
	}
}

// RegisterVendor adds the vendor to those of the product: the one line of wiring.
func RegisterVendor(vendors pipeline.Vendors) pipeline.Vendors {
	vendors[Name] = pipeline.NewVendor(Default, Specs, New, EventTypes()...)
	return vendors
}
