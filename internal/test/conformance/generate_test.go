package conformance

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/event"
)

// text is what a text may be, and what it may not.
type text struct {
	valid *rapid.Generator[string]
	bad   []string
}

func oneOf(allowed ...string) text {
	return text{rapid.SampledFrom(allowed), []string{"", "X", strings.ToLower(allowed[0]) + " "}}
}

var (
	free     = text{valid: rapid.String()}
	filled   = text{rapid.StringN(1, -1, 200), []string{""}}
	guid     = text{rapid.StringMatching(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`), []string{"", "2ec40570-e563-45eb-9c25", "2ec40570-e563-45eb-9c25-4dec09dee46g"}}
	email    = text{rapid.OneOf(rapid.StringMatching(`[a-z0-9.+_-]{1,20}@[a-z0-9-]{1,20}\.[a-z]{2,5}`), rapid.SampledFrom([]string{"c@example.org", "C@Example.org", `"c d@e"@example.org`, "c@[192.0.2.1]", "ç@exämple.org"})), []string{"", "example.org", "@example.org", "c@", "c d@example.org", " c@example.org", "c@example.org\n", "c@d@example.org"}}
	id       = text{rapid.OneOf(filled.valid, rapid.SampledFrom([]string{"7", "007"})), []string{""}} // such as meet, or seem to meet, in one call
	source   = text{rapid.OneOf(filled.valid, rapid.Just("ERP")), []string{""}}
	language = text{rapid.StringMatching(`[a-zA-Z]{2}`), []string{"", "N", "NLD", "1L", "é"}}
	column   = text{valid: rapid.SampledFrom([]string{requiredColumn, freeColumn, eventIDColumn})}
	gender   = oneOf("M", "F", "U")
	yesOrNo  = oneOf("Y", "N")
)

// texts are the texts that a rule is for, by record and field. All others are free.
var texts = map[string]text{
	"Purchase.reference_number":         filled,
	"SocialMediaAction.social_media":    oneOf("FACEBOOK"),
	"SocialMediaAction.profile":         filled,
	"SocialMediaAction.action":          oneOf("LIKE"),
	"WebVisit.website":                  filled,
	"FeedbackRequest.Email":             {valid: rapid.OneOf(email.valid, rapid.String())}, // an address that is not valid is the vendor's to mark
	"FeedbackFinished.QuestionnaireId":  guid,
	"FeedbackLock.QuestionnaireId":      guid,
	"ExpointsFinishedAnswer.QuestionId": guid,
	"ExpointsData.Name":                 column,
	"CustomerChange.source":             source,
	"CustomerChange.sourceId":           id,
	"CustomerChange.gender":             gender,
	"CustomerChange.email":              email,
	"CustomerChange.primaryLanguage":    language,
	"PropelParent.source":               filled,
	"PropelParent.sourceId":             filled,
	"PropelAddress.type":                oneOf("delivery", "invoice"),
	"PropelAddress.code":                filled,
	"PropelAddress.gender":              gender,
	"PropelAddress.street":              filled,
	"PropelAddress.city":                filled,
	"PropelAddress.country":             language,
	"PropelAddress.icp":                 yesOrNo,
	"PropelAddress.isDefault":           yesOrNo,
}

// present are the lists that have to hold something.
var present = map[string]bool{"FeedbackRequest.Data": true, "Purchase.products_set": true}

// drawer draws an event by the pages' rules.
type drawer struct {
	t *rapid.T
	// all has every field set, one element in each list, and of keys that exclude each other the one that variant says.
	all     bool
	variant int
}

// valid draws an event of the full Avro name.
func (d drawer) valid(name string) any {
	ev, ok := event.NewEvent(name)
	if !ok {
		d.t.Fatalf("no event %s", name)
	}
	v := reflect.ValueOf(ev).Elem()
	d.record(v)
	switch e := ev.(type) {
	case *event.FeedbackRequest:
		e.Data = append(data(), e.Data...)
	default:
		d.owner(v)
	}
	return ev
}

// some draws an event with anything set that may be, everything an event with all that may be set at once.
func some(name string) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any { return drawer{t: t}.valid(name) })
}

// variants is how many events with everything set show each key once.
const variants = 8

func everything(name string, variant int) any {
	return rapid.Custom(func(t *rapid.T) any { return drawer{t: t, all: true, variant: variant}.valid(name) }).Example(variant)
}

func (d drawer) record(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[event.PropelParent]():
		d.parent(v.Addr().Interface().(*event.PropelParent))
		return
	case isIdentifier(v.Type()):
		d.identifier(v)
		return
	}
	for i := range v.NumField() {
		d.value(v.Field(i), nameOf(v, i))
	}
	if row, ok := v.Addr().Interface().(*event.ExpointsData); ok {
		d.column(row)
	}
}

func isIdentifier(t reflect.Type) bool { return strings.HasSuffix(t.Name(), "Identifier") }

// nameOf is a field as the rules know it, such as "PropelAddress.city".
func nameOf(v reflect.Value, i int) string { return v.Type().Name() + "." + tag(v, i) }

func tag(v reflect.Value, i int) string { return v.Type().Field(i).Tag.Get("avro") }

func (d drawer) value(v reflect.Value, name string) {
	t := d.t
	switch at := v.Addr().Interface().(type) {
	case *string:
		*at = ruleOf(name).valid.Draw(t, name)
	case *float64:
		*at = rapid.Float64().Draw(t, name)
	case *time.Time:
		*at = instants.Draw(t, name)
	case *event.Decimal:
		*at = decimals.Draw(t, name)
	case *bool:
		*at = rapid.Bool().Draw(t, name)
	case *int32:
		*at = rapid.Int32().Draw(t, name)
	case *[]byte:
		*at = rapid.SliceOf(rapid.Byte()).Draw(t, name)
	default:
		d.composite(v, name)
	}
}

func (d drawer) composite(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		d.optional(v, name)
	case reflect.Slice:
		n := 1
		if !d.all {
			n = rapid.IntRange(0, 3).Draw(d.t, name)
		}
		if present[name] {
			n = max(n, 1)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			d.value(v.Index(i), name)
		}
	default:
		d.record(v)
	}
}

func (d drawer) optional(v reflect.Value, name string) {
	if d.all || present[name] || rapid.Bool().Draw(d.t, name+" is there") {
		v.Set(reflect.New(v.Type().Elem()))
		d.value(v.Elem(), name)
	}
}

// identifier sets one key.
func (d drawer) identifier(v reflect.Value) {
	i := d.variant / 2 % v.NumField()
	if !d.all {
		i = rapid.IntRange(0, v.NumField()-1).Draw(d.t, v.Type().Name())
	}
	v.Field(i).Set(reflect.ValueOf(new(filled.valid.Draw(d.t, nameOf(v, i)))))
}

func (d drawer) parent(p *event.PropelParent) {
	if d.either("parent by id") {
		p.Id = new(rapid.Int64().Draw(d.t, "PropelParent.id"))
		return
	}
	p.Source, p.SourceId = new(filled.valid.Draw(d.t, "PropelParent.source")), new(filled.valid.Draw(d.t, "PropelParent.sourceId"))
}

// column leaves a row the name of its column, or the id.
func (d drawer) column(row *event.ExpointsData) {
	row.CustomerDataColumnId = nil
	if !d.either("column by name") {
		row.CustomerDataColumnId, row.Name = new(columnID(row.Name)), ""
	}
}

// either decides between two ways that exclude each other.
func (d drawer) either(what string) bool {
	if d.all {
		return d.variant%2 == 0
	}
	return rapid.Bool().Draw(d.t, what)
}

const (
	accountField     = "AccountsReceivableIdentifier"
	participantField = "RewardsParticipantIdentifier"
)

// owner leaves a CRM.COM event that belongs to somebody the account or the participant.
func (d drawer) owner(v reflect.Value) {
	account, participant := v.FieldByName(accountField), v.FieldByName(participantField)
	if !account.IsValid() {
		return
	}
	keep, drop := account, participant
	if !d.either("by account") {
		keep, drop = participant, account
	}
	drop.SetZero()
	if keep.IsNil() {
		keep.Set(reflect.New(keep.Type().Elem()))
		d.identifier(keep.Elem())
	}
}

func ruleOf(name string) text {
	if rule, ok := texts[name]; ok {
		return rule
	}
	return free
}

// instants lie a day within the years that a date of four digits has, so that no zone leads out of them.
var instants = rapid.Custom(func(t *rapid.T) time.Time {
	from, to := time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC)
	return time.UnixMilli(rapid.Int64Range(from.UnixMilli(), to.UnixMilli()).Draw(t, "ms")).UTC()
})

var decimals = rapid.Custom(func(t *rapid.T) event.Decimal {
	if rapid.Bool().Draw(t, "small") {
		return event.Millionths(rapid.Int64().Draw(t, "millionths"))
	}
	text := rapid.StringMatching(`-?[0-9]{1,32}(\.[0-9]{1,6})?`).Draw(t, "digits")
	d, err := event.ParseDecimal(text)
	if err != nil {
		panic(fmt.Errorf("reading %s: %w", text, err)) // the expression is of decimals alone
	}
	return d
})
