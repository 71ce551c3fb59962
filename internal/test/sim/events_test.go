package sim_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"sluice/internal/event"
	"sluice/internal/event/encode"
	"sluice/internal/record"
	"sluice/schemas"
)

// kind determines the expected outcome of a record. It is the prefix of the field by which the
// vendor's script selects items.
type kind string

const (
	good          kind = "good"           // delivered
	rejected      kind = "rejected"       // rejected permanently, individually or by name when its batch is refused
	offender      kind = "offender"       // its batch is refused without naming an item
	named         kind = "named"          // its batch is refused, and it is named
	later         kind = "later"          // refused temporarily, then accepted
	never         kind = "never"          // refused temporarily every time
	forgotten     kind = "forgotten"      // at first refused, or omitted from the response
	poison        kind = "poison"         // cannot be decoded
	unknownSchema kind = "unknown_schema" // has a schema id that the registry does not know
	invalid       kind = "invalid"        // a mandatory field is missing
	unmapped      kind = "unmapped"       // its record name belongs to no operation
	tombstone     kind = "tombstone"      // has no value
)

// causes are the causes that a dead letter of each kind must have. Other kinds must be delivered.
var causes = map[kind]record.Cause{
	rejected: record.CauseRejected, offender: record.CauseRejected, named: record.CauseRejected,
	never:  record.CauseExhausted,
	poison: record.CausePoison, unknownSchema: record.CausePoison, invalid: record.CauseInvalid,
	unmapped: record.CauseUnmapped, tombstone: record.CauseTombstone,
}

// personalMark is contained in each event's personal field, so that leaks can be detected. A vendor
// quotes such values in its refusals.
const personalMark = "555000"

// personalText returns the value of a record's personal field.
func personalText(recordKind kind, seq int) string {
	return fmt.Sprintf("%s-%s%03d", recordKind, personalMark, seq)
}

// simPipeline describes a pipeline to the simulation.
type simPipeline struct {
	name, vendor, operation string
	schema                  string // full name of the event
	textField               string // the item's field that contains the personal text
	ordered, repeatable     bool
	// newEvent returns the event with a sequence number; customer is the record key. itemJSON
	// returns the item that the vendor must receive for it.
	newEvent func(seq int, text, customer string, invalid bool) any
	itemJSON func(seq int, text, customer, origin string) string
	retries  bool // temporarily refused items wait in retry topics
}

var purchasesPipeline = simPipeline{
	name: "purchases", vendor: "crmcom", operation: "crmcom.purchases", schema: "sluice.crmcom.Purchase",
	textField: "accounts_receivable_identifier.number", retries: true,
	newEvent: func(seq int, text, _ string, invalid bool) any {
		reference := fmt.Sprint("R", seq)
		if invalid {
			reference = ""
		}
		return &event.Purchase{
			EventId: new(fmt.Sprint("E", seq)), AccountsReceivableIdentifier: &event.AccountIdentifier{Number: &text},
			PerformedByUnitIdentifier: event.UnitIdentifier{Name: new("U")}, PerformedOn: performedAt(seq),
			ReferenceNumber: reference,
			ProductsSet: []event.PurchaseProduct{{
				ProductIdentifier: event.ProductIdentifier{Code: new("P")}, NetAmount: decimalAmount(seq, "25"),
				VatAmount: decimalAmount(0, "05"), TotalAmount: decimalAmount(seq, "3"),
			}},
		}
	},
	itemJSON: func(seq int, text, _, origin string) string {
		return fmt.Sprintf(`{"request_unique_identifier":%q,"accounts_receivable_identifier":{"number":%q},
			"performed_by_unit_identifier":{"name":"U"},
			"performed_on":%q,"reference_number":"R%d","external_system":"sluice","external_system_reference_number":"E%d",
			"products_set":[{"product_identifier":{"code":"P"},"net_amount":%d.25,"vat_amount":0.05,"total_amount":%d.3}]}`,
			origin, text, performedAt(seq).Format("2006-01-02T15:04:05"), seq, seq, seq, seq)
	},
}

