package crmcom

import (
	"time"

	"sluice/internal/event"
	"sluice/internal/sink/jsonwriter"
)

// encoder writes one item and determines its envelope key. The embedded Writer collects the
// violations.
type encoder struct {
	jsonwriter.Writer
	*settings
	origin      string // the record's origin ID, which identifies the item in a response
	envelopeKey string
}

// settings are the settings of an account that affect the JSON of an item.
type settings struct {
	zone           *time.Location
	release        release
	externalSystem string
}

// requireSince reports a violation if the account's release is older than the first one that
// accepts the member.
func (e *encoder) requireSince(first release, member string) {
	if e.release < first {
		e.AddViolation(member, "requires release "+first.String()+" or later; the account has "+e.release.String())
	}
}

// refuseSince reports a violation if the account's release no longer accepts the member. removed is
// the first release without it.
func (e *encoder) refuseSince(removed release, member string) {
	if e.release >= removed {
		e.AddViolation(member, "is no longer accepted as of release "+removed.String()+"; the account has "+e.release.String())
	}
}

// writeDate writes a Date in the format of the page's examples, without zone and fraction of a
// second.
func (e *encoder) writeDate(name string, date time.Time) {
	e.Time(name, date.In(e.zone), "2006-01-02T15:04:05")
}

func (e *encoder) writeOptionalDecimal(name string, amount *event.Decimal) {
	if amount != nil {
		e.Decimal(name, *amount)
	}
}

// writePerformed writes the unit that performed the event, the time and the description.
func (e *encoder) writePerformed(unit event.UnitIdentifier, on time.Time, description *string) {
	e.writeUnit(unit)
	e.writeDate("performed_on", on)
	e.OptionalText("description", description)
}

// writeExternal writes where the event comes from, so that an operator can find events that the
// vendor has recorded twice. No page states that the vendor refuses a reference number that it has
// already seen.
func (e *encoder) writeExternal(system, reference, eventID *string) {
	if system == nil || *system == "" {
		system = &e.externalSystem
	}
	e.Text("external_system", *system)
	const member = "external_system_reference_number"
	if e.release < r10_1 {
		if reference != nil {
			e.requireSince(r10_1, member)
		}
		return
	}
	for _, candidate := range [...]*string{reference, eventID, &e.origin} {
		if candidate != nil && *candidate != "" {
			e.Text(member, *candidate)
			return
		}
	}
}

var (
	udfStringNames = [...]string{
		"udf_string_1", "udf_string_2", "udf_string_3", "udf_string_4", "udf_string_5", "udf_string_6",
		"udf_string_7", "udf_string_8", "udf_string_9", "udf_string_10", "udf_string_11", "udf_string_12",
		"udf_string_13", "udf_string_14", "udf_string_15", "udf_string_16",
	}
	udfFloatNames = [...]string{"udf_float_1", "udf_float_2", "udf_float_3", "udf_float_4"}
	udfDateNames  = [...]string{"udf_date_1", "udf_date_2", "udf_date_3", "udf_date_4"}
)

// udfStringsOfR10 is the number of user-defined strings that every release accepts.
const udfStringsOfR10 = 8

func (e *encoder) writeUDFStrings(values ...*string) {
	for i, value := range values {
		if value == nil {
			continue
		}
		if i >= udfStringsOfR10 {
			e.requireSince(r10_1, udfStringNames[i])
		}
		e.Text(udfStringNames[i], *value)
	}
}

func (e *encoder) writeUDFFloats(values ...*float64) {
	for i, value := range values {
		if value != nil {
			e.Float(udfFloatNames[i], *value)
		}
	}
}

func (e *encoder) writeUDFDates(values ...*time.Time) {
	for i, value := range values {
		if value != nil {
			e.writeDate(udfDateNames[i], *value)
		}
	}
}
