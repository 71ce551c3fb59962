// Package encode writes events as record values, for what produces them: sample events and the demo. Sluice's own line never writes Avro.
//
// It uses hamba/avro where package decode uses twmb/avro, so that what one writes the other has to read the same.
package encode

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"

	"github.com/hamba/avro/v2"

	"sluice/internal/event"
	"sluice/schemas"
)

// Encoder encodes every event of package event. Safe for concurrent use.
type Encoder struct {
	api     avro.API
	schemas map[reflect.Type]avro.Schema // by the pointer to the event's type
}

// NewEncoder parses the schemas.
func NewEncoder() (*Encoder, error) {
	e := &Encoder{api: avro.Config{}.Freeze(), schemas: map[reflect.Type]avro.Schema{}}
	for _, s := range schemas.All() {
		fresh, ok := event.NewEvent(s.Name)
		if !ok {
			return nil, fmt.Errorf("schema %s: package event has no type %s", s.File, s.Name)
		}
		// A cache of its own: two files may define the same nested type.
		schema, err := avro.ParseWithCache(s.JSON, "", &avro.SchemaCache{})
		if err != nil {
			return nil, fmt.Errorf("parsing schema %s: %w", s.File, err)
		}
		e.schemas[reflect.TypeOf(fresh)] = schema
	}
	return e, nil
}

// Encode gives the record value of an event (a pointer to a type of package event) in Confluent's wire format: 0x00, the 4-byte big-endian
// id that the registry gave the event's schema, and the Avro binary. Every Decimal that is not nullable must be set.
func (e *Encoder) Encode(id int, evt any) ([]byte, error) {
	schema, ok := e.schemas[reflect.TypeOf(evt)]
	if !ok {
		return nil, fmt.Errorf("encoding a %T: want a pointer to a type of package event", evt)
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
