package wake_test

import (
	"testing"
	"testing/synctest"

	"sluice/internal/wake"
)

func TestABroadcastWakesAllWhoWaitAndNobodyLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b wake.Broadcast
		b.Send() // nobody waits
		const waiters = 5
		woken := make(chan struct{}, waiters)
		for range waiters {
			next := b.Wait()
			go func() {
				<-next
				woken <- struct{}{}
			}()
		}
		synctest.Wait()
		if len(woken) != 0 {
			t.Fatal("woken by a broadcast that was sent before")
		}
		b.Send()
		synctest.Wait()
		if len(woken) != waiters {
			t.Errorf("woke %d of %d", len(woken), waiters)
		}
		select {
		case <-b.Wait():
			t.Error("who waits after a broadcast is woken by it")
		default:
		}
	})
}

// What is taken before looking at the event's effect misses nothing that happens between the two.
func TestABroadcastBetweenTakingAndWaitingIsNotMissed(t *testing.T) {
	var b wake.Broadcast
	next := b.Wait()
	b.Send()
	<-next
}

func TestASignalIsKeptOnceUntilItIsTaken(t *testing.T) {
	c := make(chan struct{}, 1)
	wake.Signal(c)
	wake.Signal(c)
	<-c
	select {
	case <-c:
		t.Error("two signals are two wake-ups")
	default:
	}
}
