package consume_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/internal/consume"
	"sluice/internal/test/testkit"
)

func latest(_ *line, cfg *consume.Config) { cfg.Start = consume.StartPosition{Latest: true} }

// A group that has committed in a retry topic has started before: its source is read from the log's start, not from the end once more.
func TestTheStartDoesNotApplyToAGroupThatHasAnyOffset(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.commit(tier10s, 0, 0, "")
		c.produce(9, ok)
		m := c.join(1, 0, latest)
		c.awaitCommitted(9)
		m.leave()
		c.check(9, 0)
	})
}

// Where the start was committed for some partitions and refused for one, it is still owed to that one.
func TestTheStartIsClaimedForAllPartitionsThoughOneIsRefusedAtFirst(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.produce(9, ok)
		for p := range int32(numParts) {
			c.commits.StartAt(source, p, 3)
		}
		f := refusedCommits(kerr.UnknownTopicOrPartition, 2)
		f.Partitions = []int32{1}
		fired := c.fault(f)
		m := c.join(1, 0, latest)
		testkit.AdvanceClock(20 * time.Second)
		fired()
		c.produce(3, ok)
		c.awaitCommitted(12)
		m.leave()
		c.check(3, 0)
	})
}
