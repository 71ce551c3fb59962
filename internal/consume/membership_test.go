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

// onlyMemberID returns the ID of the only member of the group, which uses the classic protocol.
func (h *harness) onlyMemberID() string {
	h.t.Helper()
	info := h.Cluster().GroupInfo(group)
	if info == nil || len(info.Members) != 1 {
		h.t.Fatalf("got group %+v, want one member", info)
	}
	for _, m := range info.Members {
		return m.MemberID
	}
	return ""
}

// fakeHeartbeats responds to a member's heartbeats instead of the coordinator while frozen is set,
// so that the session ends without the member noticing.
func (h *harness) fakeHeartbeats(member string, frozen *atomic.Bool) *atomic.Int32 {
	var responded atomic.Int32
	h.Cluster().ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.Cluster().KeepControl()
		if r.(*kmsg.HeartbeatRequest).MemberID != member || !frozen.Load() {
			return nil, nil, false
		}
		responded.Add(1)
		return r.ResponseKind(), nil, true
	})
	return &responded
}

// A member that was frozen for longer than its session must not change what another member did in
// the meantime, whichever of its requests detects that first.
func TestMemberThatOutlivesItsSessionChangesNothing(t *testing.T) {
	for name, first := range map[string]kmsg.Key{
		"commit is refused first": kmsg.OffsetCommit, "heartbeat is refused first": kmsg.Heartbeat,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.commits.AllowRewinds() // its commits are refused; what counts is what the group has committed
				h.produceRecords(30, alwaysOK)
				var held atomic.Bool
				held.Store(true)
				slow := make(chan struct{})
				a := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) {
					s.logIntents = true
					s.beforeCall = func(r *record.Record) {
						if r.Origin.Offset >= 5 && held.Load() {
							<-slow
						}
					}
				})
				testkit.AdvanceClock(20 * time.Second)
				id := h.onlyMemberID()
				var frozen, commitless atomic.Bool
				frozen.Store(true)
				commitless.Store(true)
				heartbeats := h.fakeHeartbeats(id, &frozen)
				removeFault := h.injectFault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: -1,
					When: func(r kmsg.Request) bool {
						return r.(*kmsg.OffsetCommitRequest).MemberID == id && commitless.Load()
					},
				})
				b := h.startMember(2, 0, func(s *fakeStages, _ *consume.Config) { s.logIntents = true })
				testkit.AdvanceClock(46 * time.Second) // the session ends, and b owns the partitions
				h.awaitCommitted(30)
				h.produceRecords(60, alwaysOK)
				h.awaitCommitted(90)
				b.stopCleanly()
				before, _ := h.vendor.countDeliveries()
				if before != 90 {
					t.Fatalf("got %d records delivered, want 90", before)
				}
				commitless.Store(first != kmsg.OffsetCommit)
				frozen.Store(first != kmsg.Heartbeat)
				held.Store(false)
				close(slow)
				testkit.AdvanceClock(10 * time.Second)
				commitless.Store(false)
				frozen.Store(false)
				testkit.AdvanceClock(time.Minute)
				removeFault()
				if heartbeats.Load() == 0 {
					t.Error("got no faked heartbeat, want at least one")
				}
				for p := range int32(numParts) {
					h.awaitOffset(source, p, 30)
				}
				a.stopCleanly()
				for p := range int32(numParts) {
					h.awaitOffset(source, p, 30)
				}
				_, duplicates := h.vendor.countDeliveries()
				if duplicates > 15 { // the calls that a had in flight when it froze
					t.Errorf("got %d duplicates, want at most the 15 calls in flight", duplicates)
				}
			})
		})
	}
}
