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

// fault puts a fault into the cluster; the function that it gives takes it out and proves that it fired.
func (c *cluster) fault(f kfake.Fault) (fired func()) {
	h := c.Cluster().Fault(f)
	return func() {
		c.t.Helper()
		h.Remove()
		if h.Hits() == 0 {
			c.t.Errorf("the fault of %v never fired", f.Keys)
		}
	}
}

func refusedCommits(err *kerr.Error, count int) kfake.Fault {
	return kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: err, Count: count}
}

// commitErrors are those that pass. (NOT_COORDINATOR and the like are partly the client's own business.)
var commitErrors = []*kerr.Error{
	kerr.RebalanceInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.RequestTimedOut,
	kerr.OffsetMetadataTooLarge, kerr.UnknownServerError, kerr.IllegalGeneration,
}

func TestTheLastCommitOfAStopIsTriedAgain(t *testing.T) {
	for _, e := range commitErrors {
		t.Run(e.Message, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.produce(30, ok)
				m := c.join(1, time.Second, func(_ *line, cfg *consume.Config) { cfg.CommitInterval = time.Hour })
				testkit.AdvanceClock(10 * time.Second)
				fired := c.fault(refusedCommits(e, 1))
				m.leave()
				fired()
				m = c.join(2, 0, nil)
				c.awaitCommitted(30)
				m.leave()
				c.check(30, 0)
			})
		})
	}
}

func TestTheLastCommitOfARevokeIsTriedAgain(t *testing.T) {
	for i, e := range commitErrors {
		t.Run(e.Message, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.produce(30, ok)
				slow := func(_ *line, cfg *consume.Config) { cfg.CommitInterval, cfg.ConsumerProtocol = time.Hour, i%2 == 1 }
				a := c.join(1, time.Second, slow)
				testkit.AdvanceClock(10 * time.Second)
				fired := c.fault(refusedCommits(e, 1))
				b := c.join(2, time.Second, slow)
				testkit.AdvanceClock(time.Minute)
				fired()
				a.leave()
				b.leave()
				c.awaitCommitted(30)
				c.check(30, 0)
			})
		})
	}
}

func TestCommitsGoOnAfterEachRefusal(t *testing.T) {
	refusals := append(commitErrors, kerr.UnknownMemberID)
	for i, e := range refusals {
		for _, only := range [][]int32{nil, {1}} {
			t.Run(fmt.Sprint(e.Message, only), func(t *testing.T) {
				testkit.RunInBubble(t, func(t *testing.T) {
					c := newCluster(t)
					f := refusedCommits(e, 4)
					f.Partitions = only
					fired := c.fault(f)
					c.produce(90, func(i int) string { return []string{"ok", "ok", "retry once"}[i/3%3] })
					m := c.join(1, time.Second, func(_ *line, cfg *consume.Config) { cfg.ConsumerProtocol = i%2 == 1 })
					c.awaitCommitted(90)
					c.awaitOffset(tier10s, 0, 10)
					m.leave()
					fired()
					if err := c.commits.Check(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestWithoutMetadataAfterTheBrokerRefusedItPrefixesAreCommittedAllTheSame(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		f := refusedCommits(kerr.OffsetMetadataTooLarge, -1)
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
		fired := c.fault(f)
		c.produce(90, ok)
		m := c.join(1, 2*time.Second, func(l *line, _ *consume.Config) {
			l.stuck = func(r *record.Record) bool { return r.Origin.Partition == 0 && r.Origin.Offset == 10 }
		})
		testkit.AdvanceClock(time.Second) // some are settled beyond the prefix
		c.awaitOffset(source, 0, 10)
		m.leave()
		m = c.join(2, 0, nil)
		c.awaitCommitted(90)
		m.leave()
		fired()
		c.check(90, 19) // what was settled beyond the prefix
	})
}
