package sample

import "encoding/binary"

// Stray is the full name of a record that no vendor takes.
const Stray = "sluice.sample.Stray"

const straySchema = `{"type": "record", "name": "Stray", "namespace": "sluice.sample", "doc": "A sample that no operation takes.", "fields": [{"name": "text", "type": "string"}]}`

// strayBody is a Stray in Avro binary: a string is its length, zigzag encoded, and its bytes.
var strayBody = []byte("\x0astray")

// unknownID is an id that no registry gives for a long time: ids count up from 1.
const unknownID = 2_147_000_000

const headerBytes = 5 // Confluent's wire format: 0x00 and a 4-byte big-endian schema id

func wireHeader(id int) []byte { return binary.BigEndian.AppendUint32([]byte{0}, uint32(id)) }
