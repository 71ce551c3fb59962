package sample

import (
	"fmt"

	"sluice/internal/event"
)

// What a sandbox that Sandbox configures is told by.
const (
	// refusedPrefix begins the reference number, address or sourceId of events that are refused.
	refusedPrefix = "refused-"
	// absentPrefix begins the number of accounts and participants that do not exist.
	absentPrefix = "ABSENT-"
	// referredBefore is a participant who was referred before the first sample.
	referredBefore = "RP-REFERRED"
	// currency is the currency of all amounts.
	currency = "EUR"
)

var (
	units    = []string{"ADMIN", "SHOP-AMS-01", "SHOP-NIC-02", "WEBSHOP"}
	products = []string{"ESPRESSO-250", "FILTER-500", "MUG-BLUE", "GRINDER-M1", "BEANS-1KG", "GIFT-CARD-25"}
	notes    = []string{"Click & collect", "Bought at the counter", "Παραγγελία από το διαδίκτυο", "\"Two for one\" action", "Livraison à domicile"}
	awards   = []string{"FIRST-ORDER", "BIRTHDAY", "PROFILE-COMPLETE", "TEN-VISITS"}
	pages    = []string{"https://shop.example.com/", "https://shop.example.com/coffee?grind=fine", "https://blog.example.com/roasting"}
	measures = []string{"REVENUE", "VISITS", "BASKET-SIZE", "RETURNS"}
)

// owned gives the account or the participant that an event belongs to, one of the two.
func (g *Generator) owned() (*event.AccountIdentifier, *event.ParticipantIdentifier) {
	c := g.customer()
	if g.chance(3) {
		return nil, &event.ParticipantIdentifier{Number: &c.participant}
	}
	return &event.AccountIdentifier{Number: &c.account}, nil
}

func (g *Generator) absent() (*event.AccountIdentifier, *event.ParticipantIdentifier) {
	return &event.AccountIdentifier{Number: new(g.word(absentPrefix))}, nil
}

func (g *Generator) refused() *string { return new(g.word(refusedPrefix)) }

func owner(account *event.AccountIdentifier, participant *event.ParticipantIdentifier) string {
	switch {
	case account != nil:
		return first(account.Number, account.Id, account.Name)
	case participant != nil:
		return first(participant.Number, participant.Id)
	}
	return ""
}

// first is the first text that is there.
func first(texts ...*string) string {
	for _, t := range texts {
		if t != nil {
			return *t
		}
	}
	return ""
}

func (g *Generator) unit() event.UnitIdentifier {
	switch g.rng.IntN(6) {
	case 0:
		return event.UnitIdentifier{Name: new("Main branch")}
	case 1:
		return event.UnitIdentifier{Id: new(g.id())}
	default:
		return event.UnitIdentifier{AlternativeCode: new(pick(g, units))}
	}
}

// id is one as the vendor gives them: 32 hexadecimal digits.
func (g *Generator) id() string { return fmt.Sprintf("%016X%016X", g.rng.Uint64(), g.rng.Uint64()) }

func (g *Generator) classification() event.ClassificationIdentifier {
	if g.chance(4) {
		return event.ClassificationIdentifier{Name: new("First order of the year")}
	}
	return event.ClassificationIdentifier{AlternativeCode: new(pick(g, awards))}
}

func (g *Generator) product() event.ProductIdentifier {
	if g.chance(6) {
		return event.ProductIdentifier{AlternativeCode: new("EAN-" + g.digits(13))}
	}
	return event.ProductIdentifier{Code: new(pick(g, products))}
}

func (g *Generator) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + g.rng.IntN(10))
	}
	return string(b)
}

// paidWith are the medium's type and brand.
func (g *Generator) paidWith() (*event.PaymentMediumTypeIdentifier, *event.PaymentMediumBrandIdentifier) {
	switch g.rng.IntN(4) {
	case 0:
		return &event.PaymentMediumTypeIdentifier{Name: new("Debit card")}, &event.PaymentMediumBrandIdentifier{AlternativeCode: new("MAESTRO")}
	case 1:
		return &event.PaymentMediumTypeIdentifier{AlternativeCode: new("CREDIT")}, nil
	default:
		return nil, nil
	}
}

