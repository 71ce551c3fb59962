package event

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Scale is the number of digits that a Decimal has after the point. Every decimal in schemas/ has
// this scale, and Avro's schema resolution rejects writers with another one.
const Scale = 6

const unitsPerOne = 1_000_000 // 10^Scale

// Decimal is an exact number with Scale digits after the point. It contains the unscaled value in
// big-endian two's complement, as Avro encodes decimals over bytes. The zero value is 0. A Decimal
// must not be modified in place.
//
// It is a slice rather than a struct so that Avro libraries read and write it without conversion: a
// struct costs three allocations per field with twmb/avro, and hamba/avro casts any struct of a
// decimal field unsafely to a big.Rat.
type Decimal []byte

// Millionths returns the Decimal of count * 10^-6.
func Millionths(count int64) Decimal { return trimSignBytes(twosComplement(count)) }

// errNotDecimal does not quote the text, because an amount may be personal data.
var errNotDecimal = errors.New("not a decimal: want digits with at most one point and a leading minus, such as -12.50")

// ParseDecimal parses a plain decimal number, such as "12", "-0.005" or "12.50", with up to 38
// digits, of which at most Scale are after the point. Further digits after the point must be zeros:
// ParseDecimal does not round. Exponents are not accepted. The error does not repeat the text.
func ParseDecimal(text string) (Decimal, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, hasPoint := strings.Cut(digits, ".")
	if whole == "" || (hasPoint && fraction == "") || !hasOnlyDigits(whole) || !hasOnlyDigits(fraction) {
		return nil, errNotDecimal
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > Scale {
		return nil, fmt.Errorf("decimal has %d digits after the point, at most %d are allowed", len(fraction), Scale)
	}
	unscaled := strings.TrimLeft(whole+fraction+strings.Repeat("0", Scale-len(fraction)), "0")
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
	if !ok { // "" and "-": the text has only zeros
		return Millionths(0), nil
	}
	return decimalFromBig(n), nil
}

func hasOnlyDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// AppendJSON appends d as a plain JSON number: exact, never in exponent form, without trailing
// zeros after the point, and never "-0".
func (d Decimal) AppendJSON(buf []byte) []byte {
	n, ok := d.unscaledInt64()
	if !ok {
		return appendBigInt(buf, d.unscaledBig())
	}
	magnitude := uint64(n)
	if n < 0 {
		buf, magnitude = append(buf, '-'), -magnitude
	}
	buf = strconv.AppendUint(buf, magnitude/unitsPerOne, 10)
	return appendFraction(buf, uint32(magnitude%unitsPerOne))
}

// MarshalJSON implements [encoding/json.Marshaler]. It writes the same text as AppendJSON.
func (d Decimal) MarshalJSON() ([]byte, error) { return d.AppendJSON(nil), nil }

// String returns the number as AppendJSON writes it.
func (d Decimal) String() string { return string(d.AppendJSON(nil)) }

// Sign returns -1 if d is negative, 0 if it is zero and 1 if it is positive.
func (d Decimal) Sign() int {
	trimmed := trimSignBytes(d)
	switch {
	case len(trimmed) == 0 || (len(trimmed) == 1 && trimmed[0] == 0):
		return 0
	case trimmed[0] >= 0x80:
		return -1
	}
	return 1
}

// Cmp returns -1, 0 or 1 if d is less than, equal to or greater than other.
func (d Decimal) Cmp(other Decimal) int {
	a, aFits := d.unscaledInt64()
	b, bFits := other.unscaledInt64()
	if !aFits || !bFits {
		return d.unscaledBig().Cmp(other.unscaledBig())
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Fits reports whether d has at most precision significant digits. Avro libraries do not check that
// when they decode.
func (d Decimal) Fits(precision int) bool {
	trimmed := trimSignBytes(d)
	if len(trimmed) <= 8 && precision >= 19 {
		return true
	}
	if len(trimmed) > maxBytes {
		return false
	}
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return new(big.Int).Abs(trimmed.unscaledBig()).Cmp(limit) < 0
}

const (
	maxPrecision = 38
	maxBytes     = 16 // enough for 38 digits in two's complement
)

// unscaledInt64 returns the unscaled value and reports whether it fits into an int64.
func (d Decimal) unscaledInt64() (int64, bool) {
	trimmed := trimSignBytes(d)
	if len(trimmed) > 8 {
		return 0, false
	}
	if len(trimmed) == 0 {
		return 0, true
	}
	n := int64(int8(trimmed[0]))
	for _, b := range trimmed[1:] {
		n = n<<8 | int64(b)
	}
	return n, true
}

// unscaledBig returns the unscaled value.
func (d Decimal) unscaledBig() *big.Int {
	n := new(big.Int).SetBytes(d)
	if len(d) > 0 && d[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(d))))
	}
	return n
}

func decimalFromBig(unscaled *big.Int) Decimal {
	if unscaled.Sign() >= 0 {
		return trimSignBytes(append([]byte{0}, unscaled.Bytes()...))
	}
	size := uint(unscaled.BitLen()/8 + 1)
	return trimSignBytes(new(big.Int).Add(unscaled, new(big.Int).Lsh(big.NewInt(1), 8*size)).Bytes())
}

// trimSignBytes removes leading bytes that only repeat the sign, which writers with a fixed width
// add.
func trimSignBytes(d Decimal) Decimal {
	for len(d) > 1 && ((d[0] == 0 && d[1] < 0x80) || (d[0] == math.MaxUint8 && d[1] >= 0x80)) {
		d = d[1:]
	}
	return d
}

func twosComplement(unscaled int64) Decimal {
	var d Decimal
	for shift := 56; shift >= 0; shift -= 8 {
		d = append(d, byte(unscaled>>shift))
	}
	return d
}

func appendBigInt(buf []byte, unscaled *big.Int) []byte {
	if unscaled.Sign() < 0 {
		buf, unscaled = append(buf, '-'), new(big.Int).Neg(unscaled)
	}
	whole, fraction := new(big.Int).QuoRem(unscaled, big.NewInt(unitsPerOne), new(big.Int))
	buf = whole.Append(buf, 10)
	return appendFraction(buf, uint32(fraction.Uint64()))
}

// appendFraction appends the point and the millionths without trailing zeros. It appends nothing
// for 0.
func appendFraction(buf []byte, millionths uint32) []byte {
	if millionths == 0 {
		return buf
	}
	buf = append(buf, '.')
	for place := uint32(unitsPerOne / 10); millionths > 0; place /= 10 {
		buf = append(buf, '0'+byte(millionths/place))
		millionths %= place
	}
	return buf
}
