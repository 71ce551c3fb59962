package notify_test

import (
	"testing"
	"testing/synctest"

	"sluice/internal/notify"
)

func TestABroadcastWakesAllWhoWaitAndNobodyLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b notify.Broadcaster
		b.Notify() // nobody waits
		const waiters = 5
		woken := make(chan struct{}, waiters)
		for range waiters {
			next := b.Next()
			go func() {
				<-next
				woken <- struct{}{}
			}()
		}
		synctest.Wait()
		if len(woken) != 0 {
			t.Fatal("woken by a broadcast that was sent before")
		}
		b.Notify()
		synctest.Wait()
		if len(woken) != waiters {
			t.Errorf("woke %d of %d", len(woken), waiters)
		}
		select {
		case <-b.Next():
			t.Error("who waits after a broadcast is woken by it")
		default:
		}
	})
}

// What is taken before looking at the event's effect misses nothing that happens between the two.
func TestABroadcastBetweenTakingAndWaitingIsNotMissed(t *testing.T) {
	var b notify.Broadcaster
	next := b.Next()
	b.Notify()
	<-next
}

func TestASignalIsKeptOnceUntilItIsTaken(t *testing.T) {
	c := make(chan struct{}, 1)
	notify.TrySignal(c)
	notify.TrySignal(c)
	<-c
	select {
	case <-c:
		t.Error("two signals are two wake-ups")
	default:
	}
}
