package propel

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// fullCustomerChange has each field of the page "Bulk Customers by source id", section Fields, and of its addresses.
func fullCustomerChange() *event.CustomerChange {
	born := time.Date(1987, 6, 5, 0, 0, 0, 0, time.UTC)
	return &event.CustomerChange{
		EventId: new("not sent"), Source: "MBC", SourceId: "3002196", DebtorId: new("D1"), FirstName: new("Jane"), MiddleName: new("van"),
		LastName: new(`"Doe"`), Abbreviation: new("J."), Title: new("Dr"), DateOfBirth: &born, Gender: new("F"), Ssn: new("012"),
		Phone: new("1"), Email: new("jane@example.org"), Parent: &event.PropelParent{Id: new(int64(7))}, PrimaryLanguage: new("nl"),
		Addresses: []event.PropelAddress{{
			Type: "invoice", Code: "A1", Company: new("C"), FirstName: new("F"), MiddleName: new("M"), LastName: new("L"), Gender: new("U"),
			Street: "S", Number: new("1"), NumberExtension: new("a"), PostalCode: new("P"), City: "C", Region: new("R"), Country: "nl", Icp: new("N"),
			Phone: new("2"), Mobile: new("3"), Email: new("e@example.org"), Url: new("u"), Notes: new("n"), IsDefault: new("Y"),
		}, {Type: "delivery", Code: "A2", Street: "S", City: "C", Country: "BE"}},
	}
}

const fullCustomerJSON = `{"source":"MBC","sourceId":"3002196","debtorId":"D1","firstName":"Jane","middleName":"van",
	"lastName":"\"Doe\"","abbreviation":"J.","title":"Dr","dateOfBirth":"1987-06-05","gender":"F","ssn":"012",
	"phone":"1","email":"jane@example.org","parent":{"id":7},"primaryLanguage":"NL",
	"addresses":[{"type":"invoice","code":"A1","company":"C","firstName":"F","middleName":"M","lastName":"L","gender":"U",
	"street":"S","number":"1","numberExtension":"a","postalCode":"P","city":"C","region":"R","country":"NL","icp":"N",
	"phone":"2","mobile":"3","email":"e@example.org","url":"u","notes":"n","isDefault":"Y"},
	{"type":"delivery","code":"A2","street":"S","city":"C","country":"BE"}]}`

func TestEveryFieldIsEncodedUnderItsName(t *testing.T) {
	item := mustEncode(t, openOperation(t, newFakeVendor(t).accountConfig()), fullCustomerChange())
	wantEqual(t, decodeObject(t, item.Body), decodeObject(t, []byte(fullCustomerJSON)))
	if item.ID != "3002196" || item.EnvelopeKey != "MBC" {
		t.Errorf("got ID %q, Group %q", item.ID, item.EnvelopeKey)
	}
}

