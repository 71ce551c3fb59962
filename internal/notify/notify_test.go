package notify_test

import (
	"testing"
	"testing/synctest"

	"sluice/internal/notify"
)

func TestNotifyWakesAllWaitersAndNoLaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b notify.Broadcaster
		b.Notify() // without waiters
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
			t.Fatal("a waiter was woken by an earlier Notify")
		}
		b.Notify()
		synctest.Wait()
		if len(woken) != waiters {
			t.Errorf("got %d waiters woken, want %d", len(woken), waiters)
		}
		select {
		case <-b.Next():
			t.Error("a later waiter was woken by an earlier Notify")
		default:
		}
	})
}

func TestNotifyBetweenNextAndTheWaitIsNotMissed(t *testing.T) {
	var b notify.Broadcaster
	next := b.Next()
	b.Notify()
	<-next
}

func TestSignalsUntilTheReceiveCountOnce(t *testing.T) {
	signal := make(chan struct{}, 1)
	notify.TrySignal(signal)
	notify.TrySignal(signal)
	<-signal
	select {
	case <-signal:
		t.Error("got a second signal, want the two to count as one")
	default:
	}
}
