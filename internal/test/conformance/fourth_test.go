package conformance

import (
	"slices"
	"strings"
	"testing"

	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/pipeline"
	"sluice/internal/test/fourthvendor"
)

// fourthSuite returns the product's vendors and one that exists only in tests and is registered in
// the same way.
func fourthSuite() suite {
	s := productSuite()
	s.vendors = fourthvendor.RegisterVendor(s.vendors)
	s.samples = append(s.samples, fourthvendor.Samples())
	s.fixtures[fourthvendor.Name] = fourthFixture()
	return s
}

func fourthFixture() *vendorFixture {
	stampID := func(i int) string { return "S-" + originOf(i).ID() + "-" }
	stamp := func(i int) any {
		return &fourthvendor.Stamp{
			StampId: stampID(i), CardNumber: "C", Amount: event.Millionths(1_000_000), StampedAt: performedOn,
		}
	}
	cancellation := func(i int) any {
		return &fourthvendor.Cancellation{StampId: stampID(i), CancelledAt: performedOn}
	}
	return &vendorFixture{
		operations: []operationFixture{
			{
				name: "stampcard.stamps", newEvent: stamp, endpoint: "/api/stamps", maxItems: 50, itemResults: true,
				markField: "stamp_id", markOf: stampID, amounts: 1,
				sharing: []sharingCase{
					{name: "two stamps", a: stamp(1), b: stamp(2)},
					{name: "one stamp", a: stamp(1), b: stamp(1), sameEntity: true},
				},
			},
			{
				name: "stampcard.cancellations", newEvent: cancellation, endpoint: "/api/cancellations",
				maxItems: 50, itemResults: true,
				markField: "stamp_id", markOf: stampID,
			},
		},
		loginOperation: "token",
		configureSandbox: func(opts *sandbox.Options) {
			opts.AdditionalPages = append(opts.AdditionalPages, fourthvendor.Page())
		},
		identityOf:  stampID,
		instantText: func(c instantCase) string { return c.utc },
		responses:   unreadableResponses(),
		rejectItem:  sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "Refused permanently."},
		delayItem: sandbox.Action{Fault: sandbox.FaultRefuseItem, ErrorCode: "try_later",
			Description: "Try again later."},
		unjudgedResults: func(_ string, stampIDs []string) string {
			return `{"results":[{"stamp_id":"` + strings.Join(stampIDs, `"},{"stamp_id":"`) + `"}]}`
		},
		nameItem: func(operationFixture, int) (sandbox.Action, bool) {
			action := refuseBatch("invalid", "The stamp is not valid.")
			action.Named = true
			return action, true
		},
		pages: map[string][]pageSection{"stampcard-api": {
			{"stamps", "stampcard.Stamp", "stamps[]."},
			{"cancellations", "stampcard.Cancellation", "cancellations[]."},
		}},
		events: eventRules{
			stringRules: map[string]stringRule{
				"Stamp.stamp_id":        nonEmpty,
				"Stamp.card_number":     nonEmpty,
				"Cancellation.stamp_id": nonEmpty,
			},
		},
	}
}

// A vendor that is registered like those of the product must pass every check of the suite.
func TestFourthVendorConforms(t *testing.T) {
	s := fourthSuite()
	for _, missing := range s.missingParts() {
		if strings.Contains(missing, fourthvendor.Name) {
			t.Error(missing)
		}
	}
	s.onlyFourth().checkAll(t)
}

// A vendor that has a configured token, refuses nothing temporarily and names no item of a refused
// batch must pass the other checks.
func TestVendorWithoutOptionalPartsConforms(t *testing.T) {
	s := fourthSuite()
	f := s.fixtures[fourthvendor.Name]
	f.loginOperation, f.delayItem, f.nameItem = "", sandbox.Action{}, nil
	addPage := func(opts *sandbox.Options) {
		opts.AdditionalPages = append(opts.AdditionalPages, fourthvendor.PageWithConfiguredToken())
	}
	f.configureSandbox, s.samples[len(s.samples)-1].ConfigureSandbox = addPage, addPage
	s.onlyFourth().checkOperations(t)
}

