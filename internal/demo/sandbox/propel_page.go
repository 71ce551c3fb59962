package sandbox

import (
	"regexp"
	"time"
)

var (
	languageForm = regexp.MustCompile(`^[A-Za-z]{2}$`)
	countryForm  = regexp.MustCompile(`^[A-Z]{2}$`)
	emailForm    = regexp.MustCompile(`(?s)^(".+"|[^@\s]+)@[^@\s]+$`) // RFC 5321: only quotes let a space or another @ in
)

var (
	propelGender = oneOf("m", "f", "u", "M", "F", "U") // the documents show both cases
	yesNo        = oneOf("Y", "N")
)

// propelAddress is page "customer-addresses"; code is required in the bulk form, where an address without one would be added at each call.
var propelAddress = shape{
	fields: map[string]check{
		"type": oneOf("delivery", "invoice"), "code": text, "company": text, "firstName": text, "middleName": text, "lastName": text,
		"gender": propelGender, "street": text, "number": text, "numberExtension": text, "postalCode": text, "city": text, "region": text,
		"country": textThat(countryForm.MatchString, "an ISO 3166-1 alpha-2 code"), "icp": yesNo, "phone": text, "mobile": text,
		"email": text, "url": text, "isDefault": yesNo, "notes": text,
	},
	mandatory: []string{"type", "code", "street", "city", "country"},
}

// propelParent is either the parent's id, or its source and sourceId.
var propelParent = shape{
	fields:    map[string]check{"id": textOrInteger, "source": text, "sourceId": text},
	exclusive: [][]string{{"id", "source"}, {"id", "sourceId"}},
}

// propelCustomer has the fields of page "bulk-customers-by-source-id", with the types of page "customers".
var propelCustomer = shape{
	fields: map[string]check{
		"source": text, "sourceId": text, "debtorId": textOrInteger, "firstName": text, "middleName": text, "lastName": text,
		"abbreviation": text, "title": text, "dateOfBirth": layout(time.DateOnly), "gender": propelGender, "ssn": textOrInteger,
		"phone": text, "email": textThat(emailForm.MatchString, "a valid email address"), "parent": propelParent.check,
		"primaryLanguage": textThat(languageForm.MatchString, "an ISO 639-1 code"), "addresses": list(0, propelAddress.check),
	},
	mandatory: []string{"source", "sourceId"},
}

var propelBody = shape{
	fields:    map[string]check{"customers": list(1, propelCustomer.check)},
	mandatory: []string{"customers"},
}
