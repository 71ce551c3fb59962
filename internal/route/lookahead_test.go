package route_test

import (
	"testing"

	"sluice/internal/route"
	"sluice/internal/test/testkit"
)

// After a start the first record may be the one of an unknown id: with good ones behind it, it is no sign of a wrong registry.
func TestAnUnknownSchemaIdAtTheHeadAfterAStartCostsItselfAlone(t *testing.T) {
	for name, change := range map[string]func(*route.Config){"in order": ordered, "in no order": nil} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t, change)
				returned := r.handle(r.purchase(lateID, "late"), r.record([]byte{9}), r.record(nil), r.purchase(purchaseID, "behind"))
				testkit.AdvanceClock(2 * idWait)
				r.wantReturned(returned, true)
				r.wantDelivered("behind")
				r.deadLetters(3)
				r.wantSettled(4, 0)
				r.wantHold("")
			})
		})
	}
}
