package encode

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/avro"

	"sluice/internal/event"
	"sluice/schemas"
)

func newEncoder(t *testing.T) *Encoder {
	t.Helper()
	e, err := NewEncoder()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newStatement returns an event with a mandatory decimal in an array.
func newStatement() *event.FinancialStatement {
	code := "KPI-1"
	return &event.FinancialStatement{
		PerformedOn: time.UnixMilli(1_760_000_000_000).UTC(),
		MeasuredKeyPerformanceIndicatorsSet: []event.MeasuredKeyPerformanceIndicator{{
			KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{AlternativeCode: &code},
			Value:                             event.Millionths(-12_500_000),
		}},
	}
}

func TestRecordValueIsHeaderAndEvent(t *testing.T) {
	value, err := newEncoder(t).Encode(0x01020304, newStatement())
	if err != nil {
		t.Fatal(err)
	}
	if header := []byte{0, 1, 2, 3, 4}; !bytes.HasPrefix(value, header) {
		t.Fatalf("got a value that begins with %x, want %x", value[:5], header)
	}
	for _, s := range schemas.All() {
		if s.Name != "sluice.crmcom.FinancialStatement" {
			continue
		}
		var got event.FinancialStatement
		schema := avro.MustParse(s.JSON, avro.CustomType{LogicalType: "decimal", AvroType: "bytes"})
		rest, err := schema.Decode(value[5:], &got)
		if err != nil || len(rest) != 0 || !reflect.DeepEqual(&got, newStatement()) {
			t.Errorf("decoded %+v with %d bytes left, error %v; want %+v", got, len(rest), err, newStatement())
		}
	}
}

func TestEveryEventCanBeEncoded(t *testing.T) {
	e := newEncoder(t)
	for _, name := range event.EventNames() {
		fresh, _ := event.NewEvent(name)
		if _, ok := e.schemas[reflect.TypeOf(fresh)]; !ok {
			t.Errorf("got no schema for a %T, want one", fresh)
		}
	}
}

func TestNonEventsAreRefused(t *testing.T) {
	e := newEncoder(t)
	for _, evt := range []any{nil, "text", event.FinancialStatement{}, (*int)(nil)} {
		if _, err := e.Encode(1, evt); err == nil {
			t.Errorf("%T: got no error, want one", evt)
		}
	}
	for _, id := range []int{-1, math.MaxInt32 + 1} {
		if _, err := e.Encode(id, newStatement()); err == nil {
			t.Errorf("schema ID %d: got no error, want one", id)
		}
	}
}
