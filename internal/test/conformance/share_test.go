package conformance

import "testing"

// sharingCase is two events of an operation, and whether their items may be in one call.
type sharingCase struct {
	name string
	a, b any
	// otherEnvelope: the items need different envelopes. sameEntity: they write the same entity.
	otherEnvelope, sameEntity bool
}

// What a call can have only once is in the item's envelope key. What must not be in one call twice
// is its entity key.
func TestItemsThatCannotShareCallHaveDifferentKeys(t *testing.T) { productSuite().checkSharing(t) }

func (s suite) checkSharing(t *testing.T) {
	s.requireParts(t)
	for _, o := range s.operations() {
		for _, c := range o.sharing {
			t.Run(c.name, func(t *testing.T) {
				op := s.newHarness(t, setup{}).operations[o.name]
				a, b := encodeEvent(t, op, c.a), encodeEvent(t, op, c.b)
				sameEntity := a.EntityKey != "" && a.EntityKey == b.EntityKey
				if (a.EnvelopeKey != b.EnvelopeKey) != c.otherEnvelope || sameEntity != c.sameEntity {
					t.Errorf("got envelope keys %q and %q, entity keys %q and %q; want different envelopes: %t, the same entity: %t",
						a.EnvelopeKey, b.EnvelopeKey, a.EntityKey, b.EntityKey, c.otherEnvelope, c.sameEntity)
				}
			})
		}
	}
}
