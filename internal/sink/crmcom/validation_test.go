package crmcom

import (
	"math"
	"slices"
	"testing"
	"time"

	"sluice/internal/event"
)

const oneCustomer = "accounts_receivable_identifier: exactly one of accounts_receivable_identifier, rewards_participant_identifier is mandatory"

func TestEveryViolationIsReportedAtOnceWithItsPath(t *testing.T) {
	late := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	wide := event.Decimal(append([]byte{0x7f}, make([]byte, 16)...))
	for _, c := range []struct {
		operation string
		event     any
		want      []string
	}{
		{"purchases", &event.Purchase{PerformedOn: late}, []string{
			oneCustomer,
			"performed_by_unit_identifier: exactly one of id, name, alternative_code is mandatory",
			"performed_on: must be in the years 1 to 9999",
			"reference_number: is mandatory",
			"products_set: is mandatory, with at least one product",
		}},
		{"purchases", func() any {
			e := purchaseOf("A1")
			e.RewardsParticipantIdentifier = &event.ParticipantIdentifier{Id: new("1"), Number: new("2")}
			e.AccountsReceivableIdentifier = &event.AccountIdentifier{Id: new("")}
			e.InvoiceIdentifier = &event.InvoiceIdentifier{}
			e.ProductsSet[1].ProductIdentifier = event.ProductIdentifier{}
			e.ProductsSet[1].VatAmount = wide
			e.UdfFloat4 = new(math.NaN())
			e.UdfFloat3 = new(math.Inf(-1))
			e.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Id: new("1"), Code: new("EUR")}
			return e
		}(), []string{
			oneCustomer,
			"accounts_receivable_identifier.id: must not be empty",
			"rewards_participant_identifier: exactly one of id, number is mandatory",
			"invoice_identifier: exactly one of id, number, reference_number, back_office_code is mandatory",
			"udf_float_3: must be a finite number",
			"udf_float_4: must be a finite number",
			"products_set[1].product_identifier: exactly one of id, code, alternative_code is mandatory",
			"products_set[1].vat_amount: must have at most 38 digits",
			"intended_currency_identifier: exactly one of id, code is mandatory",
		}},
		{"referrals", &event.Referral{PerformedByUnitIdentifier: adminUnit(), PerformedOn: dayAt(1, 2, 3)}, []string{
			"referred_rewards_participant_identifier: exactly one of id, number is mandatory",
			"referred_by_rewards_participant_identifier: exactly one of id, number is mandatory",
		}},
		{"achievements", &event.Achievement{AccountsReceivableIdentifier: accountByNumber("A"),
			PerformedByUnitIdentifier: adminUnit()}, []string{
			"classification_identifier: exactly one of id, name, alternative_code is mandatory",
		}},
		{"social_media", &event.SocialMediaAction{AccountsReceivableIdentifier: accountByNumber("A"),
			PerformedByUnitIdentifier: adminUnit(), SocialMedia: "X"}, []string{
			"social_media: must be FACEBOOK", "profile: is mandatory", "action: must be LIKE",
		}},
		{"web", visitWithoutSite(), []string{"website: is mandatory"}},
		{"financial_statements", &event.FinancialStatement{
			AccountsReceivableIdentifier: accountByNumber("A"), ClassificationIdentifier: classificationByName("S"),
			PerformedByUnitIdentifier:           adminUnit(),
			MeasuredKeyPerformanceIndicatorsSet: []event.MeasuredKeyPerformanceIndicator{{ProductIdentifier: &event.ProductIdentifier{}}},
		}, []string{
			"measured_key_performance_indicators_set[0].key_performance_indicator_identifier: exactly one of id, name, alternative_code is mandatory",
			"measured_key_performance_indicators_set[0].product_identifier: exactly one of id, code, alternative_code is mandatory",
		}},
		{"purchases", &event.Referral{}, []string{"event: must be a sluice.crmcom.Purchase, is a *event.Referral"}},
		{"purchases", (*event.Purchase)(nil), []string{"event: must be a sluice.crmcom.Purchase, is a *event.Purchase"}},
		{"purchases", nil, []string{"event: must be a sluice.crmcom.Purchase, is a <nil>"}},
	} {
		if got := violationsOf(t, newUncalledOperations(t, nil)[c.operation], c.event); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.operation, got, c.want)
		}
	}
}

