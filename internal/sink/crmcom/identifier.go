package crmcom

import "sluice/internal/event"

// key is one of the keys by which an identifier may name its object.
type key struct {
	name  string
	value *string
}

// identifier writes an object with its one key. The vendor's sibling pages say of semi-optional parameters that one is mandatory and only one is
// allowed (V4 purchase customer events, restrictions).
func (w *writer) identifier(name string, keys ...key) {
	w.key(name)
	w.identifierValue(name, keys...)
}

func (w *writer) identifierValue(name string, keys ...key) {
	set := 0
	w.buf = append(w.buf, '{')
	for _, k := range keys {
		if k.value == nil {
			continue
		}
		set++
		if *k.value == "" {
			w.fault(name+"."+k.name, "must not be empty")
		}
		w.text(k.name, *k.value)
	}
	w.buf = append(w.buf, '}')
	if set != 1 {
		w.fault(name, "exactly one of "+names(keys)+" is mandatory")
	}
}

func names(keys []key) string {
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

// customer writes the semi-optional pair that says whose event it is.
func (w *writer) customer(account *event.AccountIdentifier, participant *event.ParticipantIdentifier) {
	switch {
	case w.release >= r17 && account == nil:
		w.fault(accountMember, "is mandatory from release "+r17.String()+" on")
	case (account == nil) == (participant == nil):
		w.fault(accountMember, "exactly one of "+accountMember+", "+participantMember+" is mandatory")
	}
	if account != nil {
		w.identifier(accountMember, key{"id", account.Id}, key{"number", account.Number}, key{"name", account.Name})
	}
	if participant != nil {
		w.until(r17, participantMember)
		w.participant(participantMember, *participant)
	}
}

func (w *writer) participant(name string, p event.ParticipantIdentifier) {
	w.identifier(name, key{"id", p.Id}, key{"number", p.Number})
}

func (w *writer) classification(c event.ClassificationIdentifier) {
	w.identifier("classification_identifier", key{"id", c.Id}, key{"name", c.Name}, key{"alternative_code", c.AlternativeCode})
}

func (w *writer) optionalClassification(c *event.ClassificationIdentifier) {
	if c != nil {
		w.classification(*c)
	}
}

func (w *writer) unit(u event.UnitIdentifier) {
	const field = "performed_by_unit_identifier" // of the event, which faults name in every release
	name := field
	if w.release >= r18 {
		name = "performed_by_business_unit_identifier"
	}
	w.key(name)
	w.identifierValue(field, key{"id", u.Id}, key{"name", u.Name}, key{"alternative_code", u.AlternativeCode})
}

func (w *writer) product(p event.ProductIdentifier) {
	w.identifier("product_identifier", key{"id", p.Id}, key{"code", p.Code}, key{"alternative_code", p.AlternativeCode})
}

func (w *writer) optionalProduct(p *event.ProductIdentifier) {
	if p != nil {
		w.product(*p)
	}
}

func (w *writer) paymentMedium(brand *event.PaymentMediumBrandIdentifier, kind *event.PaymentMediumTypeIdentifier, id *string) {
	if brand != nil {
		w.identifier("payment_medium_brand_identifier", key{"id", brand.Id}, key{"name", brand.Name}, key{"alternative_code", brand.AlternativeCode})
	}
	if kind != nil {
		w.identifier("payment_medium_type_identifier", key{"id", kind.Id}, key{"name", kind.Name}, key{"alternative_code", kind.AlternativeCode})
	}
	w.optionalText("payment_medium_identifier", id)
}
