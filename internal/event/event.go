// Package event holds the business events as Go types, one for each schema in schemas/, generated
// from them.
//
// Avro types become these Go types: string and enum string, int int32, long int64, boolean bool,
// double float64, bytes []byte, decimal [Decimal], timestamp-millis and date [time.Time] (UTC; a
// date is its midnight), array slice, map map, record struct. A union of null and T is a *T; of
// null and an array, a plain slice whose nil is null. A map cannot be null.
//
// The types decode with github.com/twmb/avro and encode with github.com/hamba/avro/v2 without
// converters: Decimal is a slice of bytes for both. For twmb, parse the schema with a CustomType
// for decimals that has no functions, so that it passes the bytes on unchanged.
package event

//go:generate go run ./gen
