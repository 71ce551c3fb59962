package sample

// Sampler makes the samples of one event.
type Sampler struct {
	generate func(g *Generator, kind Kind) (evt any, key string)
	// spoiledKinds are the kinds for which the event itself is changed.
	spoiledKinds map[Kind]bool
}

// Spoilers turn a valid event into a bad one of a kind. Only the kinds that are about the event's
// content need one: Invalid, Rejected and Retryable.
type Spoilers[E any] map[Kind]func(g *Generator, e *E)

// NewSampler returns a Sampler of valid events, of their record keys, and of the bad events that
// spoilers make of them.
func NewSampler[E any](newValid func(*Generator) *E, recordKey func(*E) string, spoilers Spoilers[E]) Sampler {
	s := Sampler{spoiledKinds: map[Kind]bool{}}
	for kind := range spoilers {
		s.spoiledKinds[kind] = true
	}
	s.generate = func(g *Generator, kind Kind) (any, string) {
		e := newValid(g)
		if spoil, ok := spoilers[kind]; ok {
			spoil(g, e)
		}
		return e, recordKey(e)
	}
	return s
}

// hasKind reports whether there are samples of a kind. Damage to the bytes alone is possible for
// every event.
func (s Sampler) hasKind(kind Kind) bool {
	switch kind {
	case Invalid, Rejected, Retryable:
		return s.spoiledKinds[kind]
	case Valid, Poison, Trailing, Magic, UnknownID, Unmapped, Tombstone:
		return s.generate != nil
	default:
		return false
	}
}
