package consume_test

import (
	"bytes"
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

// hasMarker reports whether a Produce request contains an ownership marker.
func hasMarker(r kmsg.Request) bool {
	for _, topic := range r.(*kmsg.ProduceRequest).Topics {
		for _, p := range topic.Partitions {
			if bytes.Contains(p.Records, []byte(record.HeaderOwner)) { // batches are not compressed
				return true
			}
		}
	}
	return false
}

// isWithoutMarker reports whether a Produce request contains no ownership marker.
func isWithoutMarker(r kmsg.Request) bool { return !hasMarker(r) }

// produceLateCopy produces a copy that counts as settled at once.
func (h *harness) produceLateCopy(topic string, origin int64, attempt int, due time.Time, writer string) {
	h.t.Helper()
	want := h.endOffset(topic, 0)
	h.commits.MarkSettled(topic, 0, want)
	if got := h.produceCopy(topic, 0, origin, attempt, due, writer); got != want {
		h.t.Errorf("%s/0: got a late copy at offset %d, want %d", topic, got, want)
	}
}

// checkNoLag checks that the group has committed the end of partition 0 of each retry topic.
func (h *harness) checkNoLag() {
	h.t.Helper()
	for _, topic := range []string{tier10s, tier1m} {
		if got, want := h.Cluster().GroupInfo(group).Commits[topic][0].Offset, h.endOffset(topic, 0); got != want {
			h.t.Errorf("%s/0: got committed offset %d, want the end offset %d", topic, got, want)
		}
	}
}

// The first owner still has the partition when the copy is written. It need not be due to be
// recognized.
func TestLateCopyThatIsNotDueIsSkippedByTheNextOwner(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(3)
		first := h.startMember(1, 0, nil)
		h.awaitOffset(source, 0, 3)
		h.produceLateCopy(tier10s, 1, 1, time.Now().Add(10*time.Second), "an owner that lost it")
		testkit.AdvanceClock(3 * time.Second)
		first.stopCleanly()
		second := h.startMember(2, 0, nil)
		testkit.AdvanceClock(time.Minute)
		second.stopCleanly()
		h.checkDeliveries(3, 0)
		h.checkNoLag()
	})
}

// The first owner does not reach the late copy, because a record before it is not due.
func TestUnreadLateCopyIsSkippedByTheNextOwner(t *testing.T) {
	for name, writer := range map[string]string{"unknown writer": "an owner that lost it", "previous owner": ""} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.startMember(1, 0, nil).stopAfter(10 * time.Second)
				h.produceToFirst(3)
				h.produceCopy(tier10s, 0, 1000, 1, time.Now().Add(time.Minute), h.lastOwner())
				if writer == "" {
					writer = h.lastOwner()
				}
				second := h.startMember(2, 0, nil)
				h.awaitOffset(source, 0, 3)
				h.produceLateCopy(tier10s, 1, 5, time.Now(), writer)
				testkit.AdvanceClock(10 * time.Second)
				second.stopCleanly()
				third := h.startMember(3, 0, nil)
				testkit.AdvanceClock(2 * time.Minute)
				third.stopCleanly()
				h.checkDeliveries(4, 0)
				h.checkNoLag()
			})
		})
	}
}

// As above, and the origin of the late copy is not settled: it must not count as settled.
func TestUnreadLateCopyDoesNotSettleItsOrigin(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.startMember(1, 0, nil).stopAfter(10 * time.Second)
		h.produceToFirst(3)
		h.produceCopy(tier10s, 0, 1000, 1, time.Now().Add(time.Minute), h.lastOwner())
		var away atomic.Bool
		away.Store(true)
		second := h.startMember(2, 0, func(s *fakeStages, _ *consume.Config) {
			s.isStuck = func(r *record.Record) bool { return away.Load() && r.Origin.Offset == 1 }
		})
		testkit.AdvanceClock(10 * time.Second)
		h.produceLateCopy(tier10s, 1, 1, time.Now().Add(time.Hour), "an owner that lost it")
		testkit.AdvanceClock(10 * time.Second)
		second.stopCleanly()
		away.Store(false)
		third := h.startMember(3, 0, nil)
		h.awaitOffset(source, 0, 3)
		h.checkDelivered(3)
		testkit.AdvanceClock(2 * time.Minute)
		third.stopCleanly()
		h.checkDeliveries(4, 0)
		h.checkNoLag()
	})
}

