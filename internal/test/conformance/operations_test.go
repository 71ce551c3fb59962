package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/crmcom"
	"sluice/internal/sink/expoints"
	"sluice/internal/sink/propel"
)

// operation is one row of the suite.
type operation struct {
	name  string
	event func(i int) any // a valid event, another one for each number
	// endpoint is the path that its calls go to.
	endpoint string
	// perItem: the vendor answers each item by itself; else the call as a whole.
	perItem bool
	// field is where an item has what tells it from others, and mark what item i has there.
	field string
	mark  func(i int) string
}

func (o operation) vendor() string { return o.name[:strings.IndexByte(o.name, '.')] }

// loginName is the operation that a rule of the sandbox knows the vendor's login by.
func (o operation) loginName() string {
	if o.vendor() == "crmcom" {
		return "crmcom.login"
	}
	return o.vendor() + ".token"
}

const crmBulk = "/crmapi/rest/v2/customer_events/bulk/"

var operations = []operation{
	crm("purchases", purchase), crm("referrals", referral), crm("achievements", achievement), crm("social_media", socialMedia), crm("web", web),
	crm("financial_achievements", financialAchievement), crm("financial_statements", financialStatement),
	{name: "expoints.add", event: feedbackRequest, endpoint: "/external/api/v3/customer/add", field: "Email", mark: address},
	{name: "expoints.addfinished", event: feedbackFinished, endpoint: "/external/api/v3/customer/addfinished", field: "Customer.Email", mark: address},
	{name: "expoints.addlock", event: feedbackLock, endpoint: "/external/api/v3/customer/addlock", field: "Email", mark: address},
	{name: "propel.customers", event: customerChange, endpoint: "/v2/customers/bulk/sourceId", perItem: true, field: "sourceId", mark: customerID},
}

func crm(name string, event func(int) any) operation {
	return operation{name: "crmcom." + name, event: event, endpoint: crmBulk + name + "/create", perItem: true,
		field: "request_unique_identifier", mark: func(i int) string { return originOf(i).ID() }}
}

func address(i int) string    { return fmt.Sprintf("c%d@example.org", i) }
func customerID(i int) string { return fmt.Sprintf("C-%d", i) }

var performedOn = time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)

func account(i int) *event.AccountIdentifier {
	return &event.AccountIdentifier{Number: new(fmt.Sprintf("ACR%d", i))}
}

func unit() event.UnitIdentifier { return event.UnitIdentifier{Name: new("Admin Unit")} }

func classification() event.ClassificationIdentifier {
	return event.ClassificationIdentifier{Name: new("Customer Feedback 3")}
}

func purchase(i int) any {
	return &event.Purchase{
		AccountsReceivableIdentifier: account(i), PerformedByUnitIdentifier: unit(), PerformedOn: performedOn, ReferenceNumber: fmt.Sprintf("RF%d", i),
		ProductsSet: []event.PurchaseProduct{{
			ProductIdentifier: event.ProductIdentifier{Code: new("Bronze")},
			NetAmount:         event.Millionths(160_000_000), VatAmount: event.Millionths(20_000_000), TotalAmount: event.Millionths(180_000_000),
		}},
	}
}

func referral(i int) any {
	return &event.Referral{
		PerformedByUnitIdentifier: unit(), PerformedOn: performedOn,
		ReferredRewardsParticipantIdentifier:   event.ParticipantIdentifier{Number: new(fmt.Sprintf("RP%d", i))},
		ReferredByRewardsParticipantIdentifier: event.ParticipantIdentifier{Number: new("RP")},
	}
}

func achievement(i int) any {
	return &event.Achievement{
		AccountsReceivableIdentifier: account(i), ClassificationIdentifier: classification(), PerformedByUnitIdentifier: unit(), PerformedOn: performedOn,
	}
}