// onlyFourth returns the suite with the fixture of the fourth vendor alone, because those of the
// product have their own tests.
func (s suite) onlyFourth() suite {
	return suite{
		vendors: pipeline.Vendors{fourthvendor.Name: s.vendors[fourthvendor.Name]},
		samples: slices.DeleteFunc(slices.Clone(s.samples),
			func(v sample.Vendor) bool { return v.Name != fourthvendor.Name }),
		fixtures: map[string]*vendorFixture{fourthvendor.Name: s.fixtures[fourthvendor.Name]},
		testdata: fourthvendor.Testdata,
	}
}

// checkAll runs every check that runs over the fixtures.
func (s suite) checkAll(t *testing.T) {
	for name, run := range map[string]func(*testing.T){
		"operations": s.checkOperations, "caps": s.checkDocumentedCaps, "amounts": s.checkAmounts,
		"instants":      s.checkInstants,
		"schema fields": s.checkSchemaFields, "sent fields": s.checkSentFields, "sharing": s.checkSharing,
		"valid events": s.checkValidEvents, "full events": s.checkFullEvents,
		"flaws": s.checkEachFlaw, "invalid events": s.checkInvalidEvents,
	} {
		t.Run(name, run)
	}
}

// Each row forgets one part of the fourth vendor.
func TestForgottenPartsOfTheFourthVendorAreReported(t *testing.T) {
	for _, test := range []struct {
		name   string
		forget func(s *suite)
		want   string
	}{
		{
			"fixture", func(s *suite) { delete(s.fixtures, fourthvendor.Name) },
			"vendor stampcard has no conformance fixture: add one to productSuite",
		},
		{
			"samples and page", func(s *suite) { s.samples = sample.BuiltinVendors() },
			"vendor stampcard has no samples: add it to BuiltinVendors in internal/demo/sample/vendors.go",
		},
		{
			"page", func(s *suite) {
				s.samples[len(s.samples)-1].ConfigureSandbox, s.samples[len(s.samples)-1].Rules = nil, nil
			},
			"the sandbox does not play operation stampcard.stamps: add its page to BuiltinPages",
		},
		{
			"samples of an event",
			func(s *suite) { delete(s.samples[len(s.samples)-1].Samplers, "sluice.stampcard.Cancellation") },
			"operation stampcard.cancellations has no samples: add event sluice.stampcard.Cancellation",
		},
		{
			"operation", func(s *suite) {
				f := s.fixtures[fourthvendor.Name]
				f.operations = slices.Delete(f.operations, 1, 2)
			},
			"operation stampcard.cancellations has no conformance fixture: add it",
		},
		{
			"list of fields", func(s *suite) { s.fixtures[fourthvendor.Name].pages = nil },
			"operation stampcard.stamps has no list of its page's fields: add one",
		},
		{
			"page of the fixture", func(s *suite) { s.fixtures[fourthvendor.Name].configureSandbox = nil },
			"the suite's sandbox does not play operation stampcard.stamps: add its page",
		},
		{
			"refused item of the fixture",
			func(s *suite) { s.fixtures[fourthvendor.Name].rejectItem = sandbox.Action{} },
			"the conformance fixture of operation stampcard.stamps has no rejectItem: add it",
		},
		{
			"unjudged results of the fixture",
			func(s *suite) { s.fixtures[fourthvendor.Name].unjudgedResults = nil },
			"the conformance fixture of operation stampcard.stamps has no unjudgedResults or alwaysJudged: add it",
		},
		{
			"operation of the sink",
			func(s *suite) { s.fixtures[fourthvendor.Name].operations[1].name = "stampcard.refunds" },
			"there is a conformance fixture for stampcard.refunds, which is no operation: add it",
		},
		{
			"wiring", func(s *suite) { delete(s.vendors, fourthvendor.Name) },
			"there is a conformance fixture for stampcard, which is no vendor: add it to builtinVendors",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fourthSuite()
			test.forget(&s)
			checkReported(t, s, test.want)
		})
	}
}
