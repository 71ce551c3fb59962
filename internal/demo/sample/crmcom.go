package sample

import (
	"fmt"
	"strings"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// The values by which the sandbox recognizes the samples that it must refuse.
const (
	// rejectedPrefix is the prefix of the reference number, address or sourceId of rejected events.
	rejectedPrefix = "refused-"
	// missingPrefix is the prefix of the numbers of accounts and participants that do not exist.
	missingPrefix = "ABSENT-"
	// referredParticipant is a participant who had been referred before the first sample.
	referredParticipant = "RP-REFERRED"
	// currency is the currency of all amounts.
	currency = "EUR"
)

// crmcomVendor returns the samplers for CRM.COM.
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
			When: sandbox.When{Items: sandbox.Items{Field: "external_system_reference_number",
				Prefix: rejectedPrefix}},
			Do: sandbox.Action{
				Fault: sandbox.FaultRefuseItem, ErrorCode: "InvalidAPIParameterException",
				Description: "The event is not allowed.",
			},
		}},
		Samplers: crmcomSamplers,
	}
}

var crmcomSamplers = map[string]Sampler{
	"sluice.crmcom.Purchase": NewSampler(newPurchase,
		func(ev *event.Purchase) string {
			return ownerKey(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
		},
		Mutations[event.Purchase]{
			Invalid: func(_ *Generator, ev *event.Purchase) { ev.ProductsSet = nil },
			Rejected: func(gen *Generator, ev *event.Purchase) {
				ev.EventId, ev.ExternalSystemReferenceNumber = refusedReference(gen), nil
			},
			Retryable: func(gen *Generator, ev *event.Purchase) {
				ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier = missingAccount(gen)
			},
		}),
	"sluice.crmcom.Referral": NewSampler(newReferral,
		func(ev *event.Referral) string {
			return firstPresent(ev.ReferredRewardsParticipantIdentifier.Number,
				ev.ReferredRewardsParticipantIdentifier.Id)
		},
		Mutations[event.Referral]{
			Invalid: func(_ *Generator, ev *event.Referral) {
				ev.ReferredByRewardsParticipantIdentifier = event.ParticipantIdentifier{}
			},
			Rejected: func(_ *Generator, ev *event.Referral) {
				ev.ReferredRewardsParticipantIdentifier = event.ParticipantIdentifier{Number: new(referredParticipant)}
			},
			Retryable: func(gen *Generator, ev *event.Referral) {
				account, _ := missingAccount(gen)
				ev.ReferredByRewardsParticipantIdentifier = event.ParticipantIdentifier{Number: account.Number}
			},
		}),
	"sluice.crmcom.Achievement": NewSampler(newAchievement,
		func(ev *event.Achievement) string {
			return ownerKey(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
		},
		Mutations[event.Achievement]{
			Invalid: func(_ *Generator, ev *event.Achievement) {
				ev.ClassificationIdentifier = event.ClassificationIdentifier{}
			},
			Rejected: func(gen *Generator, ev *event.Achievement) {
				ev.EventId, ev.ExternalSystemReferenceNumber = refusedReference(gen), nil
			},
			Retryable: func(gen *Generator, ev *event.Achievement) {
				ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier = missingAccount(gen)
			},
		}),
	"sluice.crmcom.SocialMediaAction": NewSampler(newSocialMediaAction,
		func(ev *event.SocialMediaAction) string {
			return ownerKey(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
		},
		Mutations[event.SocialMediaAction]{
			Invalid: func(_ *Generator, ev *event.SocialMediaAction) { ev.Action = "SHARE" },
			Rejected: func(gen *Generator, ev *event.SocialMediaAction) {
				ev.EventId, ev.ExternalSystemReferenceNumber = refusedReference(gen), nil
			},
			Retryable: func(gen *Generator, ev *event.SocialMediaAction) {
				ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier = missingAccount(gen)
			},
		}),
	"sluice.crmcom.WebVisit": NewSampler(newWebVisit,
		func(ev *event.WebVisit) string {
			return ownerKey(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
		},
		Mutations[event.WebVisit]{
			Invalid: func(_ *Generator, ev *event.WebVisit) { ev.Website = "" },
			Rejected: func(gen *Generator, ev *event.WebVisit) {
				ev.EventId, ev.ExternalSystemReferenceNumber = refusedReference(gen), nil
			},
			Retryable: func(gen *Generator, ev *event.WebVisit) {
				ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier = missingAccount(gen)
			},
		}),
	"sluice.crmcom.FinancialAchievement": NewSampler(newFinancialAchievement,
		func(ev *event.FinancialAchievement) string {
			return ownerKey(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
		},
		Mutations[event.FinancialAchievement]{
			Invalid: func(gen *Generator, ev *event.FinancialAchievement) {
				c := gen.randomCustomer()
				ev.AccountsReceivableIdentifier = &event.AccountIdentifier{Number: &c.account}
				ev.RewardsParticipantIdentifier = &event.ParticipantIdentifier{Number: &c.participant}
			},
			Rejected: func(gen *Generator, ev *event.FinancialAchievement) {
				ev.EventId, ev.ExternalSystemReferenceNumber = refusedReference(gen), nil
			},
			Retryable: func(gen *Generator, ev *event.FinancialAchievement) {
				ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier = missingAccount(gen)
			},
		}),
	"sluice.crmcom.FinancialStatement": NewSampler(newFinancialStatement,
		func(ev *event.FinancialStatement) string {
			return ownerKey(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
		},
		Mutations[event.FinancialStatement]{
			Invalid: func(_ *Generator, ev *event.FinancialStatement) {
				ev.PerformedByUnitIdentifier = event.UnitIdentifier{}
			},
			Rejected: func(gen *Generator, ev *event.FinancialStatement) {
				ev.EventId, ev.ExternalSystemReferenceNumber = refusedReference(gen), nil
			},
			Retryable: func(gen *Generator, ev *event.FinancialStatement) {
				ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier = missingAccount(gen)
			},
		}),
}

var (
	units    = []string{"ADMIN", "SHOP-AMS-01", "SHOP-NIC-02", "WEBSHOP"}
	products = []string{"ESPRESSO-250", "FILTER-500", "MUG-BLUE", "GRINDER-M1", "BEANS-1KG", "GIFT-CARD-25"}
	notes    = []string{"Click & collect", "Bought at the counter", "Παραγγελία από το διαδίκτυο",
		"\"Two for one\" action", "Livraison à domicile"}
	awards = []string{"FIRST-ORDER", "BIRTHDAY", "PROFILE-COMPLETE", "TEN-VISITS"}
	pages  = []string{"https://shop.example.com/", "https://shop.example.com/coffee?grind=fine",
		"https://blog.example.com/roasting"}
	measures = []string{"REVENUE", "VISITS", "BASKET-SIZE", "RETURNS"}
)

// randomOwner returns the account or the participant that an event belongs to, and nil for the
// other.
func randomOwner(gen *Generator) (*event.AccountIdentifier, *event.ParticipantIdentifier) {
	c := gen.randomCustomer()
	if gen.oneIn(3) {
		return nil, &event.ParticipantIdentifier{Number: &c.participant}
	}
	return &event.AccountIdentifier{Number: &c.account}, nil
}

func missingAccount(gen *Generator) (*event.AccountIdentifier, *event.ParticipantIdentifier) {
	return &event.AccountIdentifier{Number: new(gen.UniqueString(missingPrefix))}, nil
}

func refusedReference(gen *Generator) *string { return new(gen.UniqueString(rejectedPrefix)) }

func ownerKey(account *event.AccountIdentifier, participant *event.ParticipantIdentifier) string {
	switch {
	case account != nil:
		return firstPresent(account.Number, account.Id, account.Name)
	case participant != nil:
		return firstPresent(participant.Number, participant.Id)
	}
	return ""
}

// firstPresent returns the first value that is not nil, or "" if there is none.
func firstPresent(values ...*string) string {
	for _, value := range values {
		if value != nil {
			return *value
		}
	}
	return ""
}

func randomUnit(gen *Generator) event.UnitIdentifier {
	switch gen.random.IntN(6) {
	case 0:
		return event.UnitIdentifier{Name: new("Main branch")}
	case 1:
		return event.UnitIdentifier{Id: new(randomID(gen))}
	default:
		return event.UnitIdentifier{AlternativeCode: new(pickOne(gen, units))}
	}
}

// randomID returns an ID in CRM.COM's format: 32 hexadecimal digits.
func randomID(gen *Generator) string {
	return fmt.Sprintf("%016X%016X", gen.random.Uint64(), gen.random.Uint64())
}

func randomClassification(gen *Generator) event.ClassificationIdentifier {
	if gen.oneIn(4) {
		return event.ClassificationIdentifier{Name: new("First order of the year")}
	}
	return event.ClassificationIdentifier{AlternativeCode: new(pickOne(gen, awards))}
}

func randomProduct(gen *Generator) event.ProductIdentifier {
	if gen.oneIn(6) {
		return event.ProductIdentifier{AlternativeCode: new("EAN-" + randomDigits(gen, 13))}
	}
	return event.ProductIdentifier{Code: new(pickOne(gen, products))}
}

func randomDigits(gen *Generator, count int) string {
	digits := make([]byte, count)
	for i := range digits {
		digits[i] = byte('0' + gen.random.IntN(10))
	}
	return string(digits)
}

// randomPaymentMedium returns the type and the brand of a payment medium, either of which may be
// nil.
func randomPaymentMedium(gen *Generator) (*event.PaymentMediumTypeIdentifier, *event.PaymentMediumBrandIdentifier) {
	switch gen.random.IntN(4) {
	case 0:
		return &event.PaymentMediumTypeIdentifier{Name: new("Debit card")},
			&event.PaymentMediumBrandIdentifier{AlternativeCode: new("MAESTRO")}
	case 1:
		return &event.PaymentMediumTypeIdentifier{AlternativeCode: new("CREDIT")}, nil
	default:
		return nil, nil
	}
}
