package conformance

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/sink"
)

const (
	crmBase    = "/crmapi/rest/v2/"
	crmMaxItem = 1000 // "the maximum number ... is 1000"
)

func crmcomFixture() *vendorFixture {
	return &vendorFixture{
		operations: []operationFixture{
			purchasesFixture(),
			crmOperation("referrals", newReferral, 0),
			crmOperation("achievements", newAchievement, 0),
			crmOperation("social_media", newSocialMediaAction, 0),
			crmOperation("web", newWebVisit, 0),
			crmOperation("financial_achievements", newFinancialAchievement, 1),
			crmOperation("financial_statements", newFinancialStatement, 1),
		},
		loginOperation: "login",
		apiBase:        crmBase,
		zoneSetting:    "time_zone",
		identityOf:     func(i int) string { return originOf(i).ID() },
		instantText:    func(c instantCase) string { return c.withoutOffset },
		responses:      crmResponses(),
		rejectItem: sandbox.Action{
			Fault: sandbox.FaultRefuseItem, ErrorCode: "ReferredByAnotherParticipantException",
			Description: "Refused permanently.",
		},
		delayItem: sandbox.Action{
			Fault: sandbox.FaultRefuseItem, ErrorCode: "NotFoundAPIValueException", Description: "Try again later.",
		},
		alwaysJudged: true, // by the set that has the item
		nameItem: func(o operationFixture, i int) (sandbox.Action, bool) {
			return refuseBatch("InvalidAPIParameterException", "Error in "+o.markOf(i)+"."), false
		},
		pages: map[string][]pageSection{"crmcom-customer-events-bulk": {
			{"purchases", "crmcom.Purchase", "purchase_customer_events_set[]."},
			{"referrals", "crmcom.Referral", "referral_customer_events_set[]."},
			{"achievements", "crmcom.Achievement", "achievement_customer_events_set[]."},
			{"social_media", "crmcom.SocialMediaAction", "social_media_customer_events_set[]."},
			{"web", "crmcom.WebVisit", "web_customer_events_set[]."},
			{"financial_achievements", "crmcom.FinancialAchievement", "financial_achievement_customer_events_set[]."},
			{"financial_statements", "crmcom.FinancialStatement", "financial_achievement_customer_events_set[]."},
		}},
		// The page still has the old name of the set of financial statements.
		everyField: "financial_statements_set: financial_achievement_customer_events_set",
		sentNames:  strings.NewReplacer("payment_medium_type_identifier(2)", "payment_medium_brand_identifier"),
		neverSent:  []string{"fields_set"},
		events: eventRules{
			stringRules: map[string]stringRule{
				"Purchase.reference_number":      nonEmpty,
				"SocialMediaAction.social_media": oneOf("FACEBOOK"),
				"SocialMediaAction.profile":      nonEmpty,
				"SocialMediaAction.action":       oneOf("LIKE"),
				"WebVisit.website":               nonEmpty,
			},
			requiredLists: map[string]bool{"Purchase.products_set": true},
			drawRecord:    drawIdentifier,
			finishEvent:   func(d drawer, ev any) { keepOneOwner(d, reflect.ValueOf(ev).Elem()) },
			recordFlaws:   identifierFlaws,
			eventFlaws:    crmEventFlaws,
			makeUnique:    referNewParticipant,
		},
	}
}

func crmOperation(name string, newEvent func(int) any, amounts int) operationFixture {
	return operationFixture{
		name: "crmcom." + name, newEvent: newEvent, endpoint: crmBase + "customer_events/bulk/" + name + "/create",
		maxItems: crmMaxItem, itemResults: true, amounts: amounts,
		markField: "request_unique_identifier", markOf: func(i int) string { return originOf(i).ID() },
	}
}

