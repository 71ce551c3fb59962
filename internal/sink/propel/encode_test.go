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

// fullCustomerChange returns an event with every field that section Fields of the vendor's page
// "Bulk Customers by source id" lists, those of addresses included.
func fullCustomerChange() *event.CustomerChange {
	born := time.Date(1987, 6, 5, 0, 0, 0, 0, time.UTC)
	return &event.CustomerChange{
		EventId: new("not sent"), Source: "MBC", SourceId: "3002196", DebtorId: new("D1"),
		FirstName: new("Jane"), MiddleName: new("van"), LastName: new(`"Doe"`), Abbreviation: new("J."), Title: new("Dr"),
		DateOfBirth: &born, Gender: new("F"), Ssn: new("012"), Phone: new("1"), Email: new("jane@example.org"),
		Parent: &event.PropelParent{Id: new(int64(7))}, PrimaryLanguage: new("nl"),
		Addresses: []event.PropelAddress{{
			Type: "invoice", Code: "A1", Company: new("C"), FirstName: new("F"), MiddleName: new("M"), LastName: new("L"),
			Gender: new("U"), Street: "S", Number: new("1"), NumberExtension: new("a"), PostalCode: new("P"), City: "C",
			Region: new("R"), Country: "nl", Icp: new("N"), Phone: new("2"), Mobile: new("3"), Email: new("e@example.org"),
			Url: new("u"), Notes: new("n"), IsDefault: new("Y"),
		}, {Type: "delivery", Code: "A2", Street: "S", City: "C", Country: "BE"}},
	}
}

const fullCustomerJSON = `{"source":"MBC","sourceId":"3002196","debtorId":"D1","firstName":"Jane","middleName":"van",
	"lastName":"\"Doe\"","abbreviation":"J.","title":"Dr","dateOfBirth":"1987-06-05","gender":"F","ssn":"012",
	"phone":"1","email":"jane@example.org","parent":{"id":7},"primaryLanguage":"NL",
	"addresses":[{"type":"invoice","code":"A1","company":"C","firstName":"F","middleName":"M","lastName":"L",
	"gender":"U","street":"S","number":"1","numberExtension":"a","postalCode":"P","city":"C","region":"R",
	"country":"NL","icp":"N",
	"phone":"2","mobile":"3","email":"e@example.org","url":"u","notes":"n","isDefault":"Y"},
	{"type":"delivery","code":"A2","street":"S","city":"C","country":"BE"}]}`

