package event

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDecimalIsPlainExactJSONNumber(t *testing.T) {
	tests := []struct{ text, want string }{
		{"0", "0"}, {"-0", "0"}, {"0.000000", "0"}, {"-0.00", "0"},
		{"0.1", "0.1"}, {"-0.005", "-0.005"}, {"0.000001", "0.000001"}, {"-0.000001", "-0.000001"},
		{"12.50", "12.5"}, {"100", "100"}, {"007", "7"}, {"1.0000000000", "1"},
		{"1000000000000000.01", "1000000000000000.01"},
		{"9223372036854.775807", "9223372036854.775807"},   // the largest int64
		{"9223372036854.775808", "9223372036854.775808"},   // one more
		{"-9223372036854.775808", "-9223372036854.775808"}, // the smallest int64
		{"-9223372036854.775809", "-9223372036854.775809"},
		{"99999999999999999999999999999999.999999", "99999999999999999999999999999999.999999"},
		{"-99999999999999999999999999999999.999999", "-99999999999999999999999999999999.999999"},
	}
	for _, test := range tests {
		d, err := ParseDecimal(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got := string(d.AppendJSON([]byte("x:"))); got != "x:"+test.want {
			t.Errorf("%s: got %s, want x:%s", test.text, got, test.want)
		}
		if got, err := json.Marshal(d); err != nil || string(got) != test.want {
			t.Errorf("%s: got JSON %s and error %v, want %s", test.text, got, err, test.want)
		}
		if !d.Fits(maxPrecision) {
			t.Errorf("%s: got Fits(%d) false, want true", test.text, maxPrecision)
		}
	}
}

func TestInvalidDecimalIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, text := range []string{"", "-", ".", "1.", ".5", "-.5", "+1", "1e3", "1E3", "0x1", "1,5", " 1", "1 ",
		"1.2.3", "--1", "NaN", "Inf", "1_000", "１",
		"0.1234567", "-0.0000001", "100000000000000000000000000000000", strings.Repeat("9", 1000)} {
		d, err := ParseDecimal(text)
		if err == nil {
			t.Errorf("%q: got %s, want an error", text, d)
		} else if len(text) > 3 && strings.Contains(err.Error(), text) {
			t.Errorf("%q: got error %v, want one that does not repeat it", text, err)
		}
	}
}

// parseRational returns the number as math/big parses it.
func parseRational(t *rapid.T, text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("math/big does not parse %q", text)
	}
	return r
}

func drawDecimal(t *rapid.T) (string, Decimal) {
	text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,31})(\.[0-9]{1,6})?`).Draw(t, "decimal")
	d, err := ParseDecimal(text)
	if err != nil {
		t.Fatal(err)
	}
	return text, d
}

func TestDecimalKeepsValueSignAndOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		textA, a := drawDecimal(t)
		textB, b := drawDecimal(t)
		ratA, ratB := parseRational(t, textA), parseRational(t, textB)
		if parseRational(t, a.String()).Cmp(ratA) != 0 {
			t.Errorf("%s: got %s, want the same value", textA, a)
		}
		if a.Sign() != ratA.Sign() {
			t.Errorf("%s: got sign %d, want %d", textA, a.Sign(), ratA.Sign())
		}
		if a.Cmp(b) != ratA.Cmp(ratB) {
			t.Errorf("%s, %s: got Cmp %d, want %d", textA, textB, a.Cmp(b), ratA.Cmp(ratB))
		}
	})
}

// Writers may pad a decimal with bytes that repeat its sign.
func TestPaddingDoesNotChangeDecimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, d := drawDecimal(t)
		sign := byte(0)
		if d.Sign() < 0 {
			sign = 0xff
		}
		padded := Decimal(append(bytes.Repeat([]byte{sign}, rapid.IntRange(1, 40).Draw(t, "padding")), d...))
		if padded.String() != d.String() || padded.Cmp(d) != 0 || padded.Sign() != d.Sign() || !padded.Fits(maxPrecision) {
			t.Errorf("%s padded: got %s, sign %d, fits %t; want the same", d, padded, padded.Sign(),
				padded.Fits(maxPrecision))
		}
	})
}

func TestMillionthsHaveScaleSix(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1: "0.000001", -1: "-0.000001", 12_500_000: "12.5",
		-128: "-0.000128", 128: "0.000128",
		1<<63 - 1: "9223372036854.775807", -1 << 63: "-9223372036854.775808"} {
		if got := Millionths(n).String(); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestZeroDecimalIsZero(t *testing.T) {
	var d Decimal
	if d.String() != "0" || d.Sign() != 0 || d.Cmp(Millionths(0)) != 0 || !d.Fits(1) {
		t.Errorf("got %s with sign %d, want 0", d, d.Sign())
	}
}

func TestFitsCountsSignificantDigits(t *testing.T) {
	power := func(exponent int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(exponent), nil) }
	tests := []struct {
		unscaled  *big.Int
		precision int
		want      bool
	}{
		{big.NewInt(999), 3, true}, {big.NewInt(1000), 3, false}, {big.NewInt(-999), 3, true},
		{big.NewInt(-1000), 3, false},
		{new(big.Int).Sub(power(38), big.NewInt(1)), 38, true}, {power(38), 38, false},
		{new(big.Int).Neg(power(38)), 38, false}, {power(100_000), 38, false},
	}
	for _, test := range tests {
		if got := decimalFromBig(test.unscaled).Fits(test.precision); got != test.want {
			t.Errorf("a number of %d bits in %d digits: got %t, want %t", test.unscaled.BitLen(),
				test.precision, got, test.want)
		}
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, seed := range []string{"0", "-0.005", "1000000000000000.01", "1e3", "",
		"99999999999999999999999999999999.999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDecimal(text)
		if err != nil {
			return
		}
		want, ok := new(big.Rat).SetString(text)
		got, _ := new(big.Rat).SetString(d.String())
		if !ok || got.Cmp(want) != 0 || !json.Valid(d.AppendJSON(nil)) {
			t.Errorf("%q: got %s, want the same value as valid JSON", text, d)
		}
	})
}

func BenchmarkDecimalAppendJSON(b *testing.B) {
	d := Millionths(1_234_560_000)
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = d.AppendJSON(buf[:0])
	}
}
