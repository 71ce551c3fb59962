package crmcom

import (
	"regexp"
	"strconv"
)

// release is a release of CRM.COM as major*1000 + minor, so that releases can be compared.
type release int

// The releases that changed which members are accepted.
const (
	r10   release = 10_000 // bulk events
	r10_1 release = 10_001 // external_system_reference_number, udf_string_9 to 16 of purchases
	r11   release = 11_000 // financial statements, intended_currency_identifier, amount
	r17   release = 17_000 // accounts_receivable_identifier mandatory; participants no longer accepted
	r18   release = 18_000 // performed_by_business_unit_identifier replaces performed_by_unit_identifier
)

var releasePattern = regexp.MustCompile(`^R(\d{1,2})(?:\.(\d{1,2}))?(?:\.\d{1,3})?$`)

// parseRelease parses a release such as R11, R10.1 or R10.1.0. It returns false for any other form,
// and for releases that do not accept events in bulk.
func parseRelease(text string) (release, bool) {
	match := releasePattern.FindStringSubmatch(text)
	if match == nil {
		return 0, false
	}
	major, _ := strconv.Atoi(match[1]) // the pattern guarantees digits
	minor, _ := strconv.Atoi(match[2]) // 0 if there is none
	r := release(major*1000 + minor)
	return r, r >= r10
}

func (r release) String() string {
	text := "R" + strconv.Itoa(int(r)/1000)
	if minor := int(r) % 1000; minor != 0 {
		text += "." + strconv.Itoa(minor)
	}
	return text
}
