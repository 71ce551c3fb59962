package consume_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// hangRequests withholds the responses to requests of a kind until the returned function is called,
// which also checks that there was such a request.
func (h *harness) hangRequests(key kmsg.Key) (release func()) {
	var hung atomic.Int32
	gate := make(chan struct{})
	h.Cluster().ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-gate:
		default:
			hung.Add(1)
			h.Cluster().SleepControl(func() { <-gate })
		}
		return nil, nil, false
	})
	return func() {
		h.t.Helper()
		close(gate)
		if hung.Load() == 0 {
			h.t.Errorf("got no request of key %d, want at least one", key)
		}
	}
}

// withAllStuck leaves every record unsettled until its assignment ends.
func withAllStuck(s *fakeStages, _ *consume.Config) {
	s.isStuck = func(*record.Record) bool { return true }
}

// withIntents commits the intent of every record before its call.
func withIntents(s *fakeStages, _ *consume.Config) { s.logIntents = true }

// Whatever a member is doing, the two signals stop it in bounded time and leave no goroutine
// running: otherwise the bubble would fail.
func TestTwoSignalsStopAMemberInAnyState(t *testing.T) {
	states := map[string]struct {
		change func(*fakeStages, *consume.Config)
		fault  func(*harness) func()
	}{
		"working":       {nil, nil},
		"records stuck": {withAllStuck, nil},
		"commits refused": {nil, func(h *harness) func() {
			return h.injectFault(refuseCommits(kerr.CoordinatorLoadInProgress, -1))
		}},
		"commits hang":      {nil, func(h *harness) func() { return h.hangRequests(kmsg.OffsetCommit) }},
		"intents hang":      {withIntents, func(h *harness) func() { return h.hangRequests(kmsg.OffsetCommit) }},
		"joining":           {nil, func(h *harness) func() { return h.hangRequests(kmsg.JoinGroup) }},
		"recovering":        {nil, func(h *harness) func() { return h.hangRequests(kmsg.ListOffsets) }},
		"fetching offsets":  {nil, func(h *harness) func() { return h.hangRequests(kmsg.OffsetFetch) }},
		"appending markers": {nil, func(h *harness) func() { return h.hangRequests(kmsg.Produce) }},
		"writing to a retry topic": {nil, func(h *harness) func() {
			return h.injectFault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1, When: isWithoutMarker,
			})
		}},
		"waiting for a retry topic": {nil, func(h *harness) func() {
			if err := h.Cluster().DeleteTopic(tier1m); err != nil {
				h.t.Fatal(err)
			}
			return func() {}
		}},
	}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceRecords(30, func(i int) string { return []string{"ok", "retry once"}[i%2] })
				undo := func() {}
				if state.fault != nil {
					undo = state.fault(h)
				}
				m := h.startMember(1, time.Second, state.change)
				testkit.AdvanceClock(5 * time.Second)
				m.stopFetching()
				testkit.AdvanceClock(time.Second)
				m.stopWork()
				select {
				case <-m.stopped:
				case <-time.After(10 * time.Second):
					t.Error("got a running member 10s after the second signal, want it stopped")
				}
				undo()
				<-m.stopped
				if h.commits.CommitCount() > 0 {
					h.checkCommits()
				}
			})
		})
	}
}

func TestHungCommitDelaysRevokeWithoutLoss(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(90, alwaysOK)
		a := h.startMember(1, time.Second, nil)
		testkit.AdvanceClock(400 * time.Millisecond)
		b := h.startMember(2, time.Second, nil)
		release := h.hangRequests(kmsg.OffsetCommit)
		testkit.AdvanceClock(20 * time.Second)
		release()
		h.awaitCommitted(90)
		a.stopCleanly()
		b.stopCleanly()
		h.checkDeliveries(90, 0)
	})
}

