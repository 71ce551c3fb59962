package route_test

import (
	"fmt"
	"testing"
	"time"

	"sluice/internal/guard"
	"sluice/internal/record"
	"sluice/internal/route"
	"sluice/internal/test/testkit"
)

func newGuardedHarness(t *testing.T, adjust func(*route.Config)) (*harness, *guard.Guard) {
	t.Helper()
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	h := newHarness(t, func(c *route.Config) {
		c.Guard = g
		if adjust != nil {
			adjust(c)
		}
	})
	return h, g
}

// unkeyedRecord returns a record that the guard counts on its own and not together with others of
// the same key.
func (h *harness) unkeyedRecord(value []byte) *record.Record {
	rec := h.newRecord(value)
	rec.Raw.Key = nil
	return rec
}

// handlePoison handles n records that cannot be decoded. The first 19 are settled before the guard
// trips.
func (h *harness) handlePoison(n int) {
	h.t.Helper()
	for i := range n {
		h.checkReturned(h.handleAsync(h.unkeyedRecord([]byte("poison"))), true)
		if i == 18 {
			testkit.AdvanceClock(time.Second)
		}
	}
}

func TestFloodOfPoisonIsHeldUntilTheOperatorReleasesIt(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h, g := newGuardedHarness(t, nil)
		h.handlePoison(100)
		testkit.AdvanceClock(time.Hour)
		h.readDeadLetters(19)
		h.checkProgress(19, 81)
		g.Release()
		h.readDeadLetters(100)
		h.checkProgress(100, 0)
	})
}

func TestFloodHoldsNeitherSkippedNorGoodRecords(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h, _ := newGuardedHarness(t, func(c *route.Config) { c.SkipTombstones, c.SkipUnmapped = true, true })
		h.handlePoison(20)
		h.handleAsync(h.newRecord(nil), h.webVisitRecord(), h.purchaseRecord(purchaseID, "good"))
		h.checkDelivered("good")
		h.checkProgress(19, 1)
		h.readDeadLetters(19)
	})
}

func TestSkippedRecordsAndTombstonesDoNotTripTheGuard(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h, g := newGuardedHarness(t, func(c *route.Config) { c.SkipUnmapped = true })
		for range 100 {
			h.handleAsync(h.unkeyedRecord(nil), h.webVisitRecord())
		}
		h.readDeadLetters(100) // tombstones
		h.checkProgress(200, 0)
		if g.Tripped() {
			t.Error("the guard has tripped, want it not to")
		}
	})
}

func TestFloodReleasesRecordsOfAnEndingAssignmentAtOnce(t *testing.T) {
	for name, end := range map[string]func(*harness){
		"drain":     func(h *harness) { h.drainAssignment(h.tracker) },
		"hard stop": func(h *harness) { h.endWork() },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h, _ := newGuardedHarness(t, nil)
				h.handlePoison(50)
				began := time.Now()
				end(h)
				<-h.tracker.Idle()
				if took := time.Since(began); took != 0 {
					t.Errorf("the records were released after %v, want at once", took)
				}
				h.readDeadLetters(19)
				if s := h.tracker.Progress(); s.Committable != 19 {
					t.Errorf("got committable %d, want 19", s.Committable)
				}
			})
		})
	}
}

func TestPoisonOfOneKeyIsNoFlood(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h, g := newGuardedHarness(t, nil)
		for n := range 100 {
			h.handleAsync(h.newRecord(fmt.Append(nil, "poison ", n))) // all of one key
		}
		h.readDeadLetters(100)
		if g.Tripped() {
			t.Error("the guard has tripped, want it not to")
		}
	})
}
