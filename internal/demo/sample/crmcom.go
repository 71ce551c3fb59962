package sample

import (
	"fmt"
	"strings"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// The values by which the sandbox recognizes samples that it has to refuse.
const (
	// rejectedPrefix begins the reference number, address or sourceId of events that are rejected.
	rejectedPrefix = "refused-"
	// missingPrefix begins the number of accounts and participants that do not exist.
	missingPrefix = "ABSENT-"
	// referredParticipant is a participant who was referred before the first sample.
	referredParticipant = "RP-REFERRED"
	// currency is the currency of all amounts.
	currency = "EUR"
)

// crmcomVendor has the samples for CRM.COM.
func crmcomVendor() Vendor {
	return Vendor{
		Name: sandbox.CRMCOM,
		ConfigureSandbox: func(opts *sandbox.Options) {
			opts.CRMCOM = sandbox.CRMCOMOptions{
				Currency: currency, Referred: []string{referredParticipant},
				AccountExists: func(identifier string) bool { return !strings.HasPrefix(identifier, missingPrefix) },
			}
		},
		Rules: []sandbox.Rule{{
			Name: "sample-refused", Operation: "crmcom",
			When: sandbox.When{Items: sandbox.Items{Field: "external_system_reference_number", Prefix: rejectedPrefix}},
			Do: sandbox.Action{
				Fault: sandbox.FaultRefuseItem, ErrorCode: "InvalidAPIParameterException", Description: "The event is not allowed.",
			},
		}},
		Samplers: crmcomSamplers,
	}
}

var crmcomSamplers = map[string]Sampler{
	"sluice.crmcom.Purchase": NewSampler((*Generator).newPurchase,
		func(e *event.Purchase) string {
			return ownerKey(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		Spoilers[event.Purchase]{
			Invalid: func(_ *Generator, e *event.Purchase) { e.ProductsSet = nil },
			Rejected: func(g *Generator, e *event.Purchase) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refusedReference(), nil
			},
			Retryable: func(g *Generator, e *event.Purchase) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.missingAccount()
			},
		}),
	"sluice.crmcom.Referral": NewSampler((*Generator).newReferral,
		func(e *event.Referral) string {
			return firstPresent(e.ReferredRewardsParticipantIdentifier.Number, e.ReferredRewardsParticipantIdentifier.Id)
		},
		Spoilers[event.Referral]{
			Invalid: func(_ *Generator, e *event.Referral) {
				e.ReferredByRewardsParticipantIdentifier = event.ParticipantIdentifier{}
			},
			Rejected: func(_ *Generator, e *event.Referral) {
				e.ReferredRewardsParticipantIdentifier = event.ParticipantIdentifier{Number: new(referredParticipant)}
			},
			Retryable: func(g *Generator, e *event.Referral) {
				account, _ := g.missingAccount()
				e.ReferredByRewardsParticipantIdentifier = event.ParticipantIdentifier{Number: account.Number}
			},
		}),
	"sluice.crmcom.Achievement": NewSampler((*Generator).newAchievement,
		func(e *event.Achievement) string {
			return ownerKey(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		Spoilers[event.Achievement]{
			Invalid: func(_ *Generator, e *event.Achievement) {
				e.ClassificationIdentifier = event.ClassificationIdentifier{}
			},
			Rejected: func(g *Generator, e *event.Achievement) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refusedReference(), nil
			},
			Retryable: func(g *Generator, e *event.Achievement) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.missingAccount()
			},
		}),
	"sluice.crmcom.SocialMediaAction": NewSampler((*Generator).newSocialMediaAction,
		func(e *event.SocialMediaAction) string {
			return ownerKey(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		Spoilers[event.SocialMediaAction]{
			Invalid: func(_ *Generator, e *event.SocialMediaAction) { e.Action = "SHARE" },
			Rejected: func(g *Generator, e *event.SocialMediaAction) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refusedReference(), nil
			},
			Retryable: func(g *Generator, e *event.SocialMediaAction) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.missingAccount()
			},
		}),
	"sluice.crmcom.WebVisit": NewSampler((*Generator).newWebVisit,
		func(e *event.WebVisit) string {
			return ownerKey(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		Spoilers[event.WebVisit]{
			Invalid: func(_ *Generator, e *event.WebVisit) { e.Website = "" },
			Rejected: func(g *Generator, e *event.WebVisit) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refusedReference(), nil
			},
			Retryable: func(g *Generator, e *event.WebVisit) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.missingAccount()
			},
		}),
	"sluice.crmcom.FinancialAchievement": NewSampler((*Generator).newFinancialAchievement,
		func(e *event.FinancialAchievement) string {
			return ownerKey(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		Spoilers[event.FinancialAchievement]{
			Invalid: func(g *Generator, e *event.FinancialAchievement) {
				c := g.randomCustomer()
				e.AccountsReceivableIdentifier = &event.AccountIdentifier{Number: &c.account}
				e.RewardsParticipantIdentifier = &event.ParticipantIdentifier{Number: &c.participant}
			},
			Rejected: func(g *Generator, e *event.FinancialAchievement) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refusedReference(), nil
			},
			Retryable: func(g *Generator, e *event.FinancialAchievement) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.missingAccount()
			},
		}),
	"sluice.crmcom.FinancialStatement": NewSampler((*Generator).newFinancialStatement,
		func(e *event.FinancialStatement) string {
			return ownerKey(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		Spoilers[event.FinancialStatement]{
			Invalid: func(_ *Generator, e *event.FinancialStatement) { e.PerformedByUnitIdentifier = event.UnitIdentifier{} },
			Rejected: func(g *Generator, e *event.FinancialStatement) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refusedReference(), nil
			},
			Retryable: func(g *Generator, e *event.FinancialStatement) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.missingAccount()
			},
		}),
}

var (
	units    = []string{"ADMIN", "SHOP-AMS-01", "SHOP-NIC-02", "WEBSHOP"}
	products = []string{"ESPRESSO-250", "FILTER-500", "MUG-BLUE", "GRINDER-M1", "BEANS-1KG", "GIFT-CARD-25"}
	notes    = []string{"Click & collect", "Bought at the counter", "Παραγγελία από το διαδίκτυο", "\"Two for one\" action", "Livraison à domicile"}
	awards   = []string{"FIRST-ORDER", "BIRTHDAY", "PROFILE-COMPLETE", "TEN-VISITS"}
	pages    = []string{"https://shop.example.com/", "https://shop.example.com/coffee?grind=fine", "https://blog.example.com/roasting"}
	measures = []string{"REVENUE", "VISITS", "BASKET-SIZE", "RETURNS"}
)

// randomOwner gives the account or the participant that an event belongs to, one of the two.
func (g *Generator) randomOwner() (*event.AccountIdentifier, *event.ParticipantIdentifier) {
	c := g.randomCustomer()
	if g.oneIn(3) {
		return nil, &event.ParticipantIdentifier{Number: &c.participant}
	}
	return &event.AccountIdentifier{Number: &c.account}, nil
}

func (g *Generator) missingAccount() (*event.AccountIdentifier, *event.ParticipantIdentifier) {
	return &event.AccountIdentifier{Number: new(g.UniqueText(missingPrefix))}, nil
}

func (g *Generator) refusedReference() *string { return new(g.UniqueText(rejectedPrefix)) }

func ownerKey(account *event.AccountIdentifier, participant *event.ParticipantIdentifier) string {
	switch {
	case account != nil:
		return firstPresent(account.Number, account.Id, account.Name)
	case participant != nil:
		return firstPresent(participant.Number, participant.Id)
	}
	return ""
}

// firstPresent is the first text that is there.
func firstPresent(texts ...*string) string {
	for _, t := range texts {
		if t != nil {
			return *t
		}
	}
	return ""
}

func (g *Generator) randomUnit() event.UnitIdentifier {
	switch g.random.IntN(6) {
	case 0:
		return event.UnitIdentifier{Name: new("Main branch")}
	case 1:
		return event.UnitIdentifier{Id: new(g.randomID())}
	default:
		return event.UnitIdentifier{AlternativeCode: new(pickOne(g, units))}
	}
}

// randomID is one as the vendor gives them: 32 hexadecimal digits.
func (g *Generator) randomID() string {
	return fmt.Sprintf("%016X%016X", g.random.Uint64(), g.random.Uint64())
}

func (g *Generator) randomClassification() event.ClassificationIdentifier {
	if g.oneIn(4) {
		return event.ClassificationIdentifier{Name: new("First order of the year")}
	}
	return event.ClassificationIdentifier{AlternativeCode: new(pickOne(g, awards))}
}

func (g *Generator) randomProduct() event.ProductIdentifier {
	if g.oneIn(6) {
		return event.ProductIdentifier{AlternativeCode: new("EAN-" + g.randomDigits(13))}
	}
	return event.ProductIdentifier{Code: new(pickOne(g, products))}
}

func (g *Generator) randomDigits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + g.random.IntN(10))
	}
	return string(b)
}

