package sandbox

import (
	"fmt"
	"maps"
	"slices"
)

// crmPage is what the page "customer_events/bulk" (CRM.COM, version 24) says about one of its seven methods.
type crmPage struct {
	operation string
	path      string // below customer_events/bulk
	set       string // the key of the items
	printed   string // the key where the page has another one than its later versions; empty: the same
	item      shape
	extra     map[string]check // keys of the envelope besides token, set and fields_set
}

// crmMaxItems is the page's "maximum number of customer events that can be specified within a single Web API call".
const crmMaxItems = 1000

// crmDate is the form of every example on the page; it has no zone and no fraction.
var crmDate = layout("2006-01-02T15:04:05")

// identifier is an object of which exactly one key may be given: the page calls them all "semi-optional".
func identifier(keys ...string) check {
	s := shape{fields: map[string]check{}, exclusive: [][]string{keys}}
	for _, key := range keys {
		s.fields[key] = text
	}
	return s.check
}

var (
	byName        = identifier("id", "name", "alternative_code")
	byCode        = identifier("id", "code", "alternative_code")
	byParticipant = identifier("id", "number")
	byAccount     = identifier("id", "number", "name")
)

// crmEvent is what all seven methods share; strings is the number of udf_string fields.
func crmEvent(strings int) shape {
	s := shape{
		fields: map[string]check{
			"request_unique_identifier":        text,
			"classification_identifier":        byName,
			"performed_by_unit_identifier":     byName,
			"performed_on":                     crmDate,
			"description":                      text,
			"external_system":                  text,
			"external_system_reference_number": text,
		},
		mandatory: []string{"request_unique_identifier", "performed_by_unit_identifier", "performed_on"},
	}
	for prefix, udf := range map[string]struct {
		n int
		c check
	}{"udf_string_": {strings, text}, "udf_float_": {4, number}, "udf_date_": {4, crmDate}} {
		for i := range udf.n {
			s.fields[fmt.Sprint(prefix, i+1)] = udf.c
		}
	}
	return s
}

// owned adds the account or participant that the event belongs to, one of the two.
func (s shape) owned() shape {
	s = s.with(map[string]check{"accounts_receivable_identifier": byAccount, "rewards_participant_identifier": byParticipant})
	s.exclusive = append(slices.Clone(s.exclusive), []string{"accounts_receivable_identifier", "rewards_participant_identifier"})
	return s
}

func (s shape) with(fields map[string]check, mandatory ...string) shape {
	s.fields = maps.Clone(s.fields)
	maps.Copy(s.fields, fields)
	s.mandatory = append(slices.Clone(s.mandatory), mandatory...)
	return s
}

var crmProduct = shape{
	fields: map[string]check{
		"product_identifier": byCode, "quantity": number, "net_amount": number, "vat_amount": number, "total_amount": number,
	},
	mandatory: []string{"product_identifier", "net_amount", "vat_amount", "total_amount"},
}

var crmMeasure = shape{
	fields: map[string]check{
		"key_performance_indicator_identifier": byName, "value": number, "product_identifier": byCode,
	},
	mandatory: []string{"key_performance_indicator_identifier", "value"},
}

// crmPages are the seven methods. Two slips of the page: the set of financial statements is taken by the name that is printed and by that of its later
// versions, and the second payment_medium_type_identifier of financial achievements is payment_medium_brand_identifier, as later versions have it.
var crmPages = []crmPage{
	{operation: "purchases", path: "purchases", set: "purchase_customer_events_set",
		extra: map[string]check{"intended_currency_identifier": identifier("id", "code")},
		item: crmEvent(16).owned().with(map[string]check{
			"reference_number":                text,
			"payment_medium_brand_identifier": byName,
			"payment_medium_type_identifier":  byName,
			"payment_medium_identifier":       text,
			"invoice_identifier":              identifier("id", "number", "reference_number", "back_office_code"),
			"products_set":                    list(1, crmProduct.check),
		}, "reference_number", "products_set")},
	{operation: "referrals", path: "referrals", set: "referral_customer_events_set",
		item: crmEvent(8).with(map[string]check{
			"referred_rewards_participant_identifier":    byParticipant,
			"referred_by_rewards_participant_identifier": byParticipant,
		}, "referred_rewards_participant_identifier", "referred_by_rewards_participant_identifier")},
	{operation: "achievements", path: "achievements", set: "achievement_customer_events_set",
		item: crmEvent(8).owned().with(nil, "classification_identifier")},
	{operation: "social_media", path: "social_media", set: "social_media_customer_events_set",
		item: crmEvent(8).owned().with(map[string]check{
			"social_media": oneOf("FACEBOOK"), "profile": text, "action": oneOf("LIKE"),
		}, "social_media", "profile", "action")},
	{operation: "web", path: "web", set: "web_customer_events_set",
		item: crmEvent(8).owned().with(map[string]check{"website": text}, "website")},
	{operation: "financial_achievements", path: "financial_achievements", set: "financial_achievement_customer_events_set",
		item: crmEvent(8).owned().with(map[string]check{
			"product_identifier":              byCode,
			"payment_medium_type_identifier":  byName,
			"payment_medium_brand_identifier": byName,
			"payment_medium_identifier":       text,
			"amount":                          number,
		}, "classification_identifier")},
	{operation: "financial_statements", path: "financial_statements", set: "financial_statement_customer_events_set", printed: "financial_achievement_customer_events_set",
		item: crmEvent(8).owned().with(map[string]check{
			"measured_key_performance_indicators_set": list(0, crmMeasure.check),
		}, "classification_identifier")},
}

// of is the page for a body: with the set's printed name where the body has that one alone.
func (p crmPage) of(body *object) crmPage {
	_, later := body.fields[p.set]
	if _, printed := body.fields[p.printed]; printed && !later && p.printed != "" {
		p.set = p.printed
	}
	return p
}

// envelope is the body around the items; the items themselves are checked one by one.
func (p crmPage) envelope() shape {
	return shape{
		fields:    map[string]check{"token": text, "fields_set": text, p.set: list(1, anyObject)},
		mandatory: []string{"token", p.set},
	}.with(p.extra)
}

func anyObject(v any) []violation {
	if _, ok := v.(*object); !ok {
		return mistype("JSONObject", v)
	}
	return nil
}