var feedbackPipeline = simPipeline{
	name: "feedback", vendor: "expoints", operation: "expoints.add", schema: "sluice.expoints.FeedbackRequest",
	textField: "Email",
	newEvent: func(seq int, text, _ string, invalid bool) any {
		column := "store"
		if invalid {
			column = "nowhere"
		}
		return &event.FeedbackRequest{
			Email: new(text + "@example.com"), Data: []event.ExpointsData{{Name: column, Value: fmt.Sprint("S", seq)}},
		}
	},
	itemJSON: func(seq int, text, _, origin string) string {
		return fmt.Sprintf(`{"Email":"%s@example.com","Data":[{"CustomerDataColumnId":2,"Name":"store","Value":"S%d"},
			{"CustomerDataColumnId":1,"Name":"event","Value":%q}]}`, text, seq, origin)
	},
}

var changesPipeline = simPipeline{
	name: "customer-changes", vendor: "propel", operation: "propel.customers", schema: "sluice.propel.CustomerChange",
	textField: "lastName",
	ordered:   true, repeatable: true,
	newEvent: func(seq int, text, customer string, invalid bool) any {
		if invalid {
			customer = ""
		}
		return &event.CustomerChange{Source: "sim", SourceId: customer, DebtorId: new(fmt.Sprint(seq)), LastName: &text}
	},
	itemJSON: func(seq int, text, customer, _ string) string {
		return fmt.Sprintf(`{"source":"sim","sourceId":%q,"debtorId":"%d","lastName":%q}`, customer, seq, text)
	},
}

func performedAt(seq int) time.Time { return time.Unix(1_700_000_000+int64(seq), 0).UTC() }

func decimalAmount(whole int, fraction string) event.Decimal {
	d, err := event.ParseDecimal(fmt.Sprintf("%d.%s", whole, fraction))
	if err != nil {
		panic(err) // the test's own literal is invalid
	}
	return d
}

// valueEncoder writes record values as producers do.
type valueEncoder struct {
	encoder   *encode.Encoder
	pipeline  *simPipeline
	ids       []int // schema ids of the event, which is registered under two subjects
	foreignID int   // id of a schema that belongs to no operation
}

// sharedEncoder is used by all scenarios, because parsing the schemas takes as long as a whole run.
var sharedEncoder = sync.OnceValues(encode.NewEncoder)

func newValueEncoder(t *testing.T, pipeline *simPipeline, registry *srfake.Registry) *valueEncoder {
	t.Helper()
	encoder, err := sharedEncoder()
	if err != nil {
		t.Fatal(err)
	}
	values := &valueEncoder{pipeline: pipeline, encoder: encoder}
	register := func(subject, schema string) int {
		id, _, err := registry.RegisterSchema(subject, sr.Schema{Schema: schema})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, s := range schemas.All() {
		if s.Name == pipeline.schema {
			values.ids = []int{
				register("one", s.JSON),
				register("two", strings.Replace(s.JSON, `"type"`, `"doc2": "another writer", "type"`, 1)),
			}
		}
	}
	values.foreignID = register(
		"foreign",
		`{"type":"record","name":"Parcel","namespace":"elsewhere","fields":[{"name":"weight","type":"long"}]}`,
	)
	return values
}

// unknownID is never registered.
const unknownID = 9999

// encodeValue returns a record's value. It alternates between the schema ids.
func (v *valueEncoder) encodeValue(recordKind kind, seq int, customer string) ([]byte, error) {
	if recordKind == tombstone {
		return nil, nil
	}
	if recordKind == unmapped {
		return binary.AppendVarint(binary.BigEndian.AppendUint32([]byte{0}, uint32(v.foreignID)), int64(seq)), nil
	}
	id := v.ids[seq%len(v.ids)]
	if recordKind == unknownSchema {
		id = unknownID
	}
	sent := v.pipeline.newEvent(seq, personalText(recordKind, seq), customer, recordKind == invalid)
	out, err := v.encoder.Encode(id, sent)
	if err != nil || recordKind != poison {
		return out, err
	}
	switch seq % 3 {
	case 0:
		out[0] = 1
	case 1:
		out = out[:len(out)-1]
	default:
		out = append(out, 0)
	}
	return out, nil
}