func TestRevokeDuringRecoveryLeavesThePartitionToItsNextOwner(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(90, func(i int) string { return []string{"ok", "retry once"}[i%2] })
		release := h.hangRequests(kmsg.ListOffsets)
		a := h.startMember(1, time.Second, nil)
		testkit.AdvanceClock(time.Second)
		release()
		b := h.startMember(2, time.Second, nil)
		testkit.AdvanceClock(700 * time.Millisecond)
		b.stopCleanly()
		d := h.startMember(3, time.Second, nil)
		h.awaitCommitted(90)
		testkit.AdvanceClock(time.Minute)
		a.stopCleanly()
		d.stopCleanly()
		h.checkDeliveries(90, 0)
	})
}

func TestAddedPartitionWaitsForItsRetryPartitionsAndStartsAtOffsetZero(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(5)
		h.commits.StartAt(source, 0, 5)
		m := h.startMember(1, 0, withLatestStart)
		testkit.AdvanceClock(10 * time.Second)
		admin := kadm.NewClient(h.client)
		grow := func(topics ...string) {
			responses, err := admin.CreatePartitions(t.Context(), 1, topics...)
			if err == nil {
				err = responses.Error()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		grow(source)
		testkit.AdvanceClock(time.Second)
		h.client = h.newClient() // a client that knows the new partition
		h.produceToPartition(numParts, 4)
		testkit.AdvanceClock(10 * time.Minute) // the group client sees new partitions within 5 minutes
		h.checkDelivered(0)
		grow(tier10s, tier1m, dead)
		h.awaitOffset(source, numParts, 4)
		h.produceToFirst(2)
		h.awaitOffset(source, 0, 7)
		m.stopCleanly()
		h.checkDeliveries(6, 0)
	})
}

func TestStartPositionAppliesOnceWhenTwoMembersStartTogether(t *testing.T) {
	for name, start := range map[string]consume.StartPosition{
		"latest": {Latest: true}, "timestamp": {At: time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.commits.AllowRewinds() // the start position of the second member is refused
				h.produceToFirst(5)
				h.commits.StartAt(source, 0, 5)
				testkit.AdvanceClock(time.Hour)
				if name == "timestamp" {
					h.produceToFirst(1)
				}
				change := func(_ *fakeStages, cfg *consume.Config) { cfg.Start = start }
				a, b := h.startMember(1, 0, change), h.startMember(2, 0, change)
				testkit.AdvanceClock(20 * time.Second)
				h.produceToFirst(2)
				testkit.AdvanceClock(20 * time.Second)
				a.stopCleanly()
				b.stopCleanly()
				h.produceToFirst(3)
				a = h.startMember(3, 0, change)
				testkit.AdvanceClock(20 * time.Second)
				a.stopCleanly()
				want := 5
				if name == "timestamp" {
					want++
				}
				h.checkDeliveries(want, 0)
			})
		})
	}
}

func TestCoordinatorAndLeaderMovesCauseNoLossOrDuplicates(t *testing.T) {
	for _, consumerProtocol := range []bool{false, true} {
		t.Run(map[bool]string{false: "classic", true: "KIP-848"}[consumerProtocol], func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarnessWithBrokers(t, 3)
				moved := h.Cluster().Fault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.FindCoordinator}, Observe: true, Count: -1,
				})
				h.produceRecords(300, func(i int) string { return []string{"ok", "retry once"}[i/3%2] })
				h.respondToRetryEpochs()
				change := withProtocol(consumerProtocol)
				a, b := h.startMember(1, 2*time.Second, change), h.startMember(2, 2*time.Second, change)
				for range 6 {
					testkit.AdvanceClock(1500 * time.Millisecond)
					h.Cluster().RehashCoordinators()
					h.Cluster().ShufflePartitionLeaders()
				}
				h.awaitCommitted(300)
				testkit.AdvanceClock(time.Minute)
				a.stopCleanly()
				b.stopCleanly()
				if moved.Hits() < 2 {
					t.Errorf("got %d coordinator lookups, want at least 2", moved.Hits())
				}
				h.checkDeliveries(300, 0)
			})
		})
	}
}
