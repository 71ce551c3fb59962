package event

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Scale is how many digits a Decimal has after the point. Every decimal in schemas/ has it; Avro's
// resolution refuses a writer with another one.
const Scale = 6

const unit = 1_000_000 // 10^Scale

// Decimal is an exact number with Scale digits after the point: the unscaled value as big-endian
// two's complement, which is Avro's own form of a decimal over bytes. The zero value is 0. A
// Decimal is never changed in place.
//
// It is bytes and not a struct so that Avro libraries fill and write it without conversion: a
// struct costs three allocations a field with twmb/avro, and hamba/avro takes any struct under a
// decimal for a big.Rat, by an unsafe cast.
type Decimal []byte

// Millionths is the Decimal of n * 10^-6.
func Millionths(n int64) Decimal { return minimal(appendInt64(nil, n)) }

// errNotDecimal never carries the text: an amount may be personal.
var errNotDecimal = errors.New("not a decimal: want digits with at most one point and a leading minus, such as -12.50")

// ParseDecimal reads a plain decimal number, such as "12", "-0.005" or "12.50", of up to 38 digits
// and at most Scale of them after the point (zeros beyond those are allowed, rounding is not).
// There is no exponent form. The error does not repeat the text.
func ParseDecimal(s string) (Decimal, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, frac, hasPoint := strings.Cut(digits, ".")
	if whole == "" || (hasPoint && frac == "") || !allDigits(whole) || !allDigits(frac) {
		return nil, errNotDecimal
	}
	frac = strings.TrimRight(frac, "0")
	if len(frac) > Scale {
		return nil, fmt.Errorf("decimal has %d digits after the point, at most %d are allowed", len(frac), Scale)
	}
	unscaled := strings.TrimLeft(whole+frac+strings.Repeat("0", Scale-len(frac)), "0")
	if len(unscaled) > maxPrecision {
		return nil, fmt.Errorf("decimal has %d digits at scale %d, at most %d are allowed", len(unscaled), Scale, maxPrecision)
	}
	if negative {
		unscaled = "-" + unscaled
	}
	if n, err := strconv.ParseInt(unscaled, 10, 64); err == nil {
		return Millionths(n), nil
	}
	n, ok := new(big.Int).SetString(unscaled, 10)
	if !ok { // "" and "-": only zeros
		return Millionths(0), nil
	}
	return fromBig(n), nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// AppendJSON appends d as a plain JSON number: exact, never in exponent form, without trailing
// zeros after the point, and never "-0".
func (d Decimal) AppendJSON(b []byte) []byte {
	n, ok := d.int64()
	if !ok {
		return appendBig(b, d.big())
	}
	abs := uint64(n)
	if n < 0 {
		b, abs = append(b, '-'), -abs
	}
	b = strconv.AppendUint(b, abs/unit, 10)
	return appendFraction(b, uint32(abs%unit))
}

// MarshalJSON is AppendJSON for encoding/json.
func (d Decimal) MarshalJSON() ([]byte, error) { return d.AppendJSON(nil), nil }

// String is the number as AppendJSON writes it.
func (d Decimal) String() string { return string(d.AppendJSON(nil)) }

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int {
	t := minimal(d)
	switch {
	case len(t) == 0 || (len(t) == 1 && t[0] == 0):
		return 0
	case t[0] >= 0x80:
		return -1
	}
	return 1
}

// Cmp is -1, 0 or 1 as d is less than, equal to or greater than o.
func (d Decimal) Cmp(o Decimal) int {
	a, aSmall := d.int64()
	b, bSmall := o.int64()
	if !aSmall || !bSmall {
		return d.big().Cmp(o.big())
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Fits tells whether d has at most so many significant digits, counted without the point (Avro's
// precision). Avro libraries do not check it when they decode.
func (d Decimal) Fits(precision int) bool {
	t := minimal(d)
	if len(t) <= 8 && precision >= 19 {
		return true
	}
	if len(t) > maxBytes {
		return false
	}
	return new(big.Int).Abs(t.big()).Cmp(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)) < 0
}

const (
	maxPrecision = 38
	maxBytes     = 16 // of 38 digits in two's complement
)

// int64 is the unscaled value where it fits.
func (d Decimal) int64() (int64, bool) {
	t := minimal(d)
	if len(t) > 8 {
		return 0, false
	}
	if len(t) == 0 {
		return 0, true
	}
	n := int64(int8(t[0]))
	for _, c := range t[1:] {
		n = n<<8 | int64(c)
	}
	return n, true
}

// big is the unscaled value.
func (d Decimal) big() *big.Int {
	n := new(big.Int).SetBytes(d)
	if len(d) > 0 && d[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(d))))
	}
	return n
}

func fromBig(n *big.Int) Decimal {
	if n.Sign() >= 0 {
		return minimal(append([]byte{0}, n.Bytes()...))
	}
	size := uint(n.BitLen()/8 + 1)
	return minimal(new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), 8*size)).Bytes())
}

// minimal is b without leading bytes that only repeat the sign, as writers of a fixed width pad it.
func minimal(b Decimal) Decimal {
	for len(b) > 1 && ((b[0] == 0 && b[1] < 0x80) || (b[0] == math.MaxUint8 && b[1] >= 0x80)) {
		b = b[1:]
	}
	return b
}

func appendInt64(b []byte, n int64) Decimal {
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(n>>shift))
	}
	return b
}

func appendBig(b []byte, n *big.Int) []byte {
	if n.Sign() < 0 {
		b, n = append(b, '-'), new(big.Int).Neg(n)
	}
	whole, frac := new(big.Int).QuoRem(n, big.NewInt(unit), new(big.Int))
	b = whole.Append(b, 10)
	return appendFraction(b, uint32(frac.Uint64()))
}

// appendFraction appends the point and the millionths, less trailing zeros; nothing where there are
// none.
func appendFraction(b []byte, millionths uint32) []byte {
	if millionths == 0 {
		return b
	}
	b = append(b, '.')
	for place := uint32(unit / 10); millionths > 0; place /= 10 {
		b = append(b, '0'+byte(millionths/place))
		millionths %= place
	}
	return b
}
