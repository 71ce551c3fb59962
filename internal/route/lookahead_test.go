package route_test

import (
	"testing"

	"sluice/internal/route"
	"sluice/internal/test/testkit"
)

// The first record after a start may have an unknown schema ID. If the registry knows the IDs of
// the records behind it, it is not the wrong registry.
func TestUnknownIDOfTheFirstRecordDoesNotBlockOthers(t *testing.T) {
	for name, adjust := range map[string]func(*route.Config){"ordered": keepOrder, "unordered": nil} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, adjust)
				returned := h.handleAsync(h.purchaseRecord(lateID, "late"),
					h.newRecord([]byte{9}), h.newRecord(nil), h.purchaseRecord(purchaseID, "behind"))
				testkit.AdvanceClock(2 * idWait)
				h.checkReturned(returned, true)
				h.checkDelivered("behind")
				h.readDeadLetters(3)
				h.checkProgress(4, 0)
				h.checkHold("")
			})
		})
	}
}
