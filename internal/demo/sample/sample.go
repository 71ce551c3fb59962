// Package sample makes events to try the line with: realistic ones of every type that the vendors take, and bad ones of named kinds.
//
// The same seed makes the same samples in the same order. All people, shops and numbers are invented, and all addresses are of domains
// that RFC 2606 keeps for examples.
package sample

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"sluice/internal/event/encode"
)

// Record is one sample as it is written to a topic.
type Record struct {
	Topic string
	// Key is what an upstream team would choose, so that all events of a customer are in one partition.
	Key []byte
	// Value is in Confluent's wire format; nil with kind Tombstone.
	Value []byte
	// Event is the full Avro name of what was encoded; with kind Tombstone of what was not.
	Event string
	Kind  Kind
}

// Options say what to make.
type Options struct {
	// Seed decides all that varies.
	Seed uint64
	// Sources are where samples go.
	Sources []Source
	// IDs are the schema ids by full event name, as Register gives them.
	IDs map[string]int
}

// Generator makes samples. It is for one goroutine.
type Generator struct {
	rng       *rand.Rand
	run       uint32 // tells the samples of one seed from those of another
	serial    int
	customers []customer
	sources   map[string]Source
	ids       map[string]int
	encoder   *encode.Encoder
}

// encoder is one for all generators: reading the schemas costs more than many a sample.
var encoder = sync.OnceValues(encode.NewEncoder)

// NewGenerator makes a generator. Each event of each source needs an id.
func NewGenerator(o Options) (*Generator, error) {
	encoder, err := encoder()
	if err != nil {
		return nil, fmt.Errorf("preparing to encode samples: %w", err)
	}
	g := &Generator{rng: rand.New(rand.NewPCG(o.Seed, o.Seed)), sources: map[string]Source{}, ids: maps.Clone(o.IDs), encoder: encoder}
	g.run = g.rng.Uint32()
	g.customers = g.people()
	for _, s := range o.Sources {
		for _, name := range s.Events {
			if err := g.known(name); err != nil {
				return nil, fmt.Errorf("pipeline %s: %w", s.Pipeline, err)
			}
		}
		g.sources[s.Pipeline] = s
	}
	return g, nil
}

func (g *Generator) known(name string) error {
	if _, ok := makers[name]; !ok {
		return fmt.Errorf("no sample of event %s: those that there are: %s", name, strings.Join(slices.Sorted(maps.Keys(makers)), ", "))
	}
	if _, ok := g.ids[name]; !ok {
		return fmt.Errorf("event %s has no schema id: register its schema first", name)
	}
	return nil
}

// GenerateNext makes a valid sample for a pipeline, of any of its events.
func (g *Generator) GenerateNext(pipeline string) (Record, error) {
	return g.GenerateKind(pipeline, Valid)
}

// GenerateKind makes a sample of a kind for a pipeline, of any of its events that has the kind; see Has.
func (g *Generator) GenerateKind(pipeline string, kind Kind) (Record, error) {
	source, ok := g.sources[pipeline]
	if !ok {
		return Record{}, fmt.Errorf("no pipeline %q: those that there are: %s", pipeline, strings.Join(slices.Sorted(maps.Keys(g.sources)), ", "))
	}
	fit := slices.DeleteFunc(slices.Clone(source.Events), func(name string) bool { return !makers[name].has(kind) })
	if len(fit) == 0 {
		return Record{}, fmt.Errorf("pipeline %s: none of its events has samples of kind %q", pipeline, kind)
	}
	name := fit[g.rng.IntN(len(fit))]
	g.serial++
	evt, key := makers[name].make(g, kind)
	r := Record{Topic: source.Topic, Key: []byte(key), Event: name, Kind: kind}
	var err error
	if r.Value, err = g.encoder.Encode(g.ids[name], evt); err != nil {
		return Record{}, fmt.Errorf("making a sample of %s: %w", name, err)
	}
	return g.damaged(r)
}

// Has tells whether one of the source's events has samples of a kind.
func (s Source) Has(kind Kind) bool {
	return slices.ContainsFunc(s.Events, func(name string) bool { return makers[name].has(kind) })
}

// damaged does to the bytes what the kind asks for.
func (g *Generator) damaged(r Record) (Record, error) {
	switch r.Kind {
	case Valid, Invalid, Rejected, Retryable: // the bytes are well
	case Poison:
		r.Value = r.Value[:header+g.rng.IntN(len(r.Value)-header)]
	case Trailing:
		r.Value = append(r.Value, 0)
	case Magic:
		r.Value[0] = 1
	case UnknownID:
		r.Value = append(wire(unknownID), r.Value[header:]...)
	case Tombstone:
		r.Value = nil
	case Unmapped:
		id, ok := g.ids[Stray]
		if !ok {
			return Record{}, fmt.Errorf("event %s has no schema id: register its schema first", Stray)
		}
		r.Event, r.Value = Stray, append(wire(id), strayBody...)
	}
	return r, nil
}