func TestEveryFieldIsEncodedUnderItsName(t *testing.T) {
	item := mustEncode(t, openOperation(t, newFakeVendor(t).accountConfig()), fullCustomerChange())
	wantEqual(t, decodeObject(t, item.Body), decodeObject(t, []byte(fullCustomerJSON)))
	if item.ID != "3002196" || item.EnvelopeKey != "MBC" {
		t.Errorf("got ID %q and envelope key %q, want 3002196 and MBC", item.ID, item.EnvelopeKey)
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
	change := newCustomerChange("MBC", "1")
	change.Gender, change.Ssn = new("F"), new("012")
	change.Parent = &event.PropelParent{Source: new("MBC"), SourceId: new("9")}
	item := mustEncode(t, openOperation(t, cfg), change)
	const want = `{"source":"MBC","sourceId":"1","gender":"f","ssn":12,"parent":{"source":"MBC","sourceId":"9"}}`
	if got := string(item.Body); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEveryViolationIsReportedWithItsPath(t *testing.T) {
	const exactlyOne = "exactly one of id, or source and sourceId together, is allowed"
	year12000 := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	address := func(change func(*event.PropelAddress)) func(*event.CustomerChange) {
		return func(e *event.CustomerChange) { change(&e.Addresses[1]) }
	}
	for _, tt := range []struct {
		path, rule string
		change     func(*event.CustomerChange)
	}{
		{"source", "is mandatory", func(e *event.CustomerChange) { e.Source = "" }},
		{"sourceId", "is mandatory", func(e *event.CustomerChange) { e.SourceId = "" }},
		{"sourceId", "must be valid UTF-8", func(e *event.CustomerChange) { e.SourceId = "\xff" }},
		{"dateOfBirth", "must be in the years 1 to 9999", func(e *event.CustomerChange) { e.DateOfBirth = &year12000 }},
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
		{"primaryLanguage", "must be two letters (ISO 639-1)", func(e *event.CustomerChange) {
			e.PrimaryLanguage = new("dut")
		}},
		{"addresses[1].type", "must be one of delivery, invoice", address(func(a *event.PropelAddress) { a.Type = "" })},
		{"addresses[1].code", "is mandatory", address(func(a *event.PropelAddress) { a.Code = "" })},
		{"addresses[1].gender", "must be one of M, F, U", address(func(a *event.PropelAddress) { a.Gender = new("x") })},
		{"addresses[1].street", "is mandatory", address(func(a *event.PropelAddress) { a.Street = "" })},
		{"addresses[1].city", "is mandatory", address(func(a *event.PropelAddress) { a.City = "" })},
		{"addresses[1].country", "must be two letters (ISO 3166-1 alpha-2)", address(func(a *event.PropelAddress) {
			a.Country = "NLD"
		})},
		{"addresses[1].icp", "must be one of Y, N", address(func(a *event.PropelAddress) { a.Icp = new("true") })},
		{"addresses[1].isDefault", "must be one of Y, N", address(func(a *event.PropelAddress) {
			a.IsDefault = new("")
		})},
	} {
		change := fullCustomerChange()
		tt.change(change)
		_, err := encodeCustomer(Default(), change)
		wantViolations(t, err, sink.Violation{Path: tt.path, Rule: tt.rule})
	}
	change := fullCustomerChange()
	change.Source, change.Addresses[0].City, change.PrimaryLanguage = "", "", new("")
	_, err := encodeCustomer(Default(), change)
	wantViolations(t, err,
		sink.Violation{Path: "source", Rule: "is mandatory"},
		sink.Violation{Path: "primaryLanguage", Rule: "must be two letters (ISO 639-1)"},
		sink.Violation{Path: "addresses[0].city", Rule: "is mandatory"})
}

func TestSSNAsIntegerAcceptsOnlyDigits(t *testing.T) {
	cfg := Default()
	cfg.SSNType = "integer"
	for _, ssn := range []string{"", "-1", "12a", "1.0", "99999999999999999999"} {
		change := newCustomerChange("MBC", "1")
		change.Ssn = &ssn
		_, err := encodeCustomer(cfg, change)
		wantViolations(t, err, sink.Violation{Path: "ssn", Rule: "must be digits (ssn_type is integer)"})
	}
}

func wantViolations(t *testing.T, err error, want ...sink.Violation) {
	t.Helper()
	var validation *sink.ValidationError
	if !errors.As(err, &validation) {
		t.Fatalf("got error %v, want violations %v", err, want)
	}
	wantEqual(t, validation.Violations, want)
}

// The vendor echoes only the sourceId, possibly as a number. Items whose echoes may be equal must
// not share a call.
func TestEntityKeySeparatesIDsThatResponsesMayConfuse(t *testing.T) {
	entityKey := func(source, id string) string {
		item, err := encodeCustomer(Default(), newCustomerChange(source, id))
		if err != nil {
			t.Fatal(err)
		}
		return item.EntityKey
	}
	for _, ids := range [][2]string{{"7", "7"}, {"7", "007"}, {"0", "00"}} {
		if entityKey("MBC", ids[0]) != entityKey("MBC", ids[1]) {
			t.Errorf("got different entity keys for %q and %q, want the same", ids[0], ids[1])
		}
	}
	for _, ids := range [][2]string{{"7", "70"}, {"K7", "K07"}, {"0", "10"}} {
		if entityKey("MBC", ids[0]) == entityKey("MBC", ids[1]) {
			t.Errorf("got the same entity key for %q and %q, want different ones", ids[0], ids[1])
		}
	}
	if entityKey("A", "BC") == entityKey("AB", "C") {
		t.Error("got the same entity key for A BC and AB C, want different ones")
	}
}

func TestAnyTextBecomesValidJSON(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		anyBytes := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
		text := rapid.OneOf(rapid.String(), anyBytes).Draw(r, "text")
		id := rapid.StringN(1, -1, -1).Draw(r, "id")
		change := newCustomerChange("MBC", id)
		change.LastName = &text
		change.Addresses = []event.PropelAddress{{Type: "invoice", Code: "c" + text, Street: "s", City: "c", Country: "NL"}}
		item, err := encodeCustomer(Default(), change)
		if !utf8.ValidString(text) { // it cannot be sent unchanged
			if !errors.As(err, new(*sink.ValidationError)) {
				r.Fatalf("text %q: got error %v, want a ValidationError", text, err)
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
			r.Fatalf("sourceId %q and lastName %q: decoded %+v", id, text, got)
		}
	})
}

func TestEncodeRejectsAnotherEventType(t *testing.T) {
	op := openOperation(t, newFakeVendor(t).accountConfig())
	if _, err := op.Encode(t.Context(), &event.FeedbackLock{}, sink.Origin{}); err == nil {
		t.Error("got no error for an Expoints event, want one")
	}
}

func BenchmarkEncode(b *testing.B) {
	cfg, change := Default(), fullCustomerChange()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeCustomer(cfg, change); err != nil {
			b.Fatal(err)
		}
	}
}
