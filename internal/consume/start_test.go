package consume_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/internal/consume"
	"sluice/internal/test/testkit"
)

func withLatestStart(_ *fakeStages, cfg *consume.Config) {
	cfg.Start = consume.StartPosition{Latest: true}
}

// A group with an offset in a retry topic has been started before, so its source is read from the
// start of the log and not from its end.
func TestStartPositionIsIgnoredOnceTheGroupHasAnOffset(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.commitPartition(tier10s, 0, 0, "")
		h.produceRecords(9, alwaysOK)
		m := h.startMember(1, 0, withLatestStart)
		h.awaitCommitted(9)
		m.stopCleanly()
		h.checkDeliveries(9, 0)
	})
}

// The start position has already been committed for the other partitions.
func TestRefusedStartPositionIsRetriedForItsPartition(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(9, alwaysOK)
		for p := range int32(numParts) {
			h.commits.StartAt(source, p, 3)
		}
		f := refuseCommits(kerr.UnknownTopicOrPartition, 2)
		f.Partitions = []int32{1}
		removeFault := h.injectFault(f)
		m := h.startMember(1, 0, withLatestStart)
		testkit.AdvanceClock(20 * time.Second)
		removeFault()
		h.produceRecords(3, alwaysOK)
		h.awaitCommitted(12)
		m.stopCleanly()
		h.checkDeliveries(3, 0)
	})
}