func (g *Generator) purchase() *event.Purchase {
	account, participant := g.owned()
	e := &event.Purchase{
		EventId: new(g.guid()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier: g.unit(), PerformedOn: g.at(), Description: maybe(g, 3, pick(g, notes)),
		ReferenceNumber: g.word("INV-"), ExternalSystem: maybe(g, 2, "pos"), UdfString1: maybe(g, 4, "loyalty"), UdfFloat1: maybe(g, 5, float64(g.rng.IntN(400))/4),
		PaymentMediumIdentifier: maybe(g, 4, "card-on-file"), ProductsSet: make([]event.PurchaseProduct, 1+g.rng.IntN(5)),
	}
	e.PaymentMediumTypeIdentifier, e.PaymentMediumBrandIdentifier = g.paidWith()
	if g.chance(5) {
		e.ClassificationIdentifier = new(g.classification())
	}
	if g.chance(8) {
		e.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: new(currency)}
	}
	if g.chance(3) {
		e.InvoiceIdentifier = &event.InvoiceIdentifier{Number: new(g.word("F-"))}
	}
	for i := range e.ProductsSet {
		quantity, price := 1+g.rng.Int64N(4), g.cents(95, 12_500)
		net := quantity * price
		vat := net * 19 / 100
		e.ProductsSet[i] = event.PurchaseProduct{ProductIdentifier: g.product(), NetAmount: money(net), VatAmount: money(vat), TotalAmount: money(net + vat)}
		if quantity > 1 {
			e.ProductsSet[i].Quantity = new(money(quantity * 100))
		}
	}
	return e
}

// referral refers a new participant each time: a vendor takes one referral for each.
func (g *Generator) referral() *event.Referral {
	return &event.Referral{
		EventId: new(g.guid()), PerformedByUnitIdentifier: g.unit(), PerformedOn: g.at(), Description: maybe(g, 3, "Invited a friend"),
		ReferredRewardsParticipantIdentifier:   event.ParticipantIdentifier{Number: new(g.word("RP-NEW-"))},
		ReferredByRewardsParticipantIdentifier: event.ParticipantIdentifier{Number: &g.customer().participant},
	}
}

func (g *Generator) achievement() *event.Achievement {
	account, participant := g.owned()
	return &event.Achievement{
		EventId: new(g.guid()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		ClassificationIdentifier: g.classification(), PerformedByUnitIdentifier: g.unit(), PerformedOn: g.at(), UdfDate1: maybe(g, 4, started),
	}
}

func (g *Generator) socialMediaAction() *event.SocialMediaAction {
	account, participant := g.owned()
	return &event.SocialMediaAction{
		EventId: new(g.guid()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier: g.unit(), PerformedOn: g.at(), SocialMedia: "FACEBOOK", Profile: g.word("profile-"), Action: "LIKE",
	}
}

func (g *Generator) webVisit() *event.WebVisit {
	account, participant := g.owned()
	return &event.WebVisit{
		EventId: new(g.guid()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier: g.unit(), PerformedOn: g.at(), Website: pick(g, pages),
	}
}

func (g *Generator) financialAchievement() *event.FinancialAchievement {
	account, participant := g.owned()
	e := &event.FinancialAchievement{
		EventId: new(g.guid()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		ClassificationIdentifier: g.classification(), PerformedByUnitIdentifier: g.unit(), PerformedOn: g.at(), Amount: maybe(g, 2, money(g.cents(100, 50_000))),
	}
	e.PaymentMediumTypeIdentifier, e.PaymentMediumBrandIdentifier = g.paidWith()
	if g.chance(2) {
		e.ProductIdentifier = new(g.product())
	}
	return e
}

func (g *Generator) financialStatement() *event.FinancialStatement {
	account, participant := g.owned()
	e := &event.FinancialStatement{
		EventId: new(g.guid()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		ClassificationIdentifier: g.classification(), PerformedByUnitIdentifier: g.unit(), PerformedOn: g.at(),
	}
	for range g.rng.IntN(4) {
		m := event.MeasuredKeyPerformanceIndicator{
			KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{AlternativeCode: new(pick(g, measures))},
			Value:                             money(g.cents(-10_000, 900_000)),
		}
		if g.chance(3) {
			m.ProductIdentifier = new(g.product())
		}
		e.MeasuredKeyPerformanceIndicatorsSet = append(e.MeasuredKeyPerformanceIndicatorsSet, m)
	}
	return e
}
