package sandbox

import (
	"fmt"
	"maps"
	"slices"
)

// crmPage describes one of the seven methods of the page "customer_events/bulk" (CRM.COM, version
// 24).
type crmPage struct {
	operation      string
	path           string // below customer_events/bulk
	set            string // the key of the item array
	printedSet     string // the key printed on the page, if later versions correct it
	itemSchema     objectSchema
	envelopeFields map[string]validator // envelope keys other than token, set and fields_set
}

// crmMaxItems is the page's "maximum number of customer events that can be specified within a
// single Web API call".
const crmMaxItems = 1000

// crmDate is the format of every example on the page, without a zone and without fractional
// seconds.
var crmDate = dateInLayout("2006-01-02T15:04:05")

// identifierOf accepts an object with exactly one of the keys, all of which the page calls
// "semi-optional".
func identifierOf(keys ...string) validator {
	schema := objectSchema{fields: map[string]validator{}, exclusive: [][]string{keys}}
	for _, key := range keys {
		schema.fields[key] = anyString
	}
	return schema.validate
}

var (
	byName        = identifierOf("id", "name", "alternative_code")
	byCode        = identifierOf("id", "code", "alternative_code")
	byParticipant = identifierOf("id", "number")
	byAccount     = identifierOf("id", "number", "name")
)

// crmEventSchema is what all seven methods have in common. textFields is the number of udf_string
// fields.
func crmEventSchema(textFields int) objectSchema {
	schema := objectSchema{
		fields: map[string]validator{
			"request_unique_identifier":        anyString,
			"classification_identifier":        byName,
			"performed_by_unit_identifier":     byName,
			"performed_on":                     crmDate,
			"description":                      anyString,
			"external_system":                  anyString,
			"external_system_reference_number": anyString,
		},
		mandatory: []string{"request_unique_identifier", "performed_by_unit_identifier", "performed_on"},
	}
	for prefix, udf := range map[string]struct {
		n int
		c validator
	}{"udf_string_": {textFields, anyString}, "udf_float_": {4, plainNumber}, "udf_date_": {4, crmDate}} {
		for i := range udf.n {
			schema.fields[fmt.Sprint(prefix, i+1)] = udf.c
		}
	}
	return schema
}

// withOwner adds the account or the participant that the event belongs to, exactly one of the two.
func (s objectSchema) withOwner() objectSchema {
	s = s.withFields(map[string]validator{
		"accounts_receivable_identifier": byAccount, "rewards_participant_identifier": byParticipant,
	})
	s.exclusive = append(slices.Clone(s.exclusive), []string{
		"accounts_receivable_identifier", "rewards_participant_identifier",
	})
	return s
}

func (s objectSchema) withFields(fields map[string]validator, mandatory ...string) objectSchema {
	s.fields = maps.Clone(s.fields)
	maps.Copy(s.fields, fields)
	s.mandatory = append(slices.Clone(s.mandatory), mandatory...)
	return s
}

var crmProduct = objectSchema{
	fields: map[string]validator{
		"product_identifier": byCode, "quantity": plainNumber, "net_amount": plainNumber, "vat_amount": plainNumber,
		"total_amount": plainNumber,
	},
	mandatory: []string{"product_identifier", "net_amount", "vat_amount", "total_amount"},
}

var crmMeasure = objectSchema{
	fields: map[string]validator{
		"key_performance_indicator_identifier": byName, "value": plainNumber, "product_identifier": byCode,
	},
	mandatory: []string{"key_performance_indicator_identifier", "value"},
}

// crmPages are the seven methods. They correct two errors of the page: the item array of financial
// statements is accepted under the printed name and under that of later versions, and the second
// payment_medium_type_identifier of financial achievements is payment_medium_brand_identifier, as
// in later versions.
var crmPages = []crmPage{
	{operation: "purchases", path: "purchases", set: "purchase_customer_events_set",
		envelopeFields: map[string]validator{"intended_currency_identifier": identifierOf("id", "code")},
		itemSchema: crmEventSchema(16).withOwner().withFields(map[string]validator{
			"reference_number":                anyString,
			"payment_medium_brand_identifier": byName,
			"payment_medium_type_identifier":  byName,
			"payment_medium_identifier":       anyString,
			"invoice_identifier":              identifierOf("id", "number", "reference_number", "back_office_code"),
			"products_set":                    listOf(1, crmProduct.validate),
		}, "reference_number", "products_set")},
	{operation: "referrals", path: "referrals", set: "referral_customer_events_set",
		itemSchema: crmEventSchema(8).withFields(map[string]validator{
			"referred_rewards_participant_identifier":    byParticipant,
			"referred_by_rewards_participant_identifier": byParticipant,
		}, "referred_rewards_participant_identifier", "referred_by_rewards_participant_identifier")},
	{operation: "achievements", path: "achievements", set: "achievement_customer_events_set",
		itemSchema: crmEventSchema(8).withOwner().withFields(nil, "classification_identifier")},
	{operation: "social_media", path: "social_media", set: "social_media_customer_events_set",
		itemSchema: crmEventSchema(8).withOwner().withFields(map[string]validator{
			"social_media": oneOf("FACEBOOK"), "profile": anyString, "action": oneOf("LIKE"),
		}, "social_media", "profile", "action")},
	{operation: "web", path: "web", set: "web_customer_events_set",
		itemSchema: crmEventSchema(8).withOwner().withFields(map[string]validator{"website": anyString}, "website")},
	{operation: "financial_achievements", path: "financial_achievements", set: "financial_achievement_customer_events_set",
		itemSchema: crmEventSchema(8).withOwner().withFields(map[string]validator{
			"product_identifier":              byCode,
			"payment_medium_type_identifier":  byName,
			"payment_medium_brand_identifier": byName,
			"payment_medium_identifier":       anyString,
			"amount":                          plainNumber,
		}, "classification_identifier")},
	{operation: "financial_statements", path: "financial_statements", set: "financial_statement_customer_events_set",
		printedSet: "financial_achievement_customer_events_set",
		itemSchema: crmEventSchema(8).withOwner().withFields(map[string]validator{
			"measured_key_performance_indicators_set": listOf(0, crmMeasure.validate),
		}, "classification_identifier")},
}

// forBody returns the page with the set's printed name if the body has only that one.
func (p crmPage) forBody(body *jsonObject) crmPage {
	_, later := body.fields[p.set]
	if _, printed := body.fields[p.printedSet]; printed && !later && p.printedSet != "" {
		p.set = p.printedSet
	}
	return p
}

// envelopeSchema describes the body around the items. Items are validated one by one.
func (p crmPage) envelopeSchema() objectSchema {
	return objectSchema{
		fields:    map[string]validator{"token": anyString, "fields_set": anyString, p.set: listOf(1, anyObject)},
		mandatory: []string{"token", p.set},
	}.withFields(p.envelopeFields)
}

func anyObject(value any) []violation {
	if _, ok := value.(*jsonObject); !ok {
		return typeViolation("JSONObject", value)
	}
	return nil
}