// purchasesFixture includes events that may not share a call, because a call has one currency.
func purchasesFixture() operationFixture {
	inCurrency := func(code string) any {
		p := newPurchase(0).(*event.Purchase)
		p.IntendedCurrencyIdentifier = &event.CurrencyIdentifier{Code: &code}
		return p
	}
	o := crmOperation("purchases", newPurchase, 3)
	o.sharing = []sharingCase{
		{name: "one currency", a: inCurrency("EUR"), b: inCurrency("EUR")},
		{name: "two currencies", a: inCurrency("EUR"), b: inCurrency("USD"), otherEnvelope: true},
		{name: "a currency and none", a: inCurrency("EUR"), b: newPurchase(0), otherEnvelope: true},
		{name: "two purchases of an account", a: newPurchase(0), b: newPurchase(0)},
	}
	return o
}

func crmResponses() []responseCase {
	return append(unreadableResponses(),
		responseCase{
			name:  "200 with a status of the token",
			do:    refuseBatch("InvalidTokenException", "The token has expired."),
			class: sink.Unauthorized, code: "InvalidTokenException",
		},
		responseCase{
			name: "200 with a status of the session", do: refuseBatch("ERROR", "Your session is not valid."),
			class: sink.Unauthorized,
		},
		responseCase{
			name: "200 with a status of the data",
			do:   refuseBatch("NotFoundAPIValueException", "Unit (token) Not Found."), class: sink.Rejected,
		},
		responseCase{
			name: "200 with a status of the vendor's machinery", do: refuseBatch("LockTimeoutException", ""),
			class: sink.Unavailable, mayHaveActed: true,
		},
	)
}

func crmAccount(i int) *event.AccountIdentifier {
	return &event.AccountIdentifier{Number: new(fmt.Sprintf("ACR%d", i))}
}

func crmUnit() event.UnitIdentifier { return event.UnitIdentifier{Name: new("Admin Unit")} }

func crmClassification() event.ClassificationIdentifier {
	return event.ClassificationIdentifier{Name: new("Customer Feedback 3")}
}

func newPurchase(i int) any {
	return &event.Purchase{
		AccountsReceivableIdentifier: crmAccount(i), PerformedByUnitIdentifier: crmUnit(),
		PerformedOn: performedOn, ReferenceNumber: fmt.Sprintf("RF%d", i),
		ProductsSet: []event.PurchaseProduct{{
			ProductIdentifier: event.ProductIdentifier{Code: new("Bronze")},
			NetAmount:         event.Millionths(160_000_000), VatAmount: event.Millionths(20_000_000),
			TotalAmount: event.Millionths(180_000_000),
		}},
	}
}

func newReferral(i int) any {
	return &event.Referral{
		PerformedByUnitIdentifier: crmUnit(), PerformedOn: performedOn,
		ReferredRewardsParticipantIdentifier:   event.ParticipantIdentifier{Number: new(fmt.Sprintf("RP%d", i))},
		ReferredByRewardsParticipantIdentifier: event.ParticipantIdentifier{Number: new("RP")},
	}
}

func newAchievement(i int) any {
	return &event.Achievement{
		AccountsReceivableIdentifier: crmAccount(i), ClassificationIdentifier: crmClassification(),
		PerformedByUnitIdentifier: crmUnit(), PerformedOn: performedOn,
	}
}

func newSocialMediaAction(i int) any {
	return &event.SocialMediaAction{
		AccountsReceivableIdentifier: crmAccount(i), PerformedByUnitIdentifier: crmUnit(), PerformedOn: performedOn,
		SocialMedia: "FACEBOOK", Profile: "www.facebook.com/marios", Action: "LIKE",
	}
}

func newWebVisit(i int) any {
	return &event.WebVisit{
		AccountsReceivableIdentifier: crmAccount(i), PerformedByUnitIdentifier: crmUnit(),
		PerformedOn: performedOn, Website: "www.crm.com",
	}
}

