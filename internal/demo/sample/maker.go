package sample

import "sluice/internal/event"

// maker makes the samples of one event.
type maker struct {
	make func(g *Generator, kind Kind) (evt any, key string)
	// spoils are the kinds that the event itself has to be spoilt for.
	spoils map[Kind]bool
}

// has tells whether there are samples of a kind: what is done to the bytes alone can be done to any.
func (m maker) has(kind Kind) bool {
	switch kind {
	case Invalid, Rejected, Retryable:
		return m.spoils[kind]
	case Valid, Poison, Trailing, Magic, UnknownID, Unmapped, Tombstone:
		return m.make != nil
	default:
		return false
	}
}

// spoil makes a valid event one of a kind.
type spoil[E any] map[Kind]func(g *Generator, e *E)

func makerOf[E any](valid func(*Generator) *E, key func(*E) string, bad spoil[E]) maker {
	m := maker{spoils: map[Kind]bool{}}
	for kind := range bad {
		m.spoils[kind] = true
	}
	m.make = func(g *Generator, kind Kind) (any, string) {
		e := valid(g)
		if change, ok := bad[kind]; ok {
			change(g, e)
		}
		return e, key(e)
	}
	return m
}

// makers are all that there are, by full event name.
var makers = map[string]maker{
	"sluice.crmcom.Purchase": makerOf((*Generator).purchase,
		func(e *event.Purchase) string {
			return owner(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		spoil[event.Purchase]{
			Invalid:  func(_ *Generator, e *event.Purchase) { e.ProductsSet = nil },
			Rejected: func(g *Generator, e *event.Purchase) { e.EventId, e.ExternalSystemReferenceNumber = g.refused(), nil },
			Retryable: func(g *Generator, e *event.Purchase) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.absent()
			},
		}),
	"sluice.crmcom.Referral": makerOf((*Generator).referral,
		func(e *event.Referral) string {
			return first(e.ReferredRewardsParticipantIdentifier.Number, e.ReferredRewardsParticipantIdentifier.Id)
		},
		spoil[event.Referral]{
			Invalid: func(_ *Generator, e *event.Referral) {
				e.ReferredByRewardsParticipantIdentifier = event.ParticipantIdentifier{}
			},
			Rejected: func(_ *Generator, e *event.Referral) {
				e.ReferredRewardsParticipantIdentifier = event.ParticipantIdentifier{Number: new(referredBefore)}
			},
			Retryable: func(g *Generator, e *event.Referral) {
				account, _ := g.absent()
				e.ReferredByRewardsParticipantIdentifier = event.ParticipantIdentifier{Number: account.Number}
			},
		}),
	"sluice.crmcom.Achievement": makerOf((*Generator).achievement,
		func(e *event.Achievement) string {
			return owner(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		spoil[event.Achievement]{
			Invalid: func(_ *Generator, e *event.Achievement) {
				e.ClassificationIdentifier = event.ClassificationIdentifier{}
			},
			Rejected: func(g *Generator, e *event.Achievement) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refused(), nil
			},
			Retryable: func(g *Generator, e *event.Achievement) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.absent()
			},
		}),
	"sluice.crmcom.SocialMediaAction": makerOf((*Generator).socialMediaAction,
		func(e *event.SocialMediaAction) string {
			return owner(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		spoil[event.SocialMediaAction]{
			Invalid: func(_ *Generator, e *event.SocialMediaAction) { e.Action = "SHARE" },
			Rejected: func(g *Generator, e *event.SocialMediaAction) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refused(), nil
			},
			Retryable: func(g *Generator, e *event.SocialMediaAction) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.absent()
			},
		}),
	"sluice.crmcom.WebVisit": makerOf((*Generator).webVisit,
		func(e *event.WebVisit) string {
			return owner(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		spoil[event.WebVisit]{
			Invalid:  func(_ *Generator, e *event.WebVisit) { e.Website = "" },
			Rejected: func(g *Generator, e *event.WebVisit) { e.EventId, e.ExternalSystemReferenceNumber = g.refused(), nil },
			Retryable: func(g *Generator, e *event.WebVisit) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.absent()
			},
		}),
	"sluice.crmcom.FinancialAchievement": makerOf((*Generator).financialAchievement,
		func(e *event.FinancialAchievement) string {
			return owner(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		spoil[event.FinancialAchievement]{
			Invalid: func(g *Generator, e *event.FinancialAchievement) {
				c := g.customer()
				e.AccountsReceivableIdentifier = &event.AccountIdentifier{Number: &c.account}
				e.RewardsParticipantIdentifier = &event.ParticipantIdentifier{Number: &c.participant}
			},
			Rejected: func(g *Generator, e *event.FinancialAchievement) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refused(), nil
			},
			Retryable: func(g *Generator, e *event.FinancialAchievement) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.absent()
			},
		}),
	"sluice.crmcom.FinancialStatement": makerOf((*Generator).financialStatement,
		func(e *event.FinancialStatement) string {
			return owner(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
		},
		spoil[event.FinancialStatement]{
			Invalid: func(_ *Generator, e *event.FinancialStatement) { e.PerformedByUnitIdentifier = event.UnitIdentifier{} },
			Rejected: func(g *Generator, e *event.FinancialStatement) {
				e.EventId, e.ExternalSystemReferenceNumber = g.refused(), nil
			},
			Retryable: func(g *Generator, e *event.FinancialStatement) {
				e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = g.absent()
			},
		}),
	"sluice.expoints.FeedbackRequest": makerOf((*Generator).feedbackRequest,
		func(e *event.FeedbackRequest) string { return value(e.Data, columnCustomer) },
		spoil[event.FeedbackRequest]{
			Invalid: func(_ *Generator, e *event.FeedbackRequest) {
				e.Data = append(e.Data, event.ExpointsData{Name: noColumn})
			},
			Rejected: func(g *Generator, e *event.FeedbackRequest) { e.Email = new(*g.refused() + "@example.org") },
		}),
	"sluice.expoints.FeedbackFinished": makerOf((*Generator).feedbackFinished,
		func(e *event.FeedbackFinished) string { return value(e.Data, columnCustomer) },
		spoil[event.FeedbackFinished]{
			Invalid: func(_ *Generator, e *event.FeedbackFinished) { e.QuestionnaireId = new("not a GUID") },
		}),
	"sluice.expoints.FeedbackLock": makerOf((*Generator).feedbackLock,
		func(e *event.FeedbackLock) string { return value(e.Data, columnCustomer) },
		spoil[event.FeedbackLock]{
			Invalid: func(_ *Generator, e *event.FeedbackLock) { e.QuestionnaireId = new("not a GUID") },
		}),
	"sluice.propel.CustomerChange": makerOf((*Generator).customerChange,
		func(e *event.CustomerChange) string { return e.SourceId },
		spoil[event.CustomerChange]{
			Invalid:   func(_ *Generator, e *event.CustomerChange) { e.Source = "" },
			Rejected:  func(g *Generator, e *event.CustomerChange) { e.SourceId = *g.refused() },
			Retryable: func(g *Generator, e *event.CustomerChange) { e.SourceId = g.word(lockedPrefix) },
		}),
}
