package sample

// Sampler generates the samples of one event type.
type Sampler struct {
	generate func(g *Generator, kind Kind) (evt any, key string)
	// mutatedKinds are the kinds for which there is a mutation.
	mutatedKinds map[Kind]bool
}

// Mutations turn a valid event into a bad one of a kind. Only the kinds that concern the event's
// content have one: Invalid, Rejected and Retryable.
type Mutations[E any] map[Kind]func(g *Generator, e *E)

// NewSampler returns a Sampler that creates events with newValid, keys their records with
// recordKey, and makes them bad with mutations.
func NewSampler[E any](newValid func(*Generator) *E, recordKey func(*E) string, mutations Mutations[E]) Sampler {
	s := Sampler{mutatedKinds: map[Kind]bool{}}
	for kind := range mutations {
		s.mutatedKinds[kind] = true
	}
	s.generate = func(g *Generator, kind Kind) (any, string) {
		e := newValid(g)
		if mutate, ok := mutations[kind]; ok {
			mutate(g, e)
		}
		return e, recordKey(e)
	}
	return s
}

// hasKind reports whether there are samples of a kind. Those that only damage the encoded bytes
// exist for every event.
func (s Sampler) hasKind(kind Kind) bool {
	switch kind {
	case Invalid, Rejected, Retryable:
		return s.mutatedKinds[kind]
	case Valid, Poison, Trailing, Magic, UnknownID, Unmapped, Tombstone:
		return s.generate != nil
	default:
		return false
	}
}