func TestAbsentFieldsAreOmitted(t *testing.T) {
	item := mustEncode(t, openOperation(t, newFakeVendor(t).accountConfig()), newCustomerChange("MBC", "1"))
	if got, want := string(item.Body), `{"source":"MBC","sourceId":"1"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSpellingsFollowTheConfiguration(t *testing.T) {
	cfg := newFakeVendor(t).accountConfig()
	cfg.GenderCase, cfg.SSNType = "lower", "integer"
	e := newCustomerChange("MBC", "1")
	e.Gender, e.Ssn, e.Parent = new("F"), new("012"), &event.PropelParent{Source: new("MBC"), SourceId: new("9")}
	item := mustEncode(t, openOperation(t, cfg), e)
	if got, want := string(item.Body), `{"source":"MBC","sourceId":"1","gender":"f","ssn":12,"parent":{"source":"MBC","sourceId":"9"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEveryViolationIsReportedWithItsPath(t *testing.T) {
	const exactlyOne = "exactly one of id, or source and sourceId together, is allowed"
	far := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	address := func(f func(*event.PropelAddress)) func(*event.CustomerChange) {
		return func(e *event.CustomerChange) { f(&e.Addresses[1]) }
	}
	for _, tt := range []struct {
		path, rule string
		change     func(*event.CustomerChange)
	}{
		{"source", "is mandatory", func(e *event.CustomerChange) { e.Source = "" }},
		{"sourceId", "is mandatory", func(e *event.CustomerChange) { e.SourceId = "" }},
		{"sourceId", "must be valid UTF-8", func(e *event.CustomerChange) { e.SourceId = "\xff" }},
		{"dateOfBirth", "must lie in the years 1 to 9999", func(e *event.CustomerChange) { e.DateOfBirth = &far }},
		{"gender", "must be one of M, F, U", func(e *event.CustomerChange) { e.Gender = new("f") }},
		{"email", "must be an e-mail address", func(e *event.CustomerChange) { e.Email = new("") }},
		{"email", "must be an e-mail address", func(e *event.CustomerChange) { e.Email = new("@x") }},
		{"email", "must be an e-mail address", func(e *event.CustomerChange) { e.Email = new("x@") }},
		{"email", "must be an e-mail address", func(e *event.CustomerChange) { e.Email = new("two words@x") }},
		{"email", "must be an e-mail address", func(e *event.CustomerChange) { e.Email = new("x@y@z") }},
		{"email", "must be an e-mail address", func(e *event.CustomerChange) { e.Email = new("x@y ") }},
		{"parent", exactlyOne, func(e *event.CustomerChange) { e.Parent = &event.PropelParent{} }},
		{"parent", exactlyOne, func(e *event.CustomerChange) { e.Parent.Source = new("s") }},
		{"parent", exactlyOne, func(e *event.CustomerChange) { e.Parent = &event.PropelParent{SourceId: new("s")} }},
		{"parent.source", "is mandatory", func(e *event.CustomerChange) {
			e.Parent = &event.PropelParent{Source: new(""), SourceId: new("s")}
		}},
		{"primaryLanguage", "must be two letters (ISO 639-1)", func(e *event.CustomerChange) { e.PrimaryLanguage = new("dut") }},
		{"addresses[1].type", "must be one of delivery, invoice", address(func(a *event.PropelAddress) { a.Type = "" })},
		{"addresses[1].code", "is mandatory", address(func(a *event.PropelAddress) { a.Code = "" })},
		{"addresses[1].gender", "must be one of M, F, U", address(func(a *event.PropelAddress) { a.Gender = new("x") })},
		{"addresses[1].street", "is mandatory", address(func(a *event.PropelAddress) { a.Street = "" })},
		{"addresses[1].city", "is mandatory", address(func(a *event.PropelAddress) { a.City = "" })},
		{"addresses[1].country", "must be two letters (ISO 3166-1 alpha-2)", address(func(a *event.PropelAddress) { a.Country = "NLD" })},
		{"addresses[1].icp", "must be one of Y, N", address(func(a *event.PropelAddress) { a.Icp = new("true") })},
		{"addresses[1].isDefault", "must be one of Y, N", address(func(a *event.PropelAddress) { a.IsDefault = new("") })},
	} {
		e := fullCustomerChange()
		tt.change(e)
		_, err := encodeCustomer(Default(), e)
		wantViolations(t, err, sink.Violation{Path: tt.path, Rule: tt.rule})
	}
	e := fullCustomerChange()
	e.Source, e.Addresses[0].City, e.PrimaryLanguage = "", "", new("")
	_, err := encodeCustomer(Default(), e)
	wantViolations(t, err, sink.Violation{Path: "source", Rule: "is mandatory"},
		sink.Violation{Path: "primaryLanguage", Rule: "must be two letters (ISO 639-1)"}, sink.Violation{Path: "addresses[0].city", Rule: "is mandatory"})
}

func TestSSNAsIntegerAcceptsOnlyDigits(t *testing.T) {
	cfg := Default()
	cfg.SSNType = "integer"
	for _, v := range []string{"", "-1", "12a", "1.0", "99999999999999999999"} {
		e := newCustomerChange("MBC", "1")
		e.Ssn = &v
		_, err := encodeCustomer(cfg, e)
		wantViolations(t, err, sink.Violation{Path: "ssn", Rule: "must be digits (ssn_type is integer)"})
	}
}

func wantViolations(t *testing.T, err error, want ...sink.Violation) {
	t.Helper()
	var invalid *sink.ValidationError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want %v", err, want)
	}
	wantEqual(t, invalid.Violations, want)
}

// The vendor echoes the sourceId alone, perhaps as a number: what could be mistaken for one another must not share a call.
func TestEntityKeySeparatesIDsThatResponsesMayConfuse(t *testing.T) {
	entity := func(source, id string) string {
		item, err := encodeCustomer(Default(), newCustomerChange(source, id))
		if err != nil {
			t.Fatal(err)
		}
		return item.EntityKey
	}
	for _, same := range [][2]string{{"7", "7"}, {"7", "007"}, {"0", "00"}} {
		if entity("MBC", same[0]) != entity("MBC", same[1]) {
			t.Errorf("%q may share a call with %q", same[0], same[1])
		}
	}
	for _, other := range [][2]string{{"7", "70"}, {"K7", "K07"}, {"0", "10"}} {
		if entity("MBC", other[0]) == entity("MBC", other[1]) {
			t.Errorf("%q is taken for %q", other[0], other[1])
		}
	}
	if entity("A", "BC") == entity("AB", "C") {
		t.Error("source and sourceId run into each other")
	}
}

func TestAnyTextBecomesValidJSON(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(r, "text")
		id := rapid.StringN(1, -1, -1).Draw(r, "id")
		e := newCustomerChange("MBC", id)
		e.LastName = &text
		e.Addresses = []event.PropelAddress{{Type: "invoice", Code: "c" + text, Street: "s", City: "c", Country: "NL"}}
		item, err := encodeCustomer(Default(), e)
		if !utf8.ValidString(text) {
			if !errors.As(err, new(*sink.ValidationError)) {
				r.Fatalf("%q: %v, want it to be invalid, for it cannot be sent unchanged", text, err)
			}
			return
		}
		if err != nil {
			r.Fatal(err)
		}
		var got struct{ SourceID, LastName string }
		if err := json.Unmarshal(item.Body, &got); err != nil {
			r.Fatalf("%v: %s", err, item.Body)
		}
		if got.SourceID != id || got.LastName != text {
			r.Fatalf("%q, %q came out as %+v", id, text, got)
		}
	})
}

func TestEncodeRejectsAnotherEventType(t *testing.T) {
	if _, err := openOperation(t, newFakeVendor(t).accountConfig()).Encode(t.Context(), &event.FeedbackLock{}, sink.Origin{}); err == nil {
		t.Error("customers took an event of Expoints")
	}
}

func BenchmarkEncode(b *testing.B) {
	cfg, e := Default(), fullCustomerChange()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeCustomer(cfg, e); err != nil {
			b.Fatal(err)
		}
	}
}
