package consume

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap/zaptest"

	"sluice/internal/demo/embedded"
	"sluice/internal/offset"
	"sluice/internal/test/testkit"
)

const (
	splitPartitions = 1000
	splitMetadata   = 4000 // bytes of metadata of each partition
)

// newSplitBatch creates a topic and returns commits for all of its partitions.
func newSplitBatch(t *testing.T, platform *embedded.Platform) []pendingCommit {
	t.Helper()
	if err := platform.Cluster().CreateTopic("orders", splitPartitions, nil); err != nil {
		t.Fatal(err)
	}
	topicID := platform.Cluster().TopicInfo("orders").TopicID
	metadata := strings.Repeat("m", splitMetadata)
	batch := make([]pendingCommit, splitPartitions)
	for i := range batch {
		tracker := offset.NewTracker(topicID, 1, nil)
		tracker.MarkSettled(nil) // there is something to commit
		commit, _ := tracker.PendingCommit()
		commit.Metadata = metadata
		batch[i] = pendingCommit{
			&partition{topicPartition: topicPartition{"orders", int32(i)}, topicID: topicID, tracker: tracker}, commit,
		}
	}
	return batch
}

func newSplitCommitter(t *testing.T, platform *embedded.Platform) *committer {
	return newCommitter(Config{Group: "g"}, &clients{group: testkit.NewClient(t, platform)},
		newAssignments("orders", nil, nil), nil, zaptest.NewLogger(t))
}

// commitBytes is the size of a commit request as the coordinator's batch.
func commitBytes(req *kmsg.OffsetCommitRequest) int {
	n := 0
	for _, topic := range req.Topics {
		for _, p := range topic.Partitions {
			n += len(req.Group) + len("orders") + len(*p.Metadata) + 60
		}
	}
	return n
}

// refuseLargeCommits makes the broker refuse commit requests above a size: with an error code for
// each partition, or by closing the connection.
func refuseLargeCommits(platform *embedded.Platform, limit int, code *kerr.Error) {
	platform.Cluster().ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		platform.Cluster().KeepControl()
		req := r.(*kmsg.OffsetCommitRequest)
		if commitBytes(req) <= limit {
			return nil, nil, false
		}
		if code == nil {
			return nil, errors.New("request too large"), true
		}
		response := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, rt := range req.Topics {
			t := kmsg.NewOffsetCommitResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, code.Code
				t.Partitions = append(t.Partitions, p)
			}
			response.Topics = append(response.Topics, t)
		}
		return response, nil, true
	})
}

func TestCommitsOfManyPartitionsAreSplitToWhatTheBrokerAccepts(t *testing.T) {
	const brokerDefault = 1_048_588 // of the offsets topic's max.message.bytes
	for name, test := range map[string]struct {
		limit int
		code  *kerr.Error
		calls int // of sendCommits
	}{
		"broker default":        {brokerDefault, kerr.InvalidCommitOffsetSize, 1},
		"lower limit":           {100_000, kerr.InvalidCommitOffsetSize, 1},
		"message too large":     {100_000, kerr.MessageTooLarge, 1},
		"record list too large": {10_000, kerr.RecordListTooLarge, 1},
		"invalid request":       {100_000, kerr.InvalidRequest, 1},
		"connection closed":     {100_000, nil, 4},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				platform := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
				refuseLargeCommits(platform, test.limit, test.code)
				batch := newSplitBatch(t, platform)
				c := newSplitCommitter(t, platform)
				failed := batch
				var err error
				for range test.calls {
					ctx, cancel := context.WithTimeout(t.Context(), commitTimeout)
					failed, err = c.sendCommits(ctx, failed)
					cancel()
				}
				if err != nil || len(failed) > 0 {
					t.Fatalf("got %d failed commits and error %v, want none", len(failed), err)
				}
				for _, pending := range batch {
					if _, ok := pending.partition.tracker.PendingCommit(); ok {
						t.Fatalf("got partition %d to commit, want it confirmed", pending.partition.number)
					}
				}
				commits := platform.Cluster().GroupInfo("g").Commits["orders"]
				if len(commits) != splitPartitions {
					t.Errorf("got %d committed partitions, want %d", len(commits), splitPartitions)
				}
			})
		})
	}
}

// A failed partition does not prevent the commits in other requests.
func TestOneFailedPartitionDoesNotFailTheOtherRequests(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		platform := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
		batch := newSplitBatch(t, platform)
		batch[3].partition.number = splitPartitions // does not exist
		c := newSplitCommitter(t, platform)
		failed, err := c.sendCommits(t.Context(), batch)
		if len(failed) != 1 || failed[0].partition != batch[3].partition || !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Errorf("got %d failed commits and error %v, want the one of a missing partition", len(failed), err)
		}
	})
}

func TestCommitThatIsTooLargeAloneFails(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		platform := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
		refuseLargeCommits(platform, 1000, kerr.InvalidCommitOffsetSize)
		batch := newSplitBatch(t, platform)[:3]
		failed, err := newSplitCommitter(t, platform).sendCommits(t.Context(), batch)
		if len(failed) != 3 || !errors.Is(err, kerr.InvalidCommitOffsetSize) {
			t.Errorf("got %d failed commits and error %v, want 3 and the broker's error", len(failed), err)
		}
	})
}
