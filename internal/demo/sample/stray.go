package sample

import "encoding/binary"

// Stray is the full name of an event that no operation handles.
const Stray = "sluice.sample.Stray"

const straySchema = `{"type": "record", "name": "Stray", "namespace": "sluice.sample", ` +
	`"doc": "A sample that no operation handles.", "fields": [{"name": "text", "type": "string"}]}`

// strayBody is a Stray in Avro binary: a string is its zigzag-encoded length and its bytes.
var strayBody = []byte("\x0astray")

// unknownID is a schema ID far beyond those of any registry, which assigns them from 1 upwards.
const unknownID = 2_147_000_000

const headerBytes = 5 // see wireHeader

// wireHeader returns the header of Confluent's wire format: 0x00 and the schema ID in 4 big-endian
// bytes.
func wireHeader(id int) []byte { return binary.BigEndian.AppendUint32([]byte{0}, uint32(id)) }
