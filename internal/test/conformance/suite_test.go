// Package conformance runs one test suite over every operation of every vendor, against the
// sandbox. It checks what one call may contain, the response for each way in which a vendor can
// respond, which events are refused before any call, and that every field of the vendors' pages is
// sent.
//
// What the suite needs to know about a vendor is in one fixture, in a file with the vendor's name.
package conformance

import (
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/pipeline"
	"sluice/internal/sink"
)

// suite has the vendors that the tests run over: their registration with the connector, their
// samples, and their fixtures.
type suite struct {
	vendors  pipeline.Vendors
	samples  []sample.Vendor
	fixtures map[string]*vendorFixture
	// testdata contains the lists of fields and the exceptions, in directory testdata.
	testdata fs.FS
}

// productSuite returns the suite for the vendors of the product. To add a vendor, add its fixture
// here.
func productSuite() suite {
	return suite{
		vendors: pipeline.BuiltinVendors(),
		samples: sample.BuiltinVendors(),
		fixtures: map[string]*vendorFixture{
			"crmcom":   crmcomFixture(),
			"expoints": expointsFixture(),
			"propel":   propelFixture(),
		},
		testdata: productTestdata,
	}
}

// vendorFixture is what the suite needs to know about one vendor.
type vendorFixture struct {
	operations []operationFixture
	// loginOperation is the sandbox's name, within the vendor, of the operation that issues tokens.
	// Empty means that an account's token is configured, so that nothing can replace it.
	loginOperation string
	// apiBase is the part of an endpoint's path that the vendor's documentation omits.
	apiBase string
	// configureSandbox sets the data of the vendor's page, or adds the page. It may be nil.
	configureSandbox func(*sandbox.Options)
	// accountSettings are settings of the account in addition to those of its page.
	accountSettings string
	// zoneSetting is the setting of the account's time zone, or "" if there is none.
	zoneSetting string

	// identityOf returns the ID of item i in the sandbox's ledger.
	identityOf func(i int) string
	// instantText returns the form in which an instant is sent. It is nil for a vendor that accepts
	// only dates; dateText is then the form in which the date of newEvent's events is sent. A
	// vendor whose events have no times has neither.
	instantText func(c instantCase) string
	dateText    string

	// responses are the cases in which the vendor's response body determines the class of a call.
	responses []responseCase
	// rejectItem and delayItem make the sandbox refuse an item permanently and temporarily. The
	// zero delayItem means that the vendor refuses nothing temporarily.
	rejectItem, delayItem sandbox.Action
	// nameItem returns the action that makes the sandbox refuse a whole batch and name item i.
	// byRule reports whether the rule must select the item; otherwise the action's text names it.
	// nil means that the vendor names no items.
	nameItem func(o operationFixture, i int) (action sandbox.Action, byRule bool)

	// unjudgedResults returns the body of a 200 response to an operation that has a result for each
	// of the items with these marks, but does not state whether the items were accepted.
	// alwaysJudged means that every result of the vendor states it. A vendor with item results
	// needs one of the two.
	unjudgedResults func(operation string, marks []string) string
	alwaysJudged    bool

	// pages are the lists of fields of the vendor's pages in testdata/, by file name. They were
	// derived from the pages and not from the schemas.
	pages map[string][]pageSection
	// everyField are the settings that make an account send every field of the pages.
	everyField string
	// sentNames replaces names used on the pages with those used in requests.
	sentNames *strings.Replacer
	// neverSent are the fields of the pages that no request contains, for reasons stated in
	// exceptions.txt.
	neverSent []string

	events eventRules
}

// operationFixture is what the suite needs to know about one operation.
type operationFixture struct {
	// name is the full name, such as "crmcom.purchases".
	name string
	// newEvent returns a valid event that is different for each number.
	newEvent func(i int) any
	// endpoint is the path of the calls.
	endpoint string
	// maxItems is the vendor's limit on the number of items in one call.
	maxItems int
	// itemResults means that the vendor returns a result for each item, namedRefusals that it names
	// the items for which it refuses a batch. Without either it only accepts or refuses the call.
	itemResults, namedRefusals bool
	// markField is the field by which the sandbox's rules tell items apart, and markOf returns its
	// value in item i.
	markField string
	markOf    func(i int) string
	// amounts is the number of amounts in an event that newEvent returns.
	amounts int
	// sharing has pairs of events that may or may not be in the same call.
	sharing []sharingCase

	vendor *vendorFixture
}

// vendorName returns the part of the operation's name before the dot.
func (o operationFixture) vendorName() string { return o.name[:strings.IndexByte(o.name, '.')] }

// loginName returns the full name of the operation with which the vendor issues tokens.
func (o operationFixture) loginName() string { return o.vendorName() + "." + o.vendor.loginOperation }

