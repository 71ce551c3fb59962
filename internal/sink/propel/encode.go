package propel

import (
	"strconv"
	"strings"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// encodeCustomer makes a customer of customers/bulk/sourceId, with the fields that the page lists
// and no others: a key that the vendor does not know refuses the whole call (10007).
func encodeCustomer(cfg Config, e *event.CustomerChange) (sink.Item, error) {
	w := &writer{b: make([]byte, 0, 512)}
	outer := w.open("")
	w.mandatory("source", e.Source)
	w.mandatory("sourceId", e.SourceId)
	w.optText("debtorId", e.DebtorId)
	w.optText("firstName", e.FirstName)
	w.optText("middleName", e.MiddleName)
	w.optText("lastName", e.LastName)
	w.optText("abbreviation", e.Abbreviation)
	w.optText("title", e.Title)
	w.optDate("dateOfBirth", e.DateOfBirth)
	w.gender(cfg.GenderCase, e.Gender)
	w.ssn(cfg.SSNType, e.Ssn)
	w.optText("phone", e.Phone)
	w.email(e.Email)
	w.parent(e.Parent)
	if e.PrimaryLanguage != nil {
		w.letters("primaryLanguage", *e.PrimaryLanguage, "ISO 639-1")
	}
	w.addresses(e.Addresses)
	w.close(outer)
	if len(w.violations) > 0 {
		return sink.Item{}, &sink.ValidationError{Violations: w.violations}
	}
	return sink.Item{ID: e.SourceId, Body: w.b, EnvelopeKey: e.Source, EntityKey: e.Source + "\x00" + canonicalSourceID(e.SourceId)}, nil
}

// canonicalSourceID is a sourceId as the vendor's echo may spell it: a number without its leading
// zeros. Two that meet in it never share a call.
func canonicalSourceID(id string) string {
	if isDigits(id) {
		return strings.TrimLeft(id[:len(id)-1], "0") + id[len(id)-1:]
	}
	return id
}

func (w *writer) gender(spelling string, v *string) {
	if v == nil {
		return
	}
	if *v != "M" && *v != "F" && *v != "U" {
		w.addViolation("gender", "must be one of M, F, U")
		return
	}
	if spelling == genderLower {
		w.text("gender", strings.ToLower(*v))
		return
	}
	w.text("gender", *v)
}

func (w *writer) ssn(form string, v *string) {
	if v == nil {
		return
	}
	if form == ssnString {
		w.text("ssn", *v)
		return
	}
	n, err := strconv.ParseUint(*v, 10, 63)
	if err != nil {
		w.addViolation("ssn", "must be digits (ssn_type is integer)")
		return
	}
	w.key("ssn")
	w.b = strconv.AppendUint(w.b, n, 10)
}

// email is checked as far as any mail address goes: the vendor refuses the whole call for one that
// is none.
func (w *writer) email(v *string) {
	if v == nil {
		return
	}
	if !isEmailAddress(*v) {
		w.addViolation("email", "must be an e-mail address")
	}
	w.text("email", *v)
}

// isEmailAddress takes any local part and domain of RFC 5321: only quotes around the local part let
// white space or another @ in.
func isEmailAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 1 {
		return false
	}
	local, domain := s[:at], s[at+1:]
	quoted := len(local) > 2 && local[0] == '"' && local[len(local)-1] == '"'
	return domain != "" && !strings.ContainsAny(domain, spaces) && (quoted || !strings.ContainsAny(local, spaces+"@"))
}

const spaces = " \t\n\f\r"

func (w *writer) parent(p *event.PropelParent) {
	if p == nil {
		return
	}
	byID, bySource := p.Id != nil, p.Source != nil || p.SourceId != nil
	if byID == bySource || bySource && (p.Source == nil || p.SourceId == nil) {
		w.addViolation("parent", "exactly one of id, or source and sourceId together, is allowed")
		return
	}
	w.key("parent")
	outer := w.open("parent.")
	if byID {
		w.key("id")
		w.b = strconv.AppendInt(w.b, *p.Id, 10)
	} else {
		w.mandatory("source", *p.Source)
		w.mandatory("sourceId", *p.SourceId)
	}
	w.close(outer)
}

func (w *writer) addresses(list []event.PropelAddress) {
	if list == nil {
		return
	}
	w.key("addresses")
	w.b = append(w.b, '[')
	for i := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		outer := w.open(indexed("addresses", i))
		w.address(&list[i])
		w.close(outer)
	}
	w.b = append(w.b, ']')
}

// address insists on a code: an address without one is added anew each time that it is sent, and
// the operation would not be repeatable.
func (w *writer) address(a *event.PropelAddress) {
	w.oneOf("type", a.Type, "delivery", "invoice")
	w.mandatory("code", a.Code)
	w.optText("company", a.Company)
	w.optText("firstName", a.FirstName)
	w.optText("middleName", a.MiddleName)
	w.optText("lastName", a.LastName)
	w.optOneOf("gender", a.Gender, "M", "F", "U")
	w.mandatory("street", a.Street)
	w.optText("number", a.Number)
	w.optText("numberExtension", a.NumberExtension)
	w.optText("postalCode", a.PostalCode)
	w.mandatory("city", a.City)
	w.optText("region", a.Region)
	w.letters("country", a.Country, "ISO 3166-1 alpha-2")
	w.optOneOf("icp", a.Icp, "Y", "N")
	w.optText("phone", a.Phone)
	w.optText("mobile", a.Mobile)
	w.optText("email", a.Email)
	w.optText("url", a.Url)
	w.optText("notes", a.Notes)
	w.optOneOf("isDefault", a.IsDefault, "Y", "N")
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
