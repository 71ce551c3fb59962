package consume_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// hang answers no request of a kind until the function that it gives is called, which proves that one hung.
func (c *cluster) hang(key kmsg.Key) (release func()) {
	var hung atomic.Int32
	gate := make(chan struct{})
	c.Cluster().ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-gate:
		default:
			hung.Add(1)
			c.Cluster().SleepControl(func() { <-gate })
		}
		return nil, nil, false
	})
	return func() {
		c.t.Helper()
		close(gate)
		if hung.Load() == 0 {
			c.t.Errorf("no request of key %d hung", key)
		}
	}
}

// stuckAll holds every record until its assignment ends.
func stuckAll(l *line, _ *consume.Config) { l.stuck = func(*record.Record) bool { return true } }

// Whatever a member is doing, the first signal and then the second end it, in bounded time, and leave nothing running: the bubble fails when a goroutine stays.
func TestBothSignalsEndAMemberInEveryState(t *testing.T) {
	states := map[string]struct {
		change func(*line, *consume.Config)
		fault  func(*cluster) func()
	}{
		"at work":             {nil, nil},
		"records stuck":       {stuckAll, nil},
		"commits refused":     {nil, func(c *cluster) func() { return c.fault(refusedCommits(kerr.CoordinatorLoadInProgress, -1)) }},
		"commits hang":        {nil, func(c *cluster) func() { return c.hang(kmsg.OffsetCommit) }},
		"sent hangs":          {func(l *line, _ *consume.Config) { l.sent = true }, func(c *cluster) func() { return c.hang(kmsg.OffsetCommit) }},
		"joining":             {nil, func(c *cluster) func() { return c.hang(kmsg.JoinGroup) }},
		"taking over":         {nil, func(c *cluster) func() { return c.hang(kmsg.ListOffsets) }},
		"reading the offsets": {nil, func(c *cluster) func() { return c.hang(kmsg.OffsetFetch) }},
		"writing to a tier":   {nil, func(c *cluster) func() { return c.hang(kmsg.Produce) }},
		"waiting for a tier": {nil, func(c *cluster) func() {
			if err := c.Cluster().DeleteTopic(tier1m); err != nil {
				c.t.Fatal(err)
			}
			return func() {}
		}},
	}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.produce(30, func(i int) string { return []string{"ok", "retry once"}[i%2] })
				undo := func() {}
				if state.fault != nil {
					undo = state.fault(c)
				}
				m := c.join(1, time.Second, state.change)
				testkit.AdvanceClock(5 * time.Second)
				m.take()
				testkit.AdvanceClock(time.Second)
				m.work()
				select {
				case <-m.over:
				case <-time.After(10 * time.Second):
					t.Error("the member still runs 10 s after the second signal")
				}
				undo()
				<-m.over
				if c.commits.Seen() > 0 {
					if err := c.commits.Check(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

func TestACommitThatHangsDuringARevokeDelaysItAndLosesNothing(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.produce(90, ok)
		a := c.join(1, time.Second, nil)
		testkit.AdvanceClock(300 * time.Millisecond)
		b := c.join(2, time.Second, nil)
		release := c.hang(kmsg.OffsetCommit)
		testkit.AdvanceClock(20 * time.Second)
		release()
		c.awaitCommitted(90)
		a.leave()
		b.leave()
		c.check(90, 0)
	})
}

func TestARevokeDuringATakeOverLeavesThePartitionToItsNextOwner(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.produce(90, func(i int) string { return []string{"ok", "retry once"}[i%2] })
		release := c.hang(kmsg.ListOffsets)
		a := c.join(1, time.Second, func(_ *line, cfg *consume.Config) { cfg.Start = consume.StartPosition{} })
		testkit.AdvanceClock(time.Second)
		release()
		b := c.join(2, time.Second, nil)
		testkit.AdvanceClock(700 * time.Millisecond)
		b.leave()
		d := c.join(3, time.Second, nil)
		c.awaitCommitted(90)
		testkit.AdvanceClock(time.Minute)
		a.leave()
		d.leave()
		c.check(90, 0)
	})
}

func TestPartitionsAddedLaterWaitForTheirRetryPartitionsAndBeginAtTheirStart(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.fill(5)
		m := c.join(1, 0, func(_ *line, cfg *consume.Config) { cfg.Start = consume.StartPosition{Latest: true} })
		c.commits.StartAt(source, 0, 5)
		testkit.AdvanceClock(10 * time.Second)
		admin := kadm.NewClient(c.client)
		grow := func(topics ...string) {
			answer, err := admin.CreatePartitions(t.Context(), 1, topics...)
			if err == nil {
				err = answer.Error()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		grow(source)
		testkit.AdvanceClock(time.Second)
		c.client = testkit.NewClient(t, c.Platform, kgo.RecordPartitioner(kgo.ManualPartitioner())) // one that knows the new partition
		c.toPartition(numParts, 4)
		testkit.AdvanceClock(10 * time.Minute) // the client sees new partitions within 5 minutes
		c.checkCount(0)
		grow(tier10s, tier1m, dead)
		c.awaitOffset(source, numParts, 4)
		c.fill(2)
		c.awaitOffset(source, 0, 7)
		m.leave()
		c.check(6, 0)
	})
}

func TestTheStartAppliesOnceAlsoToTwoMembersAtATime(t *testing.T) {
	for name, start := range map[string]consume.StartPosition{"latest": {Latest: true}, "timestamp": {At: time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC)}} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.commits.AllowRewinds() // the start of the one that comes second is refused
				c.fill(5)
				c.commits.StartAt(source, 0, 5)
				testkit.AdvanceClock(time.Hour)
				if name == "timestamp" {
					c.fill(1)
				}
				change := func(_ *line, cfg *consume.Config) { cfg.Start = start }
				a, b := c.join(1, 0, change), c.join(2, 0, change)
				testkit.AdvanceClock(20 * time.Second)
				c.fill(2)
				testkit.AdvanceClock(20 * time.Second)
				a.leave()
				b.leave()
				c.fill(3)
				a = c.join(3, 0, change)
				testkit.AdvanceClock(20 * time.Second)
				a.leave()
				want := 5
				if name == "timestamp" {
					want++
				}
				c.check(want, 0)
			})
		})
	}
}

func TestMovesOfCoordinatorsAndLeadersLoseAndDoubleNothing(t *testing.T) {
	for _, next := range []bool{false, true} {
		t.Run(map[bool]string{false: "classic", true: "KIP-848"}[next], func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newClusterOf(t, 3)
				moved := c.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Observe: true, Count: -1})
				c.produce(300, func(i int) string { return []string{"ok", "retry once"}[i/3%2] })
				change := func(_ *line, cfg *consume.Config) { cfg.ConsumerProtocol = next }
				a, b := c.join(1, 2*time.Second, change), c.join(2, 2*time.Second, change)
				for range 6 {
					testkit.AdvanceClock(1500 * time.Millisecond)
					c.Cluster().RehashCoordinators()
					c.Cluster().ShufflePartitionLeaders()
				}
				c.awaitCommitted(300)
				testkit.AdvanceClock(time.Minute)
				a.leave()
				b.leave()
				if moved.Hits() < 2 {
					t.Error("nobody looked for a coordinator")
				}
				c.check(300, 0)
			})
		})
	}
}