// randomPaymentMedium are the medium's type and brand.
func (g *Generator) randomPaymentMedium() (*event.PaymentMediumTypeIdentifier, *event.PaymentMediumBrandIdentifier) {
	switch g.random.IntN(4) {
	case 0:
		return &event.PaymentMediumTypeIdentifier{Name: new("Debit card")}, &event.PaymentMediumBrandIdentifier{AlternativeCode: new("MAESTRO")}
	case 1:
		return &event.PaymentMediumTypeIdentifier{AlternativeCode: new("CREDIT")}, nil
	default:
		return nil, nil
	}
}

func (g *Generator) newPurchase() *event.Purchase {
	account, participant := g.randomOwner()
	e := &event.Purchase{
		EventId: new(g.randomGUID()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier: g.randomUnit(), PerformedOn: g.NextTime(), Description: maybeOneIn(g, 3, pickOne(g, notes)),
		ReferenceNumber: g.UniqueText("INV-"), ExternalSystem: maybeOneIn(g, 2, "pos"), UdfString1: maybeOneIn(g, 4, "loyalty"), UdfFloat1: maybeOneIn(g, 5, float64(g.random.IntN(400))/4),
		PaymentMediumIdentifier: maybeOneIn(g, 4, "card-on-file"), ProductsSet: make([]event.PurchaseProduct, 1+g.random.IntN(5)),
	}
	e.PaymentMediumTypeIdentifier, e.PaymentMediumBrandIdentifier = g.randomPaymentMedium()
	if g.oneIn(5) {
		e.ClassificationIdentifier = new(g.randomClassification())
	}
	if g.oneIn(8) {
		e.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: new(currency)}
	}
	if g.oneIn(3) {
		e.InvoiceIdentifier = &event.InvoiceIdentifier{Number: new(g.UniqueText("F-"))}
	}
	for i := range e.ProductsSet {
		quantity, price := 1+g.random.Int64N(4), g.randomCents(95, 12_500)
		net := quantity * price
		vat := net * 19 / 100
		e.ProductsSet[i] = event.PurchaseProduct{ProductIdentifier: g.randomProduct(), NetAmount: amountOfCents(net), VatAmount: amountOfCents(vat), TotalAmount: amountOfCents(net + vat)}
		if quantity > 1 {
			e.ProductsSet[i].Quantity = new(amountOfCents(quantity * 100))
		}
	}
	return e
}

