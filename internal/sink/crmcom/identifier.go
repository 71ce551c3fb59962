package crmcom

import (
	"sluice/internal/event"
	"sluice/internal/sink/jsonwriter"
)

// key is one of the keys by which an identifier may refer to its object.
type key struct {
	name  string
	value *string
}

// writeIdentifier writes a member that is an object with exactly one key. According to related
// pages of the vendor, exactly one of several semi-optional parameters must be given (V4 purchase
// customer events, restrictions).
func (e *encoder) writeIdentifier(name string, keys ...key) {
	e.Key(name)
	writeKeys(&e.Writer, name, keys...)
}

// writeKeys writes the object of an identifier. field is the name of the event's field, for
// violations.
func writeKeys(writer *jsonwriter.Writer, field string, keys ...key) {
	given := 0
	writer.BeginObject(field)
	for _, k := range keys {
		if k.value == nil {
			continue
		}
		given++
		if *k.value == "" {
			writer.AddViolation(k.name, "must not be empty")
		}
		writer.Text(k.name, *k.value)
	}
	writer.EndObject()
	if given != 1 {
		writer.AddViolation(field, "exactly one of "+joinKeyNames(keys)+" is mandatory")
	}
}

func joinKeyNames(keys []key) string {
	list := keys[0].name
	for _, k := range keys[1:] {
		list += ", " + k.name
	}
	return list
}

const (
	accountMember     = "accounts_receivable_identifier"
	participantMember = "rewards_participant_identifier"
)

// writeCustomer writes the semi-optional pair of members that identifies the customer.
func (e *encoder) writeCustomer(account *event.AccountIdentifier, participant *event.ParticipantIdentifier) {
	switch {
	case e.release >= r17 && account == nil:
		e.AddViolation(accountMember, "is mandatory as of release "+r17.String())
	case (account == nil) == (participant == nil):
		e.AddViolation(accountMember, "exactly one of "+accountMember+", "+participantMember+" is mandatory")
	}
	if account != nil {
		e.writeIdentifier(accountMember, key{"id", account.Id}, key{"number", account.Number},
			key{"name", account.Name})
	}
	if participant != nil {
		e.refuseSince(r17, participantMember)
		e.writeParticipant(participantMember, *participant)
	}
}

func (e *encoder) writeParticipant(name string, participant event.ParticipantIdentifier) {
	e.writeIdentifier(name, key{"id", participant.Id}, key{"number", participant.Number})
}

func (e *encoder) writeClassification(classification event.ClassificationIdentifier) {
	e.writeIdentifier("classification_identifier",
		key{"id", classification.Id}, key{"name", classification.Name},
		key{"alternative_code", classification.AlternativeCode})
}

func (e *encoder) writeOptionalClassification(classification *event.ClassificationIdentifier) {
	if classification != nil {
		e.writeClassification(*classification)
	}
}

// writeUnit writes the unit, whose member was renamed in R18. Violations refer to the event's field
// in every release.
func (e *encoder) writeUnit(unit event.UnitIdentifier) {
	const field = "performed_by_unit_identifier"
	name := field
	if e.release >= r18 {
		name = "performed_by_business_unit_identifier"
	}
	e.Key(name)
	writeKeys(&e.Writer, field, key{"id", unit.Id}, key{"name", unit.Name},
		key{"alternative_code", unit.AlternativeCode})
}

func (e *encoder) writeProduct(product event.ProductIdentifier) {
	e.writeIdentifier("product_identifier", key{"id", product.Id}, key{"code", product.Code},
		key{"alternative_code", product.AlternativeCode})
}

func (e *encoder) writeOptionalProduct(product *event.ProductIdentifier) {
	if product != nil {
		e.writeProduct(*product)
	}
}

func (e *encoder) writePaymentMedium(
	brand *event.PaymentMediumBrandIdentifier, kind *event.PaymentMediumTypeIdentifier, id *string,
) {
	if brand != nil {
		e.writeIdentifier("payment_medium_brand_identifier",
			key{"id", brand.Id}, key{"name", brand.Name}, key{"alternative_code", brand.AlternativeCode})
	}
	if kind != nil {
		e.writeIdentifier("payment_medium_type_identifier",
			key{"id", kind.Id}, key{"name", kind.Name}, key{"alternative_code", kind.AlternativeCode})
	}
	e.OptionalText("payment_medium_identifier", id)
}
