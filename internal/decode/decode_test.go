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

// wireFormat returns a value in the Confluent wire format.
func wireFormat(id uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), body...)
}

func encodeWithHamba(t testing.TB, schema string, value any) []byte {
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

func pointerTo[T any](v T) *T { return &v }

func parseDecimal(t testing.TB, s string) event.Decimal {
	t.Helper()
	d, err := event.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func schemaText(t testing.TB, name string) string {
	t.Helper()
	for _, s := range schemas.All() {
		if s.Name == name {
			return s.JSON
		}
	}
	t.Fatalf("got no schema %s, want one", name)
	return ""
}

// samplePurchase returns a purchase with two products and most identifiers.
func samplePurchase(t testing.TB) *event.Purchase {
	product := func(code, net, vat, total string) event.PurchaseProduct {
		return event.PurchaseProduct{
			ProductIdentifier: event.ProductIdentifier{Code: pointerTo(code)},
			Quantity:          pointerTo(parseDecimal(t, "2")),
			NetAmount:         parseDecimal(t, net),
			VatAmount:         parseDecimal(t, vat),
			TotalAmount:       parseDecimal(t, total),
		}
	}
	return &event.Purchase{
		EventId:                      pointerTo("0190163d-8694-739b-aea5-966c26f8ad90"),
		AccountsReceivableIdentifier: &event.AccountIdentifier{Number: pointerTo("AR0000001")},
		PerformedByUnitIdentifier:    event.UnitIdentifier{AlternativeCode: pointerTo("SHOP-1")},
		PerformedOn:                  time.UnixMilli(1_760_000_000_123).UTC(),
		ReferenceNumber:              "RF01",
		ProductsSet: []event.PurchaseProduct{
			product("SKU-1", "100.00", "19.00", "119.00"), product("SKU-2", "0.10", "0.02", "0.12"),
		},
		IntendedCurrencyIdentifier: &event.CurrencyIdentifier{Code: pointerTo("EUR")},
	}
}

// newTestDecoder returns a decoder whose registry has the schemas under the IDs 1, 2 and so on.
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
	schema := schemaText(t, "sluice.crmcom.Purchase")
	return newTestDecoder(t, cfg, r, schema), wireFormat(1, encodeWithHamba(t, schema, samplePurchase(t)))
}

func TestDecodeReturnsTheEventAndTheWritersRecordName(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{})
	got, err := d.Decode(t.Context(), "purchases", wire)
	if err != nil {
		t.Fatal(err)
	}
	if want := (DecodedEvent{Name: "sluice.crmcom.Purchase", Event: samplePurchase(t)}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEventSharesNoMemoryWithTheRecord(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{})
	got, err := d.Decode(t.Context(), "purchases", wire)
	if err != nil {
		t.Fatal(err)
	}
	clear(wire)
	if !reflect.DeepEqual(got.Event, samplePurchase(t)) {
		t.Errorf("got %+v after clearing the record, want the event unchanged", got.Event)
	}
}

func TestMalformedValueIsPoison(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{MaxBytes: 1000})
	overflow := samplePurchase(t)
	overflow.ProductsSet[1].VatAmount = event.Decimal(bytes.Repeat([]byte{0x7f}, 20))
	encodedOverflow := encodeWithHamba(t, schemaText(t, "sluice.crmcom.Purchase"), overflow)
	tests := []struct {
		name   string
		value  []byte
		reason string
	}{
		{"no bytes", nil, "the header alone has 5"},
		{"truncated header", wire[:4], "the header alone has 5"},
		{"other magic byte", append([]byte{1}, wire[1:]...), "first byte 0x01"},
		{"impossible schema ID", wireFormat(1<<31, nil), "schema id 2147483648, at most 2147483647 is possible"},
		{"no body", wire[:5], "the record ends within"},
		{"one byte short", wire[:len(wire)-1], "the record ends within"},
		{"one byte too many", append(bytes.Clone(wire), 0), "1 bytes are left"},
		{"two records", append(bytes.Clone(wire), wire[5:]...), "bytes are left"},
		{"too large", make([]byte, 1001), "at most 1000 are allowed"},
		{"bad union index", wireFormat(1, []byte{40}), "field event_id: the bytes do not match the schema"},
		{"negative length", wireFormat(1, []byte{2, 1}), "field event_id: the bytes do not match the schema"},
		{"decimal beyond its precision", wireFormat(1, encodedOverflow),
			"field products_set[1].vat_amount: the decimal has more digits"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := d.Decode(t.Context(), "purchases", test.value)
			var poison *PoisonError
			if !errors.As(err, &poison) || got.Event != nil {
				t.Fatalf("got %+v and error %v, want only a *PoisonError", got, err)
			}
			if !strings.Contains(poison.Reason, test.reason) {
				t.Errorf("got reason %q, want one that contains %q", poison.Reason, test.reason)
			}
		})
	}
}

