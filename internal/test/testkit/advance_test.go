package testkit_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/test/testkit"
)

func TestAdvanceClockWaitsForTimersThatAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var fired atomic.Bool
		time.AfterFunc(time.Minute, func() { fired.Store(true) })
		testkit.AdvanceClock(time.Minute - 1)
		if fired.Load() {
			t.Error("the timer fired before it was due")
		}
		testkit.AdvanceClock(1)
		if !fired.Load() || time.Since(start) != time.Minute {
			t.Errorf("got fired %v after %v, want true after 1m0s", fired.Load(), time.Since(start))
		}
	})
}

func TestAdvanceClockPanicsOutsideABubble(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got no panic, want one rather than a real wait of an hour")
		}
	}()
	testkit.AdvanceClock(time.Hour)
}
