package crmcom

import (
	"regexp"
	"strconv"
)

// release is a release of CRM.COM as major * 1000 + minor, so that releases compare.
type release int

// The releases that changed what is sent.
const (
	r10   release = 10_000 // bulk events
	r10_1 release = 10_001 // external_system_reference_number, udf_string_9 to 16 of purchases
	r11   release = 11_000 // financial statements, intended_currency_identifier, amount
	r17   release = 17_000 // accounts_receivable_identifier mandatory; participants no longer named
	r18   release = 18_000 // performed_by_business_unit_identifier for performed_by_unit_identifier
)

var releaseForm = regexp.MustCompile(`^R(\d{1,2})(?:\.(\d{1,2}))?(?:\.\d{1,3})?$`)

// parseRelease reads R11, R10.1 or R10.1.0. It is false for another form, and for releases that
// take no events in bulk.
func parseRelease(s string) (release, bool) {
	m := releaseForm.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	major, _ := strconv.Atoi(m[1]) // digits only, by the form
	minor, _ := strconv.Atoi(m[2]) // absent: 0
	r := release(major*1000 + minor)
	return r, r >= r10
}

func (r release) String() string {
	s := "R" + strconv.Itoa(int(r)/1000)
	if minor := int(r) % 1000; minor != 0 {
		s += "." + strconv.Itoa(minor)
	}
	return s
}