func newFinancialAchievement(i int) any {
	return &event.FinancialAchievement{
		AccountsReceivableIdentifier: crmAccount(i), ClassificationIdentifier: crmClassification(),
		PerformedByUnitIdentifier: crmUnit(), PerformedOn: performedOn,
		Amount: new(event.Millionths(12_500_000)),
	}
}

func newFinancialStatement(i int) any {
	return &event.FinancialStatement{
		AccountsReceivableIdentifier: crmAccount(i), ClassificationIdentifier: crmClassification(),
		PerformedByUnitIdentifier: crmUnit(), PerformedOn: performedOn,
		MeasuredKeyPerformanceIndicatorsSet: []event.MeasuredKeyPerformanceIndicator{{
			KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{Name: new("Turnover")},
			Value:                             event.Millionths(1_000_000),
		}},
	}
}

func isIdentifier(t reflect.Type) bool { return strings.HasSuffix(t.Name(), "Identifier") }

// drawIdentifier sets exactly one key of an identifier, and reports whether v is one.
func drawIdentifier(d drawer, v reflect.Value) bool {
	if !isIdentifier(v.Type()) {
		return false
	}
	i := d.variant / 2 % v.NumField()
	if !d.all {
		i = d.drawIndex(v.NumField(), v.Type().Name())
	}
	v.Field(i).Set(reflect.ValueOf(new(nonEmpty.valid.Draw(d.t, fieldName(v, i)))))
	return true
}

const (
	accountField     = "AccountsReceivableIdentifier"
	participantField = "RewardsParticipantIdentifier"
)

// keepOneOwner removes either the account or the participant from an event that has both.
func keepOneOwner(d drawer, v reflect.Value) {
	account, participant := v.FieldByName(accountField), v.FieldByName(participantField)
	if !account.IsValid() {
		return
	}
	keep, drop := account, participant
	if !d.chooseFirst("by account") {
		keep, drop = participant, account
	}
	drop.SetZero()
	if keep.IsNil() {
		keep.Set(reflect.New(keep.Type().Elem()))
		drawIdentifier(d, keep.Elem())
	}
}

func identifierFlaws(c *flawCollector, v reflect.Value, path string) bool {
	if !isIdentifier(v.Type()) {
		return false
	}
	c.add(path, "no key", func() { v.SetZero() })
	c.add(path, "two keys", func() {
		v.Field(0).Set(reflect.ValueOf(new("a")))
		v.Field(1).Set(reflect.ValueOf(new("b")))
	})
	for i := range v.NumField() {
		c.add(joinPath(path, avroTag(v, i)), "empty", func() {
			v.SetZero()
			v.Field(i).Set(reflect.ValueOf(new("")))
		})
	}
	return true
}

func crmEventFlaws(c *flawCollector, ev any) {
	ownerFlaws(c, reflect.ValueOf(ev).Elem())
	if purchase, ok := ev.(*event.Purchase); ok {
		c.add("products_set", "empty", func() { purchase.ProductsSet = nil })
	}
}

func ownerFlaws(c *flawCollector, v reflect.Value) {
	account, participant := v.FieldByName(accountField), v.FieldByName(participantField)
	if !account.IsValid() {
		return
	}
	const path = "accounts_receivable_identifier"
	c.add(path, "neither account nor participant", func() {
		account.SetZero()
		participant.SetZero()
	})
	c.add(path, "account and participant", func() {
		account.Set(reflect.ValueOf(&event.AccountIdentifier{Number: new("A")}))
		participant.Set(reflect.ValueOf(&event.ParticipantIdentifier{Number: new("P")}))
	})
}

var referredCount atomic.Int64

// referNewParticipant gives a referral a participant that no other referral has, because the vendor
// accepts only one referral for each participant.
func referNewParticipant(ev any) {
	if r, ok := ev.(*event.Referral); ok {
		r.ReferredRewardsParticipantIdentifier = event.ParticipantIdentifier{Number: new(fmt.Sprint("P",
			referredCount.Add(1)))}
	}
}