func visitWithoutSite() *event.WebVisit {
	e := visitOf("A", dayAt(1, 2, 3))
	e.Website = ""
	return e
}

func TestReleaseDecidesWhatMayBeSent(t *testing.T) {
	purchase := func(change func(*event.Purchase)) *event.Purchase {
		e := purchaseOf("A1")
		change(e)
		return e
	}
	byParticipant := purchase(func(e *event.Purchase) {
		p := participantByNumber("P1")
		e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier = nil, &p
	})
	statement := &event.FinancialStatement{
		AccountsReceivableIdentifier: accountByNumber("A"), ClassificationIdentifier: classificationByName("S"),
		PerformedByUnitIdentifier: adminUnit(),
	}
	amount := financialOf("A", "F", dayAt(1, 2, 3))
	amount.Amount = new(event.Millionths(1))
	for _, c := range []struct {
		release, operation string
		event              any
		want               []string
	}{
		{"R10", "purchases", purchaseOf("A1"), nil},
		{"R10", "purchases", purchase(func(e *event.Purchase) { e.ExternalSystemReferenceNumber = new("r") }),
			[]string{"external_system_reference_number: requires release R10.1 or later; the account has R10"}},
		{"R10", "purchases", purchase(func(e *event.Purchase) { e.UdfString8, e.UdfString9 = new("a"), new("b") }),
			[]string{"udf_string_9: requires release R10.1 or later; the account has R10"}},
		{"R10.1.0", "purchases", purchase(func(e *event.Purchase) {
			e.UdfString9,
				e.ExternalSystemReferenceNumber = new("b"), new("r")
		}), nil},
		{"R10.1", "purchases", purchase(func(e *event.Purchase) { e.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: new("EUR")} }),
			[]string{"intended_currency_identifier: requires release R11 or later; the account has R10.1"}},
		{"R10.1", "financial_achievements", amount,
			[]string{"amount: requires release R11 or later; the account has R10.1"}},
		{"R10.1", "financial_statements", statement,
			[]string{"event: requires release R11 or later; the account has R10.1"}},
		{"R11", "financial_statements", statement, nil},
		{"R16", "purchases", byParticipant, nil},
		{"R17", "purchases", byParticipant, []string{
			"accounts_receivable_identifier: is mandatory as of release R17",
			"rewards_participant_identifier: is no longer accepted as of release R17; the account has R17"}},
		{"R17", "purchases", purchaseOf("A1"), nil},
		{"R17", "referrals", referralOf("P1", "P2"), []string{
			"referred_rewards_participant_identifier: is no longer accepted as of release R17; the account has R17",
			"referred_by_rewards_participant_identifier: is no longer accepted as of release R17; the account has R17"}},
		{"R18", "purchases", purchase(func(e *event.Purchase) {
			e.PerformedByUnitIdentifier = event.UnitIdentifier{Id: new(""), Name: new("n")}
		}),
			[]string{
				"performed_by_unit_identifier.id: must not be empty",
				"performed_by_unit_identifier: exactly one of id, name, alternative_code is mandatory"}},
	} {
		op := newUncalledOperations(t, func(cfg *Config) { cfg.Release = c.release })[c.operation]
		if got := violationsOf(t, op, c.event); !slices.Equal(got, c.want) {
			t.Errorf("%s %s:\n got %q\nwant %q", c.release, c.operation, got, c.want)
		}
	}
	old := encodeMembers(t, newUncalledOperations(t, func(cfg *Config) { cfg.Release = "R10" })["purchases"],
		purchaseOf("A1"))
	if _, sent := old["external_system_reference_number"]; sent {
		t.Error("got a reference number sent to R10, want none")
	}
	newer := encodeMembers(t, newUncalledOperations(t, func(cfg *Config) { cfg.Release = "R18" })["purchases"],
		purchaseOf("A1"))
	if newer["performed_by_business_unit_identifier"] == nil || newer["performed_by_unit_identifier"] != nil {
		t.Errorf("got %v sent to R18, want the business unit", newer)
	}
}
