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

// kind is what is to become of a record. It stands in front of the one field of the item by which the vendor's script picks.
type kind string

const (
	good      kind = "good"      // delivered
	rejected  kind = "rejected"  // refused for good, by itself or named in its batch's refusal
	culprit   kind = "culprit"   // its batch is refused, and nobody named
	named     kind = "named"     // its batch is refused, and it is named
	later     kind = "later"     // refused for now, then taken
	never     kind = "never"     // refused for now each time
	forgotten kind = "forgotten" // refused at first and left out of the answer
	poison    kind = "poison"    // not decodable
	stranger  kind = "stranger"  // of a schema id that no registry knows
	invalid   kind = "invalid"   // a mandatory field is missing
	unmapped  kind = "unmapped"  // of a record name that no operation takes
	tombstone kind = "tombstone" // without a value
)

// causes are those that a dead letter of a kind must have; a kind without any must be delivered.
var causes = map[kind]record.Cause{
	rejected: record.CauseRejected, culprit: record.CauseRejected, named: record.CauseRejected, never: record.CauseExhausted,
	poison: record.CausePoison, stranger: record.CausePoison, invalid: record.CauseInvalid, unmapped: record.CauseUnmapped, tombstone: record.CauseTombstone,
}

// mark begins the account number that stands in each event's personal field, so that what leaks is found by it. A vendor repeats such numbers in its
// refusals.
const mark = "555000"

// text is a record's personal field.
func text(k kind, seq int) string { return fmt.Sprintf("%s-%s%03d", k, mark, seq) }

// line is a pipeline as the simulation knows it.
type line struct {
	pipeline, vendor, operation string
	schema                      string // the event's full name
	field                       string // the item's field that text stands in
	ordered, repeatable         bool
	// event is f(sequence); customer is what its key names. body is the item's JSON that the vendor must see for it.
	event func(seq int, text, customer string, invalid bool) any
	body  func(seq int, text, customer, origin string) string
	tiers bool // what is refused for now waits in retry topics
}

var purchases = line{
	pipeline: "purchases", vendor: "crmcom", operation: "crmcom.purchases", schema: "sluice.crmcom.Purchase",
	field: "accounts_receivable_identifier.number", tiers: true,
	event: func(seq int, text, _ string, invalid bool) any {
		reference := fmt.Sprint("R", seq)
		if invalid {
			reference = ""
		}
		return &event.Purchase{
			EventId: new(fmt.Sprint("E", seq)), AccountsReceivableIdentifier: &event.AccountIdentifier{Number: &text},
			PerformedByUnitIdentifier: event.UnitIdentifier{Name: new("U")}, PerformedOn: performed(seq), ReferenceNumber: reference,
			ProductsSet: []event.PurchaseProduct{{
				ProductIdentifier: event.ProductIdentifier{Code: new("P")}, NetAmount: amount(seq, "25"), VatAmount: amount(0, "05"), TotalAmount: amount(seq, "3"),
			}},
		}
	},
	body: func(seq int, text, _, origin string) string {
		return fmt.Sprintf(`{"request_unique_identifier":%q,"accounts_receivable_identifier":{"number":%q},"performed_by_unit_identifier":{"name":"U"},
			"performed_on":%q,"reference_number":"R%d","external_system":"sluice","external_system_reference_number":"E%d",
			"products_set":[{"product_identifier":{"code":"P"},"net_amount":%d.25,"vat_amount":0.05,"total_amount":%d.3}]}`,
			origin, text, performed(seq).Format("2006-01-02T15:04:05"), seq, seq, seq, seq)
	},
}

var feedback = line{
	pipeline: "feedback", vendor: "expoints", operation: "expoints.add", schema: "sluice.expoints.FeedbackRequest", field: "Email",
	event: func(seq int, text, _ string, invalid bool) any {
		column := "store"
		if invalid {
			column = "nowhere"
		}
		return &event.FeedbackRequest{Email: new(text + "@example.com"), Data: []event.ExpointsData{{Name: column, Value: fmt.Sprint("S", seq)}}}
	},
	body: func(seq int, text, _, origin string) string {
		return fmt.Sprintf(`{"Email":"%s@example.com","Data":[{"CustomerDataColumnId":2,"Name":"store","Value":"S%d"},
			{"CustomerDataColumnId":1,"Name":"event","Value":%q}]}`, text, seq, origin)
	},
}

var changes = line{
	pipeline: "customer-changes", vendor: "propel", operation: "propel.customers", schema: "sluice.propel.CustomerChange", field: "lastName",
	ordered: true, repeatable: true,
	event: func(seq int, text, customer string, invalid bool) any {
		if invalid {
			customer = ""
		}
		return &event.CustomerChange{Source: "sim", SourceId: customer, DebtorId: new(fmt.Sprint(seq)), LastName: &text}
	},
	body: func(seq int, text, customer, _ string) string {
		return fmt.Sprintf(`{"source":"sim","sourceId":%q,"debtorId":"%d","lastName":%q}`, customer, seq, text)
	},
}

func performed(seq int) time.Time { return time.Unix(1_700_000_000+int64(seq), 0).UTC() }

func amount(whole int, fraction string) event.Decimal {
	d, err := event.ParseDecimal(fmt.Sprintf("%d.%s", whole, fraction))
	if err != nil {
		panic(err) // the test's own text
	}
	return d
}

// values writes record values, as producers of the platform would.
type values struct {
	encoder *encode.Encoder
	line    *line
	ids     []int // ids of the event's schema, which is registered under two subjects
	foreign int   // id of a schema that no operation takes
}

// newEncoder is the one of all worlds: reading the schemas costs as much as many a run.
var newEncoder = sync.OnceValues(encode.NewEncoder)

func newValues(t *testing.T, l *line, registry *srfake.Registry) *values {
	t.Helper()
	encoder, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	v := &values{line: l, encoder: encoder}
	register := func(subject, schema string) int {
		id, _, err := registry.RegisterSchema(subject, sr.Schema{Schema: schema})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, s := range schemas.All() {
		if s.Name == l.schema {
			v.ids = []int{register("one", s.JSON), register("two", strings.Replace(s.JSON, `"type"`, `"doc2": "another writer", "type"`, 1))}
		}
	}
	v.foreign = register("foreign", `{"type":"record","name":"Parcel","namespace":"elsewhere","fields":[{"name":"weight","type":"long"}]}`)
	return v
}

// unknownID is never registered.
const unknownID = 9999

// value is a record's value; which one of the schema's ids it names alternates.
func (v *values) value(k kind, seq int, customer string) ([]byte, error) {
	switch k {
	case tombstone:
		return nil, nil
	case unmapped:
		return binary.AppendVarint(binary.BigEndian.AppendUint32([]byte{0}, uint32(v.foreign)), int64(seq)), nil
	}
	id := v.ids[seq%len(v.ids)]
	if k == stranger {
		id = unknownID
	}
	out, err := v.encoder.Encode(id, v.line.event(seq, text(k, seq), customer, k == invalid))
	if err != nil || k != poison {
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
