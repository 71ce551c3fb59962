package consume_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// injectFault injects a fault into the broker. The returned function removes it and checks that it
// occurred.
func (h *harness) injectFault(f kfake.Fault) (removeFault func()) {
	injected := h.Cluster().Fault(f)
	return func() {
		h.t.Helper()
		injected.Remove()
		if injected.Hits() == 0 {
			h.t.Errorf("got no request with the fault of %v, want at least one", f.Keys)
		}
	}
}

// withRareCommits leaves the final commit as the only one.
func withRareCommits(_ *fakeStages, cfg *consume.Config) { cfg.CommitInterval = time.Hour }

// withProtocol selects the consumer protocol of KIP-848, or the classic one.
func withProtocol(consumerProtocol bool) func(*fakeStages, *consume.Config) {
	return func(_ *fakeStages, cfg *consume.Config) { cfg.ConsumerProtocol = consumerProtocol }
}

// refuseCommits returns a fault that refuses commits of the group. A negative count refuses all of
// them.
func refuseCommits(err *kerr.Error, count int) kfake.Fault {
	return kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: err, Count: count}
}

// retriedCommitErrors are the errors after which a commit is retried, whether or not Kafka
// classifies them as retriable. The client itself also reacts to some of them, such as
// NOT_COORDINATOR.
var retriedCommitErrors = []*kerr.Error{
	kerr.RebalanceInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress,
	kerr.RequestTimedOut, kerr.OffsetMetadataTooLarge, kerr.UnknownServerError, kerr.IllegalGeneration,
}

func TestFinalCommitOfAStopIsRetried(t *testing.T) {
	for _, e := range retriedCommitErrors {
		t.Run(e.Message, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceRecords(30, alwaysOK)
				m := h.startMember(1, time.Second, withRareCommits)
				testkit.AdvanceClock(10 * time.Second)
				removeFault := h.injectFault(refuseCommits(e, 1))
				m.stopCleanly()
				removeFault()
				m = h.startMember(2, 0, nil)
				h.awaitCommitted(30)
				m.stopCleanly()
				h.checkDeliveries(30, 0)
			})
		})
	}
}

func TestFinalCommitOfARevokeIsRetried(t *testing.T) {
	for i, e := range retriedCommitErrors {
		t.Run(e.Message, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.produceRecords(30, alwaysOK)
				slow := func(_ *fakeStages, cfg *consume.Config) {
					cfg.CommitInterval, cfg.ConsumerProtocol = time.Hour, i%2 == 1
				}
				a := h.startMember(1, time.Second, slow)
				testkit.AdvanceClock(10 * time.Second)
				removeFault := h.injectFault(refuseCommits(e, 1))
				b := h.startMember(2, time.Second, slow)
				testkit.AdvanceClock(time.Minute)
				removeFault()
				a.stopCleanly()
				b.stopCleanly()
				h.awaitCommitted(30)
				h.checkDeliveries(30, 0)
			})
		})
	}
}

func TestCommitsContinueAfterEveryRefusal(t *testing.T) {
	refusals := append(retriedCommitErrors, kerr.UnknownMemberID)
	for i, e := range refusals {
		for _, only := range [][]int32{nil, {1}} {
			t.Run(fmt.Sprint(e.Message, only), func(t *testing.T) {
				testkit.RunInBubble(t, func(t *testing.T) {
					h := newHarness(t)
					f := refuseCommits(e, 4)
					f.Partitions = only
					removeFault := h.injectFault(f)
					h.produceRecords(90, func(i int) string { return []string{"ok", "ok", "retry once"}[i/3%3] })
					m := h.startMember(1, time.Second, withProtocol(i%2 == 1))
					h.awaitCommitted(90)
					h.awaitOffset(tier10s, 0, 10)
					m.stopCleanly()
					removeFault()
					h.checkCommits()
				})
			})
		}
	}
}

func TestSettledPrefixIsCommittedWhenTheBrokerRefusesMetadata(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		f := refuseCommits(kerr.OffsetMetadataTooLarge, -1)
		f.When = func(r kmsg.Request) bool {
			for _, topic := range r.(*kmsg.OffsetCommitRequest).Topics {
				for _, p := range topic.Partitions {
					if p.Metadata != nil && *p.Metadata != "" {
						return true
					}
				}
			}
			return false
		}
		removeFault := h.injectFault(f)
		h.produceRecords(90, alwaysOK)
		m := h.startMember(1, 2*time.Second, func(s *fakeStages, _ *consume.Config) {
			s.isStuck = func(r *record.Record) bool { return r.Origin.Partition == 0 && r.Origin.Offset == 10 }
		})
		testkit.AdvanceClock(time.Second) // some records are settled beyond the settled prefix
		h.awaitOffset(source, 0, 10)
		m.stopCleanly()
		m = h.startMember(2, 0, nil)
		h.awaitCommitted(90)
		m.stopCleanly()
		removeFault()
		h.checkDeliveries(90, 19) // the duplicates were settled beyond the settled prefix
	})
}
