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
		"type": oneOf("delivery", "invoice"), "code": anyString, "company": anyString, "firstName": anyString,
		"middleName": anyString, "lastName": anyString,
		"gender": propelGender, "street": anyString, "number": anyString, "numberExtension": anyString, "postalCode": anyString,
		"city": anyString, "region": anyString,
		"country": stringMatching(countryPattern.MatchString, "an ISO 3166-1 alpha-2 code"), "icp": propelYesNo,
		"phone": anyString, "mobile": anyString,
		"email": anyString, "url": anyString, "isDefault": propelYesNo, "notes": anyString,
	},
	mandatory: []string{"type", "code", "street", "city", "country"},
}

// propelParent is either the parent's id or its source and sourceId.
var propelParent = objectSchema{
	fields:    map[string]validator{"id": stringOrInteger, "source": anyString, "sourceId": anyString},
	exclusive: [][]string{{"id", "source"}, {"id", "sourceId"}},
}

// propelCustomer has the fields of the page "bulk-customers-by-source-id" with the types of the
// page "customers".
var propelCustomer = objectSchema{
	fields: map[string]validator{
		"source": anyString, "sourceId": anyString, "debtorId": stringOrInteger, "firstName": anyString, "middleName": anyString,
		"lastName":     anyString,
		"abbreviation": anyString, "title": anyString, "dateOfBirth": dateInLayout(time.DateOnly), "gender": propelGender,
		"ssn":   stringOrInteger,
		"phone": anyString, "email": stringMatching(emailPattern.MatchString, "a valid email address"),
		"parent":          propelParent.validate,
		"primaryLanguage": stringMatching(languagePattern.MatchString, "an ISO 639-1 code"),
		"addresses":       listOf(0, propelAddress.validate),
	},
	mandatory: []string{"source", "sourceId"},
}

var propelBody = objectSchema{
	fields:    map[string]validator{"customers": listOf(1, propelCustomer.validate)},
	mandatory: []string{"customers"},
}