// A process that is paused during its recovery appends its marker after another owner has recovered
// the partition. What the other owner writes behind that marker counts all the same.
func TestMarkerOfAnAssignmentThatNeverOwnedThePartitionIsIgnored(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		first := h.startMember(1, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		stray := record.NewOwnershipMarker(tier10s, 0, "a paused process")
		h.commits.MarkSettled(tier10s, 0, h.endOffset(tier10s, 0))
		if err := h.client.ProduceSync(t.Context(), stray).FirstErr(); err != nil {
			t.Fatal(err)
		}
		h.produceRecords(1, func(int) string { return "retry once" })
		h.awaitOffset(source, 0, 1) // its copy is behind the marker
		first.crashMember()
		second := h.startMember(2, 0, nil)
		testkit.AdvanceClock(2 * time.Minute)
		second.stopCleanly()
		h.checkDeliveries(1, 0)
		h.checkNoLag()
	})
}

// While the marker cannot be written, the partition is held and no other.
func TestPartitionIsHeldWhileItsMarkerIsRefused(t *testing.T) {
	for _, e := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.NotEnoughReplicas} {
		t.Run(e.Message, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceRecords(9, alwaysOK)
				removeFault := h.injectFault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.Produce}, Topic: tier10s, Partitions: []int32{1}, Err: e, Count: -1,
				})
				m := h.startMember(1, 0, nil)
				testkit.AdvanceClock(2 * time.Minute)
				m.checkHold("recovery")
				h.checkDelivered(6)
				removeFault()
				testkit.AdvanceClock(time.Minute)
				m.checkHold("")
				m.stopCleanly()
				h.checkDeliveries(9, 0)
				for _, topic := range []string{tier10s, tier1m} {
					if n := len(h.markers.list(topic, 1)); n != 1 {
						t.Errorf("%s/1: got %d markers, want 1", topic, n)
					}
				}
			})
		})
	}
}

// Without the commit, the next owner would take what this one writes for late copies.
func TestNothingIsDeliveredBeforeTheOwnerIsCommitted(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(9, alwaysOK)
		h.commits.AllowRewinds()
		removeFault := h.injectFault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: tier1m, Partitions: []int32{2},
			Err: kerr.TopicAuthorizationFailed, Count: -1,
		})
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(2 * time.Minute)
		m.checkHold("recovery")
		h.checkDelivered(6)
		removeFault()
		testkit.AdvanceClock(time.Minute)
		m.checkHold("")
		m.stopCleanly()
		h.checkDeliveries(9, 0)
		if n := len(h.markers.list(tier1m, 2)); n != 1 {
			t.Errorf("%s/2: got %d markers, want 1 for all attempts", tier1m, n)
		}
	})
}

// A leader that was deposed lists an end offset that is too low. The copies beyond it are not late.
func TestCopyBeyondAnOutdatedEndOffsetIsDelivered(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceToFirst(3)
		h.commitFirst(3)
		for range 2 { // the first one is committed
			h.produceCopy(tier10s, 0, 1, 1, time.Now(), "earlier")
		}
		h.commitPartition(tier10s, 0, 1, "")
		h.Cluster().ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
			return outdatedEnds(r.(*kmsg.ListOffsetsRequest), h)
		})
		m := h.startMember(1, 0, nil)
		testkit.AdvanceClock(10 * time.Second)
		m.stopCleanly()
		h.checkDeliveries(1, 0)
	})
}

// outdatedEnds responds that the retry partitions end at their start and the source partitions
// after 3 records.
func outdatedEnds(req *kmsg.ListOffsetsRequest, h *harness) (kmsg.Response, error, bool) {
	h.Cluster().KeepControl()
	response := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, rt := range req.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.LeaderEpoch = rp.Partition, 0
			if rt.Topic == source && rp.Partition == 0 && rp.Timestamp == -1 {
				p.Offset = 3
			} else {
				p.Offset = 0
			}
			t.Partitions = append(t.Partitions, p)
		}
		response.Topics = append(response.Topics, t)
	}
	return response, nil, true
}

func TestIdleRetryPartitionsHaveNoLag(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		for seed := range uint64(3) {
			m := h.startMember(seed, 0, nil)
			testkit.AdvanceClock(10 * time.Second)
			h.checkNoLag()
			for _, p := range m.obs.Snapshot().Partitions {
				if p.LagRecords != 0 || p.InFlight != 0 {
					t.Errorf("%s/%d: got lag %d and %d records in flight, want none",
						p.Topic, p.Partition, p.LagRecords, p.InFlight)
				}
			}
			m.stopCleanly()
		}
	})
}

// stopAfter lets the member run for a while and stops it.
func (m *member) stopAfter(d time.Duration) {
	testkit.AdvanceClock(d)
	m.stopCleanly()
}

// lastOwner returns the writer ID of the last owner of partition 0.
func (h *harness) lastOwner() string {
	markers := h.markers.list(tier10s, 0)
	return markers[len(markers)-1].writer
}
