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

func guarded(t *testing.T, change func(*route.Config)) (*rig, *guard.Guard) {
	t.Helper()
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	r := newRig(t, func(c *route.Config) {
		c.Guard = g
		if change != nil {
			change(c)
		}
	})
	return r, g
}

// unkeyed records count singly.
func (r *rig) unkeyed(value []byte) *record.Record {
	rec := r.record(value)
	rec.Raw.Key = nil
	return rec
}

// poison hands on n records that cannot be read. The first ones are settled before the guard trips.
func (r *rig) poison(n int) {
	r.t.Helper()
	for i := range n {
		r.wantReturned(r.handle(r.unkeyed([]byte("poison"))), true)
		if i == 18 {
			testkit.AdvanceClock(time.Second)
		}
	}
}

func TestAFloodOfPoisonIsHeldUntilItIsReleased(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r, g := guarded(t, nil)
		r.poison(100)
		testkit.AdvanceClock(time.Hour)
		r.deadLetters(19)
		r.wantSettled(19, 81)
		g.Release()
		r.deadLetters(100)
		r.wantSettled(100, 0)
	})
}

func TestAFloodHoldsNoRecordThatIsSkippedOrGood(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r, _ := guarded(t, func(c *route.Config) { c.SkipTombstones, c.SkipUnmapped = true, true })
		r.poison(20)
		r.handle(r.record(nil), r.webVisit(), r.purchase(purchaseID, "good"))
		r.wantDelivered("good")
		r.wantSettled(19, 1)
		r.deadLetters(19)
	})
}

func TestWhatLeavesByRuleIsNoRefusal(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r, g := guarded(t, func(c *route.Config) { c.SkipUnmapped = true })
		for range 100 {
			r.handle(r.unkeyed(nil), r.webVisit())
		}
		r.deadLetters(100) // tombstones
		r.wantSettled(200, 0)
		if g.Tripped() {
			t.Error("the guard has tripped")
		}
	})
}

func TestAFloodDropsTheRecordsOfAnEndingAssignmentAtOnce(t *testing.T) {
	for name, end := range map[string]func(*rig){"drain": func(r *rig) { r.drain(r.tracker) }, "hard stop": func(r *rig) { r.cut() }} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r, _ := guarded(t, nil)
				r.poison(50)
				began := time.Now()
				end(r)
				<-r.tracker.Idle()
				if took := time.Since(began); took != 0 {
					t.Errorf("it took %v", took)
				}
				r.deadLetters(19)
				if s := r.tracker.Progress(); s.Committable != 19 {
					t.Errorf("committable %d, want 19", s.Committable)
				}
			})
		})
	}
}

func TestOneKeyOfPoisonIsNoFlood(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r, g := guarded(t, nil)
		for n := range 100 {
			r.handle(r.record(fmt.Append(nil, "poison ", n))) // of one key
		}
		r.deadLetters(100)
		if g.Tripped() {
			t.Error("the guard has tripped")
		}
	})
}