func socialMedia(i int) any {
	return &event.SocialMediaAction{
		AccountsReceivableIdentifier: account(i), PerformedByUnitIdentifier: unit(), PerformedOn: performedOn,
		SocialMedia: "FACEBOOK", Profile: "www.facebook.com/marios", Action: "LIKE",
	}
}

func web(i int) any {
	return &event.WebVisit{
		AccountsReceivableIdentifier: account(i), PerformedByUnitIdentifier: unit(), PerformedOn: performedOn, Website: "www.crm.com",
	}
}

func financialAchievement(i int) any {
	return &event.FinancialAchievement{
		AccountsReceivableIdentifier: account(i), ClassificationIdentifier: classification(), PerformedByUnitIdentifier: unit(), PerformedOn: performedOn,
		Amount: new(event.Millionths(12_500_000)),
	}
}

func financialStatement(i int) any {
	return &event.FinancialStatement{
		AccountsReceivableIdentifier: account(i), ClassificationIdentifier: classification(), PerformedByUnitIdentifier: unit(), PerformedOn: performedOn,
		MeasuredKeyPerformanceIndicatorsSet: []event.MeasuredKeyPerformanceIndicator{{
			KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{Name: new("Turnover")}, Value: event.Millionths(1_000_000),
		}},
	}
}

func data() []event.ExpointsData {
	return []event.ExpointsData{{Name: requiredColumn, Value: "John"}}
}

func feedbackRequest(i int) any {
	return &event.FeedbackRequest{Email: new(address(i)), SendDate: new(performedOn), Data: data()}
}

func feedbackFinished(i int) any {
	return &event.FeedbackFinished{Email: new(address(i)), FinishedDate: new(performedOn), Data: data()}
}

func feedbackLock(i int) any {
	return &event.FeedbackLock{Email: new(address(i)), CreationDate: new(performedOn), Data: data()}
}

func customerChange(i int) any {
	return &event.CustomerChange{Source: "ERP", SourceId: customerID(i), DebtorId: new("7"), DateOfBirth: new(time.Date(1980, 2, 29, 0, 0, 0, 0, time.UTC))}
}

// An operation that is added to a vendor has to be added here.
func TestTheTableHasEveryOperation(t *testing.T) {
	var all, rows []string
	for account, specs := range map[string][]sink.OperationSpec{"crmcom": crmcom.Specs(), "expoints": expoints.Specs(), "propel": propel.Specs(propel.Default())} {
		for _, s := range specs {
			all = append(all, account+"."+s.Name)
		}
	}
	for _, o := range operations {
		rows = append(rows, o.name)
	}
	slices.Sort(all)
	slices.Sort(rows)
	if len(all) != 11 || !slices.Equal(rows, all) {
		t.Errorf("the table has %v, the vendors have %v", rows, all)
	}
}

// The pages: "the maximum number ... is 1000", "no more than 200 customers at once", one customer, one lock. Propel's has none; 100 is the default.
func TestCapsAreThoseOfThePages(t *testing.T) {
	v := open(t, setup{})
	caps := map[string]int{"expoints.add": 200, "expoints.addfinished": 1, "expoints.addlock": 1, "propel.customers": 100}
	for name, op := range v.operations {
		most, own := caps[name]
		if !own {
			most = 1000
		}
		if got := op.Spec().MaxItems; got != most {
			t.Errorf("%s: the cap is %d, want %d", name, got, most)
		}
	}
}

func TestOperations(t *testing.T) {
	passed := 0
	for _, o := range operations {
		ok := t.Run(o.name, func(t *testing.T) {
			t.Run("clean", o.clean)
			t.Run("caps", o.caps)
			t.Run("calls", o.calls)
			t.Run("items", o.items)
			t.Run("tokens", o.tokens)
			t.Run("unreachable", o.unreachable)
		})
		if ok {
			passed++
		}
	}
	t.Logf("%d of %d operations conform", passed, len(operations))
	if passed != 11 {
		t.Errorf("%d of 11 operations conform", passed)
	}
}
