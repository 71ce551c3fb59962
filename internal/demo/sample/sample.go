// Package sample generates sample events: realistic ones of every type that the vendors' operations
// accept, and bad ones of named kinds.
//
// The same seed generates the same samples in the same order. All people, shops and numbers are
// invented, and all addresses are in domains that RFC 2606 reserves for examples.
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
	// Key is the record key. It is the same for all events of a customer, which are therefore in
	// the same partition.
	Key []byte
	// Value is in Confluent's wire format. It is nil for kind Tombstone.
	Value []byte
	// Event is the full Avro name of the encoded event. For kind Tombstone it names the event that
	// was not encoded.
	Event string
	Kind  Kind
	// ItemID and ItemVersion are what the sandbox's ledger identifies the event's item by. An empty
	// ItemID means the ID of the record's origin.
	ItemID, ItemVersion string
}

// Options are the settings of a Generator.
type Options struct {
	// Seed determines everything that is random.
	Seed uint64
	// Sources are the topics for which samples are generated.
	Sources []Source
	// IDs are the schema IDs by full event name, as RegisterSchemas returns them.
	IDs map[string]int
	// Vendors provide the samplers. Nil means BuiltinVendors.
	Vendors []Vendor
}

// Generator generates samples. It is not safe for concurrent use.
type Generator struct {
	random    *rand.Rand
	runID     uint32 // distinguishes the samples of one seed from those of another
	serial    int
	customers []customer
	sources   map[string]Source
	ids       map[string]int
	vendors   []Vendor
	encoder   *encode.Encoder
}

// builtinEncoder is shared by all generators, because parsing the schemas is slow compared with
// generating a few samples.
var builtinEncoder = sync.OnceValues(encode.NewEncoder)

// NewGenerator returns a Generator. Each event of each source must have a schema ID.
func NewGenerator(o Options) (*Generator, error) {
	encoder, err := newEncoder(o.Vendors)
	if err != nil {
		return nil, fmt.Errorf("preparing to encode samples: %w", err)
	}
	g := &Generator{
		random: rand.New(rand.NewPCG(o.Seed, o.Seed)), sources: map[string]Source{}, ids: maps.Clone(o.IDs),
		vendors: o.Vendors, encoder: encoder,
	}
	if g.vendors == nil {
		g.vendors = BuiltinVendors()
	}
	g.runID = g.random.Uint32()
	g.customers = g.newCustomers()
	for _, s := range o.Sources {
		for _, name := range s.Events {
			if err := g.checkEvent(name); err != nil {
				return nil, fmt.Errorf("pipeline %s: %w", s.Pipeline, err)
			}
		}
		g.sources[s.Pipeline] = s
	}
	return g, nil
}

func newEncoder(vendors []Vendor) (*encode.Encoder, error) {
	if vendors == nil {
		return builtinEncoder()
	}
	return encode.NewEncoderFor(eventTypes(vendors))
}

func (g *Generator) checkEvent(name string) error {
	if _, _, ok := findSampler(g.vendors, name); !ok {
		return fmt.Errorf("no samples of event %s, only of: %s", name, strings.Join(g.eventNames(), ", "))
	}
	if _, ok := g.ids[name]; !ok {
		return fmt.Errorf("event %s has no schema ID: register its schema first", name)
	}
	return nil
}

// eventNames returns the events that have samples, sorted.
func (g *Generator) eventNames() []string {
	var names []string
	for _, vendor := range g.vendors {
		names = slices.AppendSeq(names, maps.Keys(vendor.Samplers))
	}
	slices.Sort(names)
	return names
}

// GenerateNext generates a valid sample of any event of a pipeline.
func (g *Generator) GenerateNext(pipeline string) (Record, error) {
	return g.GenerateKind(pipeline, Valid)
}

// GenerateKind generates a sample of any event of a pipeline that has the kind; see Source.HasKind.
func (g *Generator) GenerateKind(pipeline string, kind Kind) (Record, error) {
	source, ok := g.sources[pipeline]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(g.sources)), ", ")
		return Record{}, fmt.Errorf("no pipeline %q, only: %s", pipeline, known)
	}
	candidates := source.eventsWithKind(g.vendors, kind)
	if len(candidates) == 0 {
		return Record{}, fmt.Errorf("pipeline %s: none of its events has samples of kind %q", pipeline, kind)
	}
	name := candidates[g.random.IntN(len(candidates))]
	g.serial++
	sampler, vendor, _ := findSampler(g.vendors, name) // a candidate has one
	evt, key := sampler.generate(g, kind)
	r := Record{Topic: source.Topic, Key: []byte(key), Event: name, Kind: kind}
	if vendor.ItemID != nil {
		r.ItemID, r.ItemVersion = vendor.ItemID(evt)
	}
	var err error
	if r.Value, err = g.encoder.Encode(g.ids[name], evt); err != nil {
		return Record{}, fmt.Errorf("encoding a sample of %s: %w", name, err)
	}
	return g.corruptRecord(r)
}

// HasKind reports whether one of the source's events has samples of a kind.
func (s Source) HasKind(kind Kind) bool { return len(s.eventsWithKind(BuiltinVendors(), kind)) > 0 }

func (s Source) eventsWithKind(vendors []Vendor, kind Kind) []string {
	var names []string
	for _, name := range s.Events {
		if sampler, _, ok := findSampler(vendors, name); ok && sampler.hasKind(kind) {
			names = append(names, name)
		}
	}
	return names
}

// corruptRecord damages the bytes as the record's kind requires.
func (g *Generator) corruptRecord(r Record) (Record, error) {
	switch r.Kind {
	case Valid, Invalid, Rejected, Retryable: // the bytes stay intact
	case Poison:
		r.Value = r.Value[:headerBytes+g.random.IntN(len(r.Value)-headerBytes)]
	case Trailing:
		r.Value = append(r.Value, 0)
	case Magic:
		r.Value[0] = 1
	case UnknownID:
		r.Value = append(wireHeader(unknownID), r.Value[headerBytes:]...)
	case Tombstone:
		r.Value = nil
	case Unmapped:
		id, ok := g.ids[Stray]
		if !ok {
			return Record{}, fmt.Errorf("event %s has no schema ID: register its schema first", Stray)
		}
		r.Event, r.Value = Stray, append(wireHeader(id), strayBody...)
	}
	return r, nil
}
