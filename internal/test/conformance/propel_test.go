package conformance

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/sink"
)

// propelMaxItems is the default of the account's max_items; the page states no limit.
const propelMaxItems = 100

func propelFixture() *vendorFixture {
	return &vendorFixture{
		operations:     []operationFixture{customersFixture()},
		loginOperation: "token",
		apiBase:        "/v2/",
		configureSandbox: func(opts *sandbox.Options) {
			opts.Propel = sandbox.PropelOptions{MaxItems: propelMaxItems}
		},
		identityOf:      func(i int) string { return "ERP/" + numberedCustomer(i) },
		dateText:        "1980-02-29",
		responses:       propelResponses(),
		rejectItem:      sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "Refused permanently."},
		delayItem:       sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "Try again later."},
		unjudgedResults: propelRowsWithoutSuccess,
		nameItem: func(operationFixture, int) (sandbox.Action, bool) {
			action := refuseBatch("10007", "extraneous key [x] is not permitted")
			action.Named = true
			return action, true
		},
		pages: map[string][]pageSection{
			"propel-customers-bulk-sourceid": {{"customers", "propel.CustomerChange", "customers[]."}},
		},
		events: eventRules{
			stringRules: map[string]stringRule{
				"CustomerChange.source":          {rapid.OneOf(nonEmpty.valid, rapid.Just("ERP")), []string{""}},
				"CustomerChange.sourceId":        sourceID,
				"CustomerChange.gender":          oneOf("M", "F", "U"),
				"CustomerChange.email":           address,
				"CustomerChange.primaryLanguage": twoLetters,
				"PropelParent.source":            nonEmpty,
				"PropelParent.sourceId":          nonEmpty,
				"PropelAddress.type":             oneOf("delivery", "invoice"),
				"PropelAddress.code":             nonEmpty,
				"PropelAddress.gender":           oneOf("M", "F", "U"),
				"PropelAddress.street":           nonEmpty,
				"PropelAddress.city":             nonEmpty,
				"PropelAddress.country":          twoLetters,
				"PropelAddress.icp":              oneOf("Y", "N"),
				"PropelAddress.isDefault":        oneOf("Y", "N"),
			},
			drawRecord:  drawParent,
			recordFlaws: parentFlaws,
		},
	}
}

// customersFixture includes events that may not share a call: a call has one source, and must not
// contain a customer twice.
func customersFixture() operationFixture {
	customer := func(source, id string) any { return &event.CustomerChange{Source: source, SourceId: id} }
	return operationFixture{
		name: "propel.customers", newEvent: newCustomerChange, endpoint: "/v2/customers/bulk/sourceId",
		maxItems: propelMaxItems, itemResults: true, markField: "sourceId", markOf: numberedCustomer,
		sharing: []sharingCase{
			{name: "two customers", a: customer("ERP", "1"), b: customer("ERP", "2")},
			{name: "one customer", a: customer("ERP", "1"), b: customer("ERP", "1"), sameEntity: true},
			{
				name: "IDs that an echo as a number would mix up",
				a:    customer("ERP", "7"), b: customer("ERP", "007"), sameEntity: true,
			},
			{name: "two sources", a: customer("ERP", "1"), b: customer("POS", "1"), otherEnvelope: true},
		},
	}
}

func propelResponses() []responseCase {
	return append(unreadableResponses(),
		responseCase{name: "InvalidJSONPayload", do: refuseBatch("10005", ""), class: sink.Misconfigured,
			code: "10005"},
		responseCase{name: "InvalidLookupKey", do: refuseBatch("10006", ""), class: sink.Misconfigured,
			code: "10006"},
		responseCase{name: "PayloadValidationError", do: refuseBatch("10017", ""), class: sink.Rejected,
			code: "10017"},
		responseCase{name: "404 of a customer", do: propelStatus(404, "60006"), class: sink.Rejected, code: "60006"},
		responseCase{name: "404 of a parent", do: propelStatus(404, "60007"), class: sink.Rejected, code: "60007"},
		responseCase{name: "405 of a customer", do: propelStatus(405, "60008"), class: sink.Rejected, code: "60008"},
		responseCase{name: "404 that may be due to permissions", do: propelStatus(404, "10008"),
			class: sink.Misconfigured, code: "10008"},
	)
}

// propelRowsWithoutSuccess returns a response whose rows lack "success".
func propelRowsWithoutSuccess(_ string, sourceIDs []string) string {
	rows := make([]string, len(sourceIDs))
	for i, id := range sourceIDs {
		rows[i] = fmt.Sprintf(`{"action":"update","key":%q,"lookupKey":"sourceId"}`, id)
	}
	return fmt.Sprintf(`{"data":[%s],"messages":["Completed"],"total":%d}`, strings.Join(rows, ","), len(rows))
}

func propelStatus(status int, code string) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultStatus, Code: status,
		Body: `{"error":{"code":"` + code + `","messages":["no"]}}`}
}

func numberedCustomer(i int) string { return fmt.Sprintf("C-%d", i) }

func newCustomerChange(i int) any {
	return &event.CustomerChange{Source: "ERP", SourceId: numberedCustomer(i), DebtorId: new("7"),
		DateOfBirth: new(time.Date(1980, 2, 29, 0, 0, 0, 0, time.UTC))}
}

// sourceID includes IDs that are equal, or equal as numbers, in one call.
var sourceID = stringRule{rapid.OneOf(nonEmpty.valid, rapid.SampledFrom([]string{"7", "007"})), []string{""}}

// drawParent sets the parent's ID, or its source and sourceId.
func drawParent(d drawer, v reflect.Value) bool {
	parent, ok := v.Addr().Interface().(*event.PropelParent)
	if !ok {
		return false
	}
	if d.chooseFirst("parent by id") {
		parent.Id = new(rapid.Int64().Draw(d.t, "PropelParent.id"))
		return true
	}
	parent.Source = new(nonEmpty.valid.Draw(d.t, "PropelParent.source"))
	parent.SourceId = new(nonEmpty.valid.Draw(d.t, "PropelParent.sourceId"))
	return true
}

func parentFlaws(c *flawCollector, v reflect.Value, path string) bool {
	parent, ok := v.Addr().Interface().(*event.PropelParent)
	if !ok {
		return false
	}
	c.add(path, "nothing", func() { *parent = event.PropelParent{} })
	c.add(path, "both ways", func() {
		*parent = event.PropelParent{Id: new(int64(1)), Source: new("ERP"), SourceId: new("1")}
	})
	c.add(path, "no sourceId", func() { *parent = event.PropelParent{Source: new("ERP")} })
	c.add(path, "no source", func() { *parent = event.PropelParent{SourceId: new("1")} })
	return false // its fields are broken one by one
}