// eventRules are the rules of a vendor's documentation for its events. From them the suite draws
// valid events and derives flaws.
type eventRules struct {
	// stringRules are the rules for strings, by record and field. Other strings are unrestricted.
	stringRules map[string]stringRule
	// requiredLists are the lists that must not be empty, by record and field.
	requiredLists map[string]bool
	// drawRecord draws a record whose fields depend on each other, and reports whether it did.
	// finishRecord adjusts a record whose fields were drawn, and finishEvent the whole event. Each
	// may be nil.
	drawRecord   func(d drawer, v reflect.Value) bool
	finishRecord func(d drawer, v reflect.Value)
	finishEvent  func(d drawer, ev any)
	// recordFlaws adds the flaws of a record as a whole, and reports whether its fields have no
	// flaws of their own. eventFlaws adds those of the whole event. Each may be nil.
	recordFlaws func(c *flawCollector, v reflect.Value, path string) (done bool)
	eventFlaws  func(c *flawCollector, ev any)
	// makeUnique changes the values that the vendor accepts only once. It may be nil.
	makeUnique func(ev any)
}

// operations returns the fixtures of all operations, by vendor.
func (s suite) operations() []operationFixture {
	var all []operationFixture
	for _, name := range slices.Sorted(maps.Keys(s.fixtures)) {
		fixture := s.fixtures[name]
		for _, operation := range fixture.operations {
			operation.vendor = fixture
			all = append(all, operation)
		}
	}
	return all
}

// partsReport collects what a suite lacks.
type partsReport struct{ missing []string }

func (r *partsReport) add(format string, args ...any) {
	r.missing = append(r.missing, fmt.Sprintf(format, args...))
}

// missingParts returns what the suite's vendors lack, each with the place to add it.
func (s suite) missingParts() []string {
	report := &partsReport{}
	options, err := sample.SandboxOptionsFor(s.samples)
	if err != nil {
		report.add("the sandbox of the samples cannot be configured: %v", err)
	}
	played := sandbox.Operations(options.AdditionalPages...)
	for _, name := range slices.Sorted(maps.Keys(s.vendors)) {
		s.reportVendor(report, name, played)
	}
	s.reportFixtureOperations(report)
	const wiring = "which is no vendor: add it to builtinVendors in internal/pipeline/vendors.go"
	for name := range s.fixtures {
		if _, ok := s.vendors[name]; !ok {
			report.add("there is a conformance fixture for %s, %s", name, wiring)
		}
	}
	for _, samples := range s.samples {
		if _, ok := s.vendors[string(samples.Name)]; !ok {
			report.add("there are samples for %s, %s", samples.Name, wiring)
		}
	}
	return report.missing
}

// reportVendor reports what a vendor lacks. played are the operations of the sandbox.
func (s suite) reportVendor(report *partsReport, name string, played []string) {
	samples, ok := s.findSamples(name)
	if !ok {
		report.add("vendor %s has no samples: add it to BuiltinVendors in internal/demo/sample/vendors.go", name)
	}
	fixture := s.fixtures[name]
	if fixture == nil {
		report.add("vendor %s has no conformance fixture: "+
			"add one to productSuite in internal/test/conformance/suite_test.go", name)
	}
	specs := s.vendors[name].Specs()
	if len(specs) == 0 {
		report.add("vendor %s has no operations: add them to its Specs", name)
	}
	for _, spec := range specs {
		operation := name + "." + spec.Name
		if !slices.Contains(played, operation) {
			report.add("the sandbox does not play operation %s: "+
				"add its page to BuiltinPages in internal/demo/sandbox/vendors.go", operation)
		}
		if _, ok := samples.Samplers[spec.Event]; !ok {
			report.add("operation %s has no samples: "+
				"add event %s to the samplers of the vendor in internal/demo/sample", operation, spec.Event)
		}
		if fixture != nil {
			reportFixture(report, fixture, operation, spec)
		}
	}
}

// reportFixtureOperations reports the operations of fixtures that no test can run: those that the
// vendor does not have, or that the harness's sandbox does not play.
func (s suite) reportFixtureOperations(report *partsReport) {
	played := sandbox.Operations(s.sandboxOptions().AdditionalPages...)
	for _, o := range s.operations() {
		vendor, ok := s.vendors[o.vendorName()]
		if !ok {
			continue // missingParts reports the vendor
		}
		hasName := func(spec sink.OperationSpec) bool { return o.vendorName()+"."+spec.Name == o.name }
		if !slices.ContainsFunc(vendor.Specs(), hasName) {
			report.add("there is a conformance fixture for %s, which is no operation: add it to the vendor's Specs", o.name)
		}
		if !slices.Contains(played, o.name) {
			report.add("the suite's sandbox does not play operation %s: "+
				"add its page to BuiltinPages in internal/demo/sandbox/vendors.go, or set configureSandbox", o.name)
		}
	}
}

