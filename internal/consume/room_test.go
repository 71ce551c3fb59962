package consume_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// fill produces n records to partition 0 at once.
func (c *cluster) fill(n int) {
	c.t.Helper()
	c.toPartition(0, n)
}

func (c *cluster) toPartition(partition int32, n int) {
	c.t.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: source, Partition: partition, Value: []byte("ok")}
	}
	if err := c.client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

func roomy(_ *line, cfg *consume.Config) { cfg.MaxInFlight, cfg.MaxInFlightBytes = 20_000, 64<<20 }

// One record in twenty is stuck, so that the metadata fills up and reading pauses. Whoever comes next must go on all the same.
func TestVolumeAPartitionWhoseMetadataWasFullGoesOnWithItsNextOwner(t *testing.T) {
	testkit.SkipUnlessVolume(t)
	for name, end := range map[string]func(*member){"after a crash": (*member).crash, "after a stop": (*member).leave} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.fill(14_000)
				a := c.join(1, 0, func(l *line, cfg *consume.Config) {
					roomy(l, cfg)
					l.stuck = func(r *record.Record) bool { return r.Origin.Offset%20 == 0 }
				})
				testkit.AdvanceClock(time.Minute)
				if delivered, _ := c.vendor.counts(); delivered >= 13_000 {
					t.Fatal("reading never paused")
				}
				end(a)
				b := c.join(2, 0, roomy)
				c.awaitOffset(source, 0, 14_000)
				b.leave()
				c.check(14_000, 0)
			})
		})
	}
}

// In a compacted log two thousand records lie far apart: taken all at once, as their number alone would allow, they could not be told in the metadata.
func TestVolumeACompactedSourceNeverOverfillsTheMetadata(t *testing.T) {
	testkit.SkipUnlessVolume(t)
	const last, gap = 100_000, 50
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		left := c.compacted(last, gap)
		if left > last/10 {
			t.Fatalf("%d records are left, so there are no gaps", left)
		}
		release := make(chan struct{})
		a := c.join(1, 0, func(l *line, cfg *consume.Config) {
			roomy(l, cfg)
			l.stuck = func(r *record.Record) bool {
				select {
				case <-release:
					return false
				default:
					return r.Origin.Offset/gap%2 == 0
				}
			}
		})
		testkit.AdvanceClock(time.Minute)
		if delivered, _ := c.vendor.counts(); delivered >= left/2 {
			t.Errorf("%d were delivered, so reading never paused", delivered)
		}
		close(release)
		a.NotifyDraining()
		c.awaitOffset(source, 0, last+1)
		a.leave()
		c.check(left, 0)
	})
}

// compacted fills partition 0 of the source up to and with the last offset, leaves about a record at every gap-th, and tells how many are left.
func (c *cluster) compacted(last, gap int) (left int) {
	c.t.Helper()
	if err := c.Cluster().DeleteTopic(source); err != nil {
		c.t.Fatal(err)
	}
	settings := map[string]string{"cleanup.policy": "compact", "segment.bytes": "16384"}
	if err := c.Cluster().CreateTopic(source, numParts, settings); err != nil {
		c.t.Fatal(err)
	}
	records := make([]*kgo.Record, last+1)
	for i := range records {
		key := []byte("superseded")
		if i%gap == 0 {
			key = fmt.Append(nil, i)
		}
		records[i] = &kgo.Record{Topic: source, Partition: 0, Key: key, Value: []byte("ok")}
	}
	for chunk := range slices.Chunk(records, 1000) {
		if err := c.client.ProduceSync(c.t.Context(), chunk...).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
	c.Cluster().Compact()
	return c.settleGaps(int64(last))
}

// settleGaps tells the oracle which offsets of the source's partition 0 hold no record, and counts the others.
func (c *cluster) settleGaps(last int64) (left int) {
	reader := testkit.NewClient(c.t, c.Platform, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{source: {0: kgo.NewOffset().AtStart()}}))
	for next := int64(0); next <= last; {
		reader.PollFetches(c.t.Context()).EachRecord(func(r *kgo.Record) {
			for ; next < r.Offset; next++ {
				c.commits.Settled(source, 0, next)
			}
			next++
			left++
		})
	}
	return left
}
