package sandbox

import (
	"regexp"
	"time"
)

var (
	languagePattern = regexp.MustCompile(`^[A-Za-z]{2}$`)
	countryPattern  = regexp.MustCompile(`^[A-Z]{2}$`)
	// RFC 5321: only a quoted local part may contain spaces or another @
	emailPattern = regexp.MustCompile(`(?s)^(".+"|[^@\s]+)@[^@\s]+$`)
)

var (
	propelGender = oneOf("m", "f", "u", "M", "F", "U") // the documents show both cases
	propelYesNo  = oneOf("Y", "N")
)

// propelAddress is the page "customer-addresses". The bulk format requires code, without which
// every call would add another address.
var propelAddress = objectSchema{
	fields: map[string]validator{
		"type": oneOf("delivery", "invoice"), "code": anyText, "company": anyText, "firstName": anyText,
		"middleName": anyText, "lastName": anyText,
		"gender": propelGender, "street": anyText, "number": anyText, "numberExtension": anyText, "postalCode": anyText,
		"city": anyText, "region": anyText,
		"country": textMatching(countryPattern.MatchString, "an ISO 3166-1 alpha-2 code"), "icp": propelYesNo,
		"phone": anyText, "mobile": anyText,
		"email": anyText, "url": anyText, "isDefault": propelYesNo, "notes": anyText,
	},
	mandatory: []string{"type", "code", "street", "city", "country"},
}

// propelParent is either the parent's id or its source and sourceId.
var propelParent = objectSchema{
	fields:    map[string]validator{"id": textOrInteger, "source": anyText, "sourceId": anyText},
	exclusive: [][]string{{"id", "source"}, {"id", "sourceId"}},
}

// propelCustomer has the fields of the page "bulk-customers-by-source-id" with the types of the
// page "customers".
var propelCustomer = objectSchema{
	fields: map[string]validator{
		"source": anyText, "sourceId": anyText, "debtorId": textOrInteger, "firstName": anyText, "middleName": anyText,
		"lastName":     anyText,
		"abbreviation": anyText, "title": anyText, "dateOfBirth": dateInLayout(time.DateOnly), "gender": propelGender,
		"ssn":   textOrInteger,
		"phone": anyText, "email": textMatching(emailPattern.MatchString, "a valid email address"),
		"parent":          propelParent.validate,
		"primaryLanguage": textMatching(languagePattern.MatchString, "an ISO 639-1 code"),
		"addresses":       listOf(0, propelAddress.validate),
	},
	mandatory: []string{"source", "sourceId"},
}

var propelBody = objectSchema{
	fields:    map[string]validator{"customers": listOf(1, propelCustomer.validate)},
	mandatory: []string{"customers"},
}
