package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	hamba "github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"sluice/internal/event"
	"sluice/schemas"
)

// framed puts the wire format's header before a body.
func framed(id uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), body...)
}

func encode(t testing.TB, schema string, value any) []byte {
	t.Helper()
	s, err := hamba.ParseWithCache(schema, "", &hamba.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := hamba.Marshal(s, value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ptr[T any](v T) *T { return &v }

func number(t testing.TB, s string) event.Decimal {
	t.Helper()
	d, err := event.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func schemaOf(t testing.TB, name string) string {
	t.Helper()
	for _, s := range schemas.All() {
		if s.Name == name {
			return s.JSON
		}
	}
	t.Fatalf("no schema %s", name)
	return ""
}

// purchase is one with two products and most identifiers.
func purchase(t testing.TB) *event.Purchase {
	product := func(code, net, vat, total string) event.PurchaseProduct {
		return event.PurchaseProduct{
			ProductIdentifier: event.ProductIdentifier{Code: ptr(code)},
			Quantity:          ptr(number(t, "2")),
			NetAmount:         number(t, net),
			VatAmount:         number(t, vat),
			TotalAmount:       number(t, total),
		}
	}
	return &event.Purchase{
		EventId:                      ptr("0190163d-8694-739b-aea5-966c26f8ad90"),
		AccountsReceivableIdentifier: &event.AccountIdentifier{Number: ptr("AR0000001")},
		PerformedByUnitIdentifier:    event.UnitIdentifier{AlternativeCode: ptr("SHOP-1")},
		PerformedOn:                  time.UnixMilli(1_760_000_000_123).UTC(),
		ReferenceNumber:              "RF01",
		ProductsSet:                  []event.PurchaseProduct{product("SKU-1", "100.00", "19.00", "119.00"), product("SKU-2", "0.10", "0.02", "0.12")},
		IntendedCurrencyIdentifier:   &event.CurrencyIdentifier{Code: ptr("EUR")},
	}
}

// newTestDecoder gives a decoder whose registry has the schemas by the ids 1, 2, ...
func newTestDecoder(t testing.TB, cfg Config, r *readers, texts ...string) *Decoder {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	for i, text := range texts {
		fake.SeedSchema("subject-"+string(rune('a'+i)), 1, i+1, sr.Schema{Schema: text})
	}
	cfg.URLs = []string{fake.URL()}
	d, err := newDecoder(cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func newPurchaseDecoder(t testing.TB, cfg Config) (d *Decoder, wire []byte) {
	t.Helper()
	r, err := builtinReaders()
	if err != nil {
		t.Fatal(err)
	}
	schema := schemaOf(t, "sluice.crmcom.Purchase")
	return newTestDecoder(t, cfg, r, schema), framed(1, encode(t, schema, purchase(t)))
}

func TestDecodeGivesTheTypedEventAndTheWritersName(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{})
	got, err := d.Decode(t.Context(), "purchases", wire)
	if err != nil {
		t.Fatal(err)
	}
	if want := (DecodedEvent{Name: "sluice.crmcom.Purchase", Event: purchase(t)}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheEventSharesNoMemoryWithTheRecord(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{})
	got, err := d.Decode(t.Context(), "purchases", wire)
	if err != nil {
		t.Fatal(err)
	}
	clear(wire)
	if !reflect.DeepEqual(got.Event, purchase(t)) {
		t.Errorf("clearing the record changed the event to %+v", got.Event)
	}
}

func TestBytesThatAreNotOneWholeRecordArePoison(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{MaxBytes: 1000})
	overflow := purchase(t)
	overflow.ProductsSet[1].VatAmount = event.Decimal(bytes.Repeat([]byte{0x7f}, 20))
	tests := []struct {
		name   string
		value  []byte
		reason string
	}{
		{"no bytes", nil, "the header alone has 5"},
		{"header cut", wire[:4], "the header alone has 5"},
		{"other magic", append([]byte{1}, wire[1:]...), "first byte 0x01"},
		{"an id that no registry gives", framed(1<<31, nil), "schema id 2147483648, at most 2147483647 is possible"},
		{"no body", wire[:5], "the record ends within"},
		{"one byte short", wire[:len(wire)-1], "the record ends within"},
		{"one byte over", append(bytes.Clone(wire), 0), "1 bytes are left"},
		{"two records", append(bytes.Clone(wire), wire[5:]...), "bytes are left"},
		{"too large", make([]byte, 1001), "at most 1000 are allowed"},
		{"bad union index", framed(1, []byte{40}), "field event_id: the bytes are not of the schema's form"},
		{"negative length", framed(1, []byte{2, 1}), "field event_id: the bytes are not of the schema's form"},
		{"decimal beyond its precision", framed(1, encode(t, schemaOf(t, "sluice.crmcom.Purchase"), overflow)),
			"field products_set[1].vat_amount: the decimal has more digits"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := d.Decode(t.Context(), "purchases", test.value)
			var poison *PoisonError
			if !errors.As(err, &poison) || got.Event != nil {
				t.Fatalf("got %+v and error %v, want a *Poison alone", got, err)
			}
			if !strings.Contains(poison.Reason, test.reason) {
				t.Errorf("reason %q, want it to say %q", poison.Reason, test.reason)
			}
		})
	}
}

func TestARecordOfTheLargestSizeDecodes(t *testing.T) {
	_, wire := newPurchaseDecoder(t, Config{})
	d, _ := newPurchaseDecoder(t, Config{MaxBytes: len(wire)})
	if _, err := d.Decode(t.Context(), "purchases", wire); err != nil {
		t.Error(err)
	}
}

// A decoder that fills what is missing with zeros would deliver a purchase of nothing.
func TestNoPrefixOfARecordDecodes(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{})
	for n := range len(wire) {
		var poison *PoisonError
		if got, err := d.Decode(t.Context(), "purchases", wire[:n]); !errors.As(err, &poison) {
			t.Fatalf("the first %d of %d bytes gave %+v and error %v, want a *Poison", n, len(wire), got, err)
		}
	}
}

func TestAPoisonReasonHoldsNoValueOfTheRecord(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{})
	for i := headerBytes; i < len(wire); i++ {
		broken := bytes.Clone(wire)
		broken[i] ^= 0xff
		_, err := d.Decode(t.Context(), "purchases", broken)
		if err == nil {
			continue // another value, and a whole record
		}
		for _, secret := range []string{"0190163d", "AR000", "SHOP", "RF01", "SKU"} {
			if strings.Contains(err.Error(), secret) {
				t.Fatalf("byte %d broken: error %q holds %q", i, err, secret)
			}
		}
	}
}

// FuzzDecode: any bytes give an event that encodes to a record of the same meaning, or an error of a known kind; never a panic.
func FuzzDecode(f *testing.F) {
	d, wire := newPurchaseDecoder(f, Config{MaxBytes: 1 << 16})
	schema, _ := parsed(f, schemaOf(f, "sluice.crmcom.Purchase"))
	f.Add(wire)
	f.Add(wire[:len(wire)-3])
	f.Add(append(bytes.Clone(wire), 0))
	f.Add(framed(2, nil))
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := d.Decode(t.Context(), "purchases", value)
		var poison *PoisonError
		var unknown *UnknownSchemaError
		switch {
		case errors.As(err, &poison), errors.As(err, &unknown):
			if len(err.Error()) > 2*maxText {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		case err != nil:
			t.Fatalf("error of no known kind: %v", err)
		}
		again, err := schema.Encode(got.Event)
		if err != nil {
			t.Fatalf("decoded what cannot be encoded: %v", err)
		}
		second, err := d.Decode(t.Context(), "purchases", framed(1, again))
		if err != nil {
			t.Fatalf("what was decoded and encoded does not decode: %v", err)
		}
		if third, err := schema.Encode(second.Event); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("encoded %x, then %x (error %v)", again, third, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	d, wire := newPurchaseDecoder(b, Config{})
	if _, err := d.Decode(b.Context(), "purchases", wire); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		if _, err := d.Decode(b.Context(), "purchases", wire); err != nil {
			b.Fatal(err)
		}
	}
}
