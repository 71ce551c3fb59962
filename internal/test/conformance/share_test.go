package conformance

import "testing"

// sharingCase is a pair of events of an operation, and whether their items may be in the same call.
type sharingCase struct {
	name string
	a, b any
	// otherEnvelope means that the items need different envelopes, sameEntity that they write the
	// same entity.
	otherEnvelope, sameEntity bool
}

// Items that need different envelopes must have different envelope keys, and items that must not be
// in the same call must have the same entity key.
func TestItemsThatCannotShareACallHaveDifferentKeys(t *testing.T) { productSuite().checkSharing(t) }

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
