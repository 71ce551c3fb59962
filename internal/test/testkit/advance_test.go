package testkit_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/test/testkit"
)

func TestAdvanceReturnsWhenWhatCameDueIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var done atomic.Bool
		time.AfterFunc(time.Minute, func() { done.Store(true) })
		testkit.AdvanceClock(time.Minute - 1)
		if done.Load() {
			t.Error("done before it was due")
		}
		testkit.AdvanceClock(1)
		if !done.Load() || time.Since(start) != time.Minute {
			t.Errorf("done: %v, after %v; want it done after 1m0s", done.Load(), time.Since(start))
		}
	})
}

func TestAdvanceNeverTakesRealTime(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic outside a bubble")
		}
	}()
	testkit.AdvanceClock(time.Hour)
}