// sandboxOptions returns the options of a sandbox that is configured by the fixtures.
func (s suite) sandboxOptions() sandbox.Options {
	var options sandbox.Options
	for _, fixture := range s.fixtures {
		if fixture.configureSandbox != nil {
			fixture.configureSandbox(&options)
		}
	}
	return options
}

// requireParts stops the test if the suite's vendors lack parts, and names them. Without it, a test
// would panic at the first part that it needs.
func (s suite) requireParts(t testing.TB) {
	t.Helper()
	missing := s.missingParts()
	for _, part := range missing {
		t.Error(part)
	}
	if len(missing) > 0 {
		t.FailNow()
	}
}

func (s suite) findSamples(vendor string) (sample.Vendor, bool) {
	for _, v := range s.samples {
		if string(v.Name) == vendor {
			return v, true
		}
	}
	return sample.Vendor{}, false
}

// reportFixture reports what a vendor's fixture lacks for an operation.
func reportFixture(report *partsReport, fixture *vendorFixture, operation string, spec sink.OperationSpec) {
	hasName := func(o operationFixture) bool { return o.name == operation }
	if i := slices.IndexFunc(fixture.operations, hasName); i >= 0 {
		reportFields(report, fixture, fixture.operations[i])
	} else {
		report.add("operation %s has no conformance fixture: add it to the operations of the vendor's fixture", operation)
	}
	isListed := func(section pageSection) bool {
		return section.operation == spec.Name && "sluice."+section.event == spec.Event
	}
	for _, sections := range fixture.pages {
		if slices.ContainsFunc(sections, isListed) {
			return
		}
	}
	report.add("operation %s has no list of its page's fields: "+
		"add one to the vendor's fixture and to internal/test/conformance/testdata", operation)
}

// reportFields reports the mandatory fields that an operation's fixture leaves unset.
func reportFields(report *partsReport, fixture *vendorFixture, o operationFixture) {
	isUnset := map[string]bool{
		"newEvent": o.newEvent == nil, "endpoint": o.endpoint == "", "maxItems": o.maxItems == 0,
		"markField": o.markField == "", "markOf": o.markOf == nil, "identityOf": fixture.identityOf == nil,
		"rejectItem":                      o.itemResults && fixture.rejectItem.Fault == "",
		"unjudgedResults or alwaysJudged": o.itemResults && fixture.unjudgedResults == nil && !fixture.alwaysJudged,
	}
	for _, field := range slices.Sorted(maps.Keys(isUnset)) {
		if isUnset[field] {
			report.add("the conformance fixture of operation %s has no %s: add it", o.name, field)
		}
	}
}

func TestEveryVendorIsComplete(t *testing.T) {
	s := productSuite()
	for _, missing := range s.missingParts() {
		t.Error(missing)
	}
	specs := 0
	for _, vendor := range s.vendors {
		specs += len(vendor.Specs())
	}
	if got := len(s.operations()); got != specs || specs == 0 {
		t.Errorf("got fixtures for %d operations, want one for each of the vendors' %d", got, specs)
	}
}

// A vendor that is registered with the connector alone must not appear to be tested.
func TestMissingPartsOfAVendorAreReported(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(productSuite().fixtures)) {
		t.Run(name, func(t *testing.T) {
			noFixture, noSamples, noOperation, noVendor := productSuite(), productSuite(), productSuite(), productSuite()
			delete(noFixture.fixtures, name)
			checkReported(t, noFixture, "vendor "+name+" has no conformance fixture")
			noSamples.samples = slices.DeleteFunc(noSamples.samples,
				func(v sample.Vendor) bool { return string(v.Name) == name })
			checkReported(t, noSamples, "vendor "+name+" has no samples")
			dropped := noOperation.fixtures[name].operations[0].name
			noOperation.fixtures[name].operations = noOperation.fixtures[name].operations[1:]
			checkReported(t, noOperation, "operation "+dropped+" has no conformance fixture")
			delete(noVendor.vendors, name)
			checkReported(t, noVendor, "there is a conformance fixture for "+name+", which is no vendor")
			noPages := productSuite()
			noPages.fixtures[name].pages = nil
			checkReported(t, noPages, "has no list of its page's fields")
		})
	}
}

func checkReported(t *testing.T, s suite, want string) {
	t.Helper()
	missing := s.missingParts()
	if !slices.ContainsFunc(missing,
		func(m string) bool { return strings.Contains(m, want) && strings.Contains(m, "add ") }) {
		t.Errorf("got %q, want one that contains %q and names what to add", missing, want)
	}
}
