package consume_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// onlyMember gives the group's one member of the classic protocol.
func (c *cluster) onlyMember() string {
	c.t.Helper()
	info := c.Cluster().GroupInfo(group)
	if info == nil || len(info.Members) != 1 {
		c.t.Fatalf("the group is %+v, want one member", info)
	}
	for _, m := range info.Members {
		return m.MemberID
	}
	return ""
}

// answerHeartbeats answers a member's heartbeats in the group's stead while frozen holds, so that its session ends without its knowing.
func (c *cluster) answerHeartbeats(member string, frozen *atomic.Bool) *atomic.Int32 {
	var answered atomic.Int32
	c.Cluster().ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.Cluster().KeepControl()
		if r.(*kmsg.HeartbeatRequest).MemberID != member || !frozen.Load() {
			return nil, nil, false
		}
		answered.Add(1)
		return r.ResponseKind(), nil, true
	})
	return &answered
}

// A member that was frozen past its session must not touch what another one did meanwhile, whichever request tells it first.
func TestAMemberThatComesBackAfterItsSessionHarmsNothing(t *testing.T) {
	for name, first := range map[string]kmsg.Key{"told by its commit": kmsg.OffsetCommit, "told by its heartbeat": kmsg.Heartbeat} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.commits.AllowRewinds() // what it sends is refused; what counts is what the group has
				c.produce(30, ok)
				var held atomic.Bool
				held.Store(true)
				slow := make(chan struct{})
				a := c.join(1, 0, func(l *line, _ *consume.Config) {
					l.sent = true
					l.before = func(r *record.Record) {
						if r.Origin.Offset >= 5 && held.Load() {
							<-slow
						}
					}
				})
				testkit.AdvanceClock(20 * time.Second)
				id := c.onlyMember()
				var frozen, commitless atomic.Bool
				frozen.Store(true)
				commitless.Store(true)
				heartbeats := c.answerHeartbeats(id, &frozen)
				fired := c.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: -1,
					When: func(r kmsg.Request) bool { return r.(*kmsg.OffsetCommitRequest).MemberID == id && commitless.Load() }})
				b := c.join(2, 0, func(l *line, _ *consume.Config) { l.sent = true })
				testkit.AdvanceClock(46 * time.Second) // the session ends, and b takes over
				c.awaitCommitted(30)
				c.produce(60, ok)
				c.awaitCommitted(90)
				b.leave()
				before, _ := c.vendor.counts()
				if before != 90 {
					t.Fatalf("%d were delivered, want 90", before)
				}
				commitless.Store(first != kmsg.OffsetCommit)
				frozen.Store(first != kmsg.Heartbeat)
				held.Store(false)
				close(slow)
				testkit.AdvanceClock(10 * time.Second)
				commitless.Store(false)
				frozen.Store(false)
				testkit.AdvanceClock(time.Minute)
				fired()
				if heartbeats.Load() == 0 {
					t.Error("the member never thought its session alive")
				}
				for p := range int32(numParts) {
					c.awaitOffset(source, p, 30)
				}
				a.leave()
				for p := range int32(numParts) {
					c.awaitOffset(source, p, 30)
				}
				_, duplicates := c.vendor.counts()
				if duplicates > 15 { // the calls that a had under way when it froze
					t.Errorf("%d duplicates, want no more than a had under way", duplicates)
				}
			})
		})
	}
}