func TestValueOfTheMaximumSizeIsDecoded(t *testing.T) {
	_, wire := newPurchaseDecoder(t, Config{})
	d, _ := newPurchaseDecoder(t, Config{MaxBytes: len(wire)})
	if _, err := d.Decode(t.Context(), "purchases", wire); err != nil {
		t.Error(err)
	}
}

// A decoder that replaces missing bytes with zeros would deliver an empty purchase.
func TestPrefixOfAValueIsPoison(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{})
	for n := range len(wire) {
		var poison *PoisonError
		if got, err := d.Decode(t.Context(), "purchases", wire[:n]); !errors.As(err, &poison) {
			t.Fatalf("first %d of %d bytes: got %+v and error %v, want a *PoisonError", n, len(wire), got, err)
		}
	}
}

func TestPoisonReasonContainsNoValueOfTheRecord(t *testing.T) {
	d, wire := newPurchaseDecoder(t, Config{})
	for i := headerBytes; i < len(wire); i++ {
		broken := bytes.Clone(wire)
		broken[i] ^= 0xff
		_, err := d.Decode(t.Context(), "purchases", broken)
		if err == nil {
			continue // a complete record with another value
		}
		for _, secret := range []string{"0190163d", "AR000", "SHOP", "RF01", "SKU"} {
			if strings.Contains(err.Error(), secret) {
				t.Fatalf("byte %d inverted: got error %q, want it without %q", i, err, secret)
			}
		}
	}
}

// FuzzDecode checks that any value decodes to an event that survives encoding and decoding again,
// or leads to an error of a known kind, and never to a panic.
func FuzzDecode(f *testing.F) {
	d, wire := newPurchaseDecoder(f, Config{MaxBytes: 1 << 16})
	schema, _ := mustParseSchema(f, schemaText(f, "sluice.crmcom.Purchase"))
	f.Add(wire)
	f.Add(wire[:len(wire)-3])
	f.Add(append(bytes.Clone(wire), 0))
	f.Add(wireFormat(2, nil))
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := d.Decode(t.Context(), "purchases", value)
		var poison *PoisonError
		var unknown *UnknownSchemaError
		switch {
		case errors.As(err, &poison), errors.As(err, &unknown):
			if len(err.Error()) > 2*maxTextBytes {
				t.Fatalf("got an error of %d bytes, want at most %d", len(err.Error()), 2*maxTextBytes)
			}
			return
		case err != nil:
			t.Fatalf("got error %v, want a *PoisonError or an *UnknownSchemaError", err)
		}
		again, err := schema.Encode(got.Event)
		if err != nil {
			t.Fatalf("encoding the decoded event: %v", err)
		}
		second, err := d.Decode(t.Context(), "purchases", wireFormat(1, again))
		if err != nil {
			t.Fatalf("decoding the event that was encoded again: %v", err)
		}
		if third, err := schema.Encode(second.Event); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("got %x from the second encoding (error %v), want %x", third, err, again)
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
