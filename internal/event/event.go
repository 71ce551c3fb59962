// Package event contains the Go types of the business events, one for each schema in schemas/, from
// which they are generated.
//
// Avro types become these Go types: string and enum string, int int32, long int64, boolean bool,
// double float64, bytes []byte, decimal [Decimal], timestamp-millis and date [time.Time] (in UTC; a
// date is its midnight), array slice, map map, record struct. A union of null and T becomes a *T,
// and a union of null and an array a slice that is nil for null. A map cannot be null.
//
// The types decode with github.com/twmb/avro and encode with github.com/hamba/avro/v2 without
// converters, because Decimal is a slice of bytes for both. With twmb/avro, the schema must be
// parsed with a CustomType for decimals that has no functions, so that the bytes are passed through
// unchanged.
package event

//go:generate go run ./gen