// newReferral refers a new participant each time: a vendor takes one referral for each.
func (g *Generator) newReferral() *event.Referral {
	return &event.Referral{
		EventId: new(g.randomGUID()), PerformedByUnitIdentifier: g.randomUnit(), PerformedOn: g.NextTime(), Description: maybeOneIn(g, 3, "Invited a friend"),
		ReferredRewardsParticipantIdentifier:   event.ParticipantIdentifier{Number: new(g.UniqueText("RP-NEW-"))},
		ReferredByRewardsParticipantIdentifier: event.ParticipantIdentifier{Number: &g.randomCustomer().participant},
	}
}

func (g *Generator) newAchievement() *event.Achievement {
	account, participant := g.randomOwner()
	return &event.Achievement{
		EventId: new(g.randomGUID()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		ClassificationIdentifier: g.randomClassification(), PerformedByUnitIdentifier: g.randomUnit(), PerformedOn: g.NextTime(), UdfDate1: maybeOneIn(g, 4, firstSampleTime),
	}
}

func (g *Generator) newSocialMediaAction() *event.SocialMediaAction {
	account, participant := g.randomOwner()
	return &event.SocialMediaAction{
		EventId: new(g.randomGUID()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier: g.randomUnit(), PerformedOn: g.NextTime(), SocialMedia: "FACEBOOK", Profile: g.UniqueText("profile-"), Action: "LIKE",
	}
}

func (g *Generator) newWebVisit() *event.WebVisit {
	account, participant := g.randomOwner()
	return &event.WebVisit{
		EventId: new(g.randomGUID()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier: g.randomUnit(), PerformedOn: g.NextTime(), Website: pickOne(g, pages),
	}
}

func (g *Generator) newFinancialAchievement() *event.FinancialAchievement {
	account, participant := g.randomOwner()
	e := &event.FinancialAchievement{
		EventId: new(g.randomGUID()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		ClassificationIdentifier: g.randomClassification(), PerformedByUnitIdentifier: g.randomUnit(), PerformedOn: g.NextTime(), Amount: maybeOneIn(g, 2, amountOfCents(g.randomCents(100, 50_000))),
	}
	e.PaymentMediumTypeIdentifier, e.PaymentMediumBrandIdentifier = g.randomPaymentMedium()
	if g.oneIn(2) {
		e.ProductIdentifier = new(g.randomProduct())
	}
	return e
}

func (g *Generator) newFinancialStatement() *event.FinancialStatement {
	account, participant := g.randomOwner()
	e := &event.FinancialStatement{
		EventId: new(g.randomGUID()), AccountsReceivableIdentifier: account, RewardsParticipantIdentifier: participant,
		ClassificationIdentifier: g.randomClassification(), PerformedByUnitIdentifier: g.randomUnit(), PerformedOn: g.NextTime(),
	}
	for range g.random.IntN(4) {
		m := event.MeasuredKeyPerformanceIndicator{
			KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{AlternativeCode: new(pickOne(g, measures))},
			Value:                             amountOfCents(g.randomCents(-10_000, 900_000)),
		}
		if g.oneIn(3) {
			m.ProductIdentifier = new(g.randomProduct())
		}
		e.MeasuredKeyPerformanceIndicatorsSet = append(e.MeasuredKeyPerformanceIndicatorsSet, m)
	}
	return e
}
