package propel

import (
	"strconv"
	"strings"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
)

// customerEncoder writes customers of customers/bulk/sourceId. Absent fields are omitted, because
// the vendor keeps the stored value of a field that is omitted and does not document what null
// means.
type customerEncoder struct {
	*jsonwriter.Writer
	genderCase, ssnType string
}

// encodeCustomer encodes the fields that the vendor's page lists and no others: the vendor rejects
// the whole call if it finds an unknown key (code 10007).
func encodeCustomer(cfg Config, change *event.CustomerChange) (sink.Item, error) {
	e := customerEncoder{Writer: jsonwriter.New(512), genderCase: cfg.GenderCase, ssnType: cfg.SSNType}
	e.BeginObject("")
	e.writeCustomer(change)
	e.EndObject()
	if err := e.Err(); err != nil {
		return sink.Item{}, err
	}
	return sink.Item{
		ID:          change.SourceId,
		Body:        e.Bytes(),
		EnvelopeKey: change.Source,
		EntityKey:   change.Source + "\x00" + canonicalSourceID(change.SourceId),
	}, nil
}

// canonicalSourceID returns the sourceId as the vendor may echo it: a number without its leading
// zeros. Items whose canonical IDs are equal never share a call.
func canonicalSourceID(id string) string {
	if isDigits(id) {
		return strings.TrimLeft(id[:len(id)-1], "0") + id[len(id)-1:]
	}
	return id
}

func (e customerEncoder) writeCustomer(change *event.CustomerChange) {
	e.RequiredText("source", change.Source)
	e.RequiredText("sourceId", change.SourceId)
	e.OptionalText("debtorId", change.DebtorId)
	e.OptionalText("firstName", change.FirstName)
	e.OptionalText("middleName", change.MiddleName)
	e.OptionalText("lastName", change.LastName)
	e.OptionalText("abbreviation", change.Abbreviation)
	e.OptionalText("title", change.Title)
	if change.DateOfBirth != nil {
		e.Time("dateOfBirth", *change.DateOfBirth, time.DateOnly)
	}
	e.writeGender(change.Gender)
	e.writeSSN(change.Ssn)
	e.OptionalText("phone", change.Phone)
	e.writeEmail(change.Email)
	e.writeParent(change.Parent)
	if change.PrimaryLanguage != nil {
		e.writeAlpha2("primaryLanguage", *change.PrimaryLanguage, "ISO 639-1")
	}
	jsonwriter.OptionalObjects(e.Writer, "addresses", change.Addresses, e.writeAddress)
}

func (e customerEncoder) writeGender(gender *string) {
	if gender == nil {
		return
	}
	isLower := e.genderCase == genderLower
	if isLower && (*gender == "M" || *gender == "F" || *gender == "U") {
		e.Text("gender", strings.ToLower(*gender))
		return
	}
	e.OneOf("gender", *gender, "M", "F", "U")
}

func (e customerEncoder) writeSSN(ssn *string) {
	if ssn == nil {
		return
	}
	if e.ssnType == ssnString {
		e.Text("ssn", *ssn)
		return
	}
	number, err := strconv.ParseUint(*ssn, 10, 63)
	if err != nil {
		e.AddViolation("ssn", "must be digits (ssn_type is integer)")
		return
	}
	e.Int("ssn", int64(number))
}

// writeEmail checks the address, because the vendor rejects the whole call for an invalid one. It
// checks only what holds for every valid address, so that none is refused wrongly.
func (e customerEncoder) writeEmail(email *string) {
	if email == nil {
		return
	}
	if !isEmailAddress(*email) {
		e.AddViolation("email", "must be an e-mail address")
	}
	e.Text("email", *email)
}

// isEmailAddress accepts every local part and domain of RFC 5321. White space and a second @ are
// valid only within a quoted local part.
func isEmailAddress(text string) bool {
	const spaces = " \t\n\f\r"
	at := strings.LastIndexByte(text, '@')
	if at < 1 {
		return false
	}
	local, domain := text[:at], text[at+1:]
	isQuoted := len(local) > 2 && local[0] == '"' && local[len(local)-1] == '"'
	if domain == "" || strings.ContainsAny(domain, spaces) {
		return false
	}
	return isQuoted || !strings.ContainsAny(local, spaces+"@")
}

func (e customerEncoder) writeParent(parent *event.PropelParent) {
	if parent == nil {
		return
	}
	byID, bySource := parent.Id != nil, parent.Source != nil || parent.SourceId != nil
	if byID == bySource || bySource && (parent.Source == nil || parent.SourceId == nil) {
		e.AddViolation("parent", "exactly one of id, or source and sourceId together, is allowed")
		return
	}
	e.Key("parent")
	e.BeginObject("parent")
	if byID {
		e.Int("id", *parent.Id)
	} else {
		e.RequiredText("source", *parent.Source)
		e.RequiredText("sourceId", *parent.SourceId)
	}
	e.EndObject()
}

// writeAddress requires a code: the vendor would add an address without one again each time that it
// is sent, and the operation would not be repeatable.
func (e customerEncoder) writeAddress(address *event.PropelAddress) {
	e.OneOf("type", address.Type, "delivery", "invoice")
	e.RequiredText("code", address.Code)
	e.OptionalText("company", address.Company)
	e.OptionalText("firstName", address.FirstName)
	e.OptionalText("middleName", address.MiddleName)
	e.OptionalText("lastName", address.LastName)
	e.OptionalOneOf("gender", address.Gender, "M", "F", "U")
	e.RequiredText("street", address.Street)
	e.OptionalText("number", address.Number)
	e.OptionalText("numberExtension", address.NumberExtension)
	e.OptionalText("postalCode", address.PostalCode)
	e.RequiredText("city", address.City)
	e.OptionalText("region", address.Region)
	e.writeAlpha2("country", address.Country, "ISO 3166-1 alpha-2")
	e.OptionalOneOf("icp", address.Icp, "Y", "N")
	e.OptionalText("phone", address.Phone)
	e.OptionalText("mobile", address.Mobile)
	e.OptionalText("email", address.Email)
	e.OptionalText("url", address.Url)
	e.OptionalText("notes", address.Notes)
	e.OptionalOneOf("isDefault", address.IsDefault, "Y", "N")
}

// writeAlpha2 writes a two-letter code of the standard in upper case, as in the vendor's examples.
func (e customerEncoder) writeAlpha2(name, code, standard string) {
	if len(code) != 2 || !isLetter(code[0]) || !isLetter(code[1]) {
		e.AddViolation(name, "must be two letters ("+standard+")")
		return
	}
	e.Text(name, strings.ToUpper(code))
}

func isLetter(c byte) bool { return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' }

func isDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}
