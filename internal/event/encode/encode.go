// Package encode encodes events as record values, for producers of sample events. The connector
// itself never writes Avro.
//
// It uses hamba/avro, while package decode uses twmb/avro, so that the libraries check each other.
package encode

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"

	"github.com/hamba/avro/v2"

	"sluice/internal/event"
)

// Encoder encodes events of the types that it was made for. It is safe for concurrent use.
type Encoder struct {
	api     avro.API
	schemas map[reflect.Type]avro.Schema // by the pointer type of the event
}

// NewEncoder returns an Encoder for the events that are generated from schemas/.
func NewEncoder() (*Encoder, error) { return NewEncoderFor(event.BuiltinTypes()) }

// NewEncoderFor returns an Encoder for the given events.
func NewEncoderFor(types event.Types) (*Encoder, error) {
	e := &Encoder{api: avro.Config{}.Freeze(), schemas: map[reflect.Type]avro.Schema{}}
	for _, t := range types {
		empty := t.New()
		if empty == nil {
			return nil, fmt.Errorf("schema %s: package event has no such type", t.Name)
		}
		// Each schema has its own cache, because two files may define the same nested type.
		schema, err := avro.ParseWithCache(t.Schema, "", &avro.SchemaCache{})
		if err != nil {
			return nil, fmt.Errorf("parsing schema %s: %w", t.Name, err)
		}
		e.schemas[reflect.TypeOf(empty)] = schema
	}
	return e, nil
}

// Encode returns an event as a record value in the Confluent wire format: 0x00, the schema ID as 4
// big-endian bytes, and the Avro binary encoding. evt must be a pointer to an event of a type that
// the encoder was made for, and id the ID of its schema in the registry. Every Decimal that is not
// nullable must be set.
func (e *Encoder) Encode(id int, evt any) ([]byte, error) {
	schema, ok := e.schemas[reflect.TypeOf(evt)]
	if !ok {
		return nil, fmt.Errorf("encoding a %T: want a pointer to an event of a type that the encoder was made for", evt)
	}
	if id < 0 || id > math.MaxInt32 {
		return nil, fmt.Errorf("encoding a %T: schema id %d, want 0 to %d", evt, id, math.MaxInt32)
	}
	body, err := e.api.Marshal(schema, evt)
	if err != nil {
		return nil, fmt.Errorf("encoding a %T: %w", evt, err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), body...), nil
}
