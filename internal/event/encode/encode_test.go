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

// statement has a mandatory decimal in an array.
func statement() *event.FinancialStatement {
	code := "KPI-1"
	return &event.FinancialStatement{
		PerformedOn: time.UnixMilli(1_760_000_000_000).UTC(),
		MeasuredKeyPerformanceIndicatorsSet: []event.MeasuredKeyPerformanceIndicator{{
			KeyPerformanceIndicatorIdentifier: event.KeyPerformanceIndicatorIdentifier{AlternativeCode: &code},
			Value:                             event.Millionths(-12_500_000),
		}},
	}
}

func TestARecordValueIsTheHeaderAndTheWholeEvent(t *testing.T) {
	value, err := newEncoder(t).Encode(0x01020304, statement())
	if err != nil {
		t.Fatal(err)
	}
	if header := []byte{0, 1, 2, 3, 4}; !bytes.HasPrefix(value, header) {
		t.Fatalf("begins with %x, want %x", value[:5], header)
	}
	for _, s := range schemas.All() {
		if s.Name != "sluice.crmcom.FinancialStatement" {
			continue
		}
		var got event.FinancialStatement
		schema := avro.MustParse(s.JSON, avro.CustomType{LogicalType: "decimal", AvroType: "bytes"})
		rest, err := schema.Decode(value[5:], &got)
		if err != nil || len(rest) != 0 || !reflect.DeepEqual(&got, statement()) {
			t.Errorf("read back as %+v, %d bytes left, error %v", got, len(rest), err)
		}
	}
}

func TestEveryEventHasAnEncoding(t *testing.T) {
	e := newEncoder(t)
	for _, name := range event.EventNames() {
		fresh, _ := event.NewEvent(name)
		if _, ok := e.schemas[reflect.TypeOf(fresh)]; !ok {
			t.Errorf("no schema for a %T", fresh)
		}
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	e := newEncoder(t)
	for _, evt := range []any{nil, "text", event.FinancialStatement{}, (*int)(nil)} {
		if _, err := e.Encode(1, evt); err == nil {
			t.Errorf("%T: no error", evt)
		}
	}
	for _, id := range []int{-1, math.MaxInt32 + 1} {
		if _, err := e.Encode(id, statement()); err == nil {
			t.Errorf("id %d: no error", id)
		}
	}
}
