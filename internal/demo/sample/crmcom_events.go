package sample

import (
	"sluice/internal/event"
)

func newPurchase(gen *Generator) *event.Purchase {
	account, participant := randomOwner(gen)
	ev := &event.Purchase{
		EventId: new(gen.randomGUID()), AccountsReceivableIdentifier: account,
		RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier:    randomUnit(gen), PerformedOn: gen.NextTime(),
		Description:     maybeOneIn(gen, 3, pickOne(gen, notes)),
		ReferenceNumber: gen.UniqueString("INV-"), ExternalSystem: maybeOneIn(gen, 2, "pos"),
		UdfString1: maybeOneIn(gen, 4, "loyalty"), UdfFloat1: maybeOneIn(gen, 5, float64(gen.random.IntN(400))/4),
		PaymentMediumIdentifier: maybeOneIn(gen, 4, "card-on-file"),
		ProductsSet:             make([]event.PurchaseProduct, 1+gen.random.IntN(5)),
	}
	ev.PaymentMediumTypeIdentifier, ev.PaymentMediumBrandIdentifier = randomPaymentMedium(gen)
	if gen.oneIn(5) {
		ev.ClassificationIdentifier = new(randomClassification(gen))
	}
	if gen.oneIn(8) {
		ev.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: new(currency)}
	}
	if gen.oneIn(3) {
		ev.InvoiceIdentifier = &event.InvoiceIdentifier{Number: new(gen.UniqueString("F-"))}
	}
	for i := range ev.ProductsSet {
		quantity, price := 1+gen.random.Int64N(4), gen.randomCents(95, 12_500)
		net := quantity * price
		vat := net * 19 / 100
		ev.ProductsSet[i] = event.PurchaseProduct{ProductIdentifier: randomProduct(gen),
			NetAmount: amountOfCents(net), VatAmount: amountOfCents(vat), TotalAmount: amountOfCents(net + vat)}
		if quantity > 1 {
			ev.ProductsSet[i].Quantity = new(amountOfCents(quantity * 100))
		}
	}
	return ev
}

// newReferral refers a new participant each time, because the vendor accepts one referral for each.
func newReferral(gen *Generator) *event.Referral {
	return &event.Referral{
		EventId: new(gen.randomGUID()), PerformedByUnitIdentifier: randomUnit(gen), PerformedOn: gen.NextTime(),
		Description:                            maybeOneIn(gen, 3, "Invited a friend"),
		ReferredRewardsParticipantIdentifier:   event.ParticipantIdentifier{Number: new(gen.UniqueString("RP-NEW-"))},
		ReferredByRewardsParticipantIdentifier: event.ParticipantIdentifier{Number: &gen.randomCustomer().participant},
	}
}

func newAchievement(gen *Generator) *event.Achievement {
	account, participant := randomOwner(gen)
	return &event.Achievement{
		EventId: new(gen.randomGUID()), AccountsReceivableIdentifier: account,
		RewardsParticipantIdentifier: participant,
		ClassificationIdentifier:     randomClassification(gen), PerformedByUnitIdentifier: randomUnit(gen),
		PerformedOn: gen.NextTime(), UdfDate1: maybeOneIn(gen, 4, firstSampleTime),
	}
}

func newSocialMediaAction(gen *Generator) *event.SocialMediaAction {
	account, participant := randomOwner(gen)
	return &event.SocialMediaAction{
		EventId: new(gen.randomGUID()), AccountsReceivableIdentifier: account,
		RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier:    randomUnit(gen), PerformedOn: gen.NextTime(), SocialMedia: "FACEBOOK",
		Profile: gen.UniqueString("profile-"), Action: "LIKE",
	}
}

func newWebVisit(gen *Generator) *event.WebVisit {
	account, participant := randomOwner(gen)
	return &event.WebVisit{
		EventId: new(gen.randomGUID()), AccountsReceivableIdentifier: account,
		RewardsParticipantIdentifier: participant,
		PerformedByUnitIdentifier:    randomUnit(gen), PerformedOn: gen.NextTime(), Website: pickOne(gen, pages),
	}
}

func newFinancialAchievement(gen *Generator) *event.FinancialAchievement {
	account, participant := randomOwner(gen)
	ev := &event.FinancialAchievement{
		EventId: new(gen.randomGUID()), AccountsReceivableIdentifier: account,
		RewardsParticipantIdentifier: participant,
		ClassificationIdentifier:     randomClassification(gen), PerformedByUnitIdentifier: randomUnit(gen),
		PerformedOn: gen.NextTime(), Amount: maybeOneIn(gen, 2, amountOfCents(gen.randomCents(100, 50_000))),
	}
	ev.PaymentMediumTypeIdentifier, ev.PaymentMediumBrandIdentifier = randomPaymentMedium(gen)
	if gen.oneIn(2) {
		ev.ProductIdentifier = new(randomProduct(gen))
	}
	return ev
}

func newFinancialStatement(gen *Generator) *event.FinancialStatement {
	account, participant := randomOwner(gen)
	ev := &event.FinancialStatement{
		EventId: new(gen.randomGUID()), AccountsReceivableIdentifier: account,
		RewardsParticipantIdentifier: participant,
		ClassificationIdentifier:     randomClassification(gen), PerformedByUnitIdentifier: randomUnit(gen),
		PerformedOn: gen.NextTime(),
	}
	for range gen.random.IntN(4) {
		m := event.MeasuredKeyPerformanceIndicator{
			KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{AlternativeCode: new(pickOne(gen, measures))},
			Value:                             amountOfCents(gen.randomCents(-10_000, 900_000)),
		}
		if gen.oneIn(3) {
			m.ProductIdentifier = new(randomProduct(gen))
		}
		ev.MeasuredKeyPerformanceIndicatorsSet = append(ev.MeasuredKeyPerformanceIndicatorsSet, m)
	}
	return ev
}
