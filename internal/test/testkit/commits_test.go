package testkit_test

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"sluice/internal/demo/embedded"
	"sluice/internal/test/testkit"
)

const (
	topic = "orders"
	group = "sluice.orders"
)

func startWatchedPlatform(t *testing.T) (*testkit.CommitOracle, *embedded.Platform) {
	t.Helper()
	p := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
	if err := p.Cluster().CreateTopic(topic, 2, nil); err != nil {
		t.Fatal(err)
	}
	return testkit.WatchCommits(p.Cluster()), p
}

// commitOffset sends one OffsetCommit without a group membership, by topic ID or by topic name.
func commitOffset(t *testing.T, p *embedded.Platform, byID bool, offset int64, metadata string) {
	t.Helper()
	var versions *kversion.Versions
	if !byID {
		versions = kversion.V3_9_0()
	}
	client := testkit.NewClient(t, p, kgo.MaxVersions(versions))
	partition := kmsg.NewOffsetCommitRequestTopicPartition()
	partition.Offset, partition.Metadata = offset, &metadata
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	id := p.Cluster().TopicInfo(topic).TopicID
	req.Topics = []kmsg.OffsetCommitRequestTopic{{
		Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{partition},
	}}
	resp, err := req.RequestWith(context.Background(), client)
	if err != nil {
		t.Fatal(err)
	}
	if byID != (resp.Version >= 10) {
		t.Fatalf("got OffsetCommit version %d, want one with topic IDs: %v", resp.Version, byID)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

func TestOracleComparesCommitsWithWhatIsSettled(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*testkit.CommitOracle)
		commits []int64
		meta    int
		want    string // a part of the error, or empty for no error
	}{
		{"nothing settled, start committed", nil, []int64{0}, 0, ""},
		{"nothing settled, one committed", nil, []int64{1}, 0, "committed 1 while 0 is unsettled"},
		{"whole prefix", markSettled(2, 0, 1), []int64{3}, 0, ""},
		{"part of the prefix", markSettled(0, 1, 2), []int64{1, 2, 2}, 0, ""},
		{"past a gap", markSettled(0, 2), []int64{3}, 0, "committed 3 while 1 is unsettled"},
		{"start at the end", func(o *testkit.CommitOracle) { o.StartAt(topic, 0, 7) }, []int64{7}, 0, ""},
		{"start where later offsets are settled", func(o *testkit.CommitOracle) {
			markSettled(7, 8)(o)
			o.StartAt(topic, 0, 7)
		}, []int64{9}, 0, ""},
		{"start at the end, past it", func(o *testkit.CommitOracle) {
			o.StartAt(topic, 0, 7)
		}, []int64{8}, 0, "committed 8 while 7 is unsettled"},
		{"backwards", markSettled(0, 1, 2), []int64{3, 1, 3, 2}, 0, "2 commits went backwards"},
		{"backwards, allowed", func(o *testkit.CommitOracle) {
			markSettled(0, 1)(o)
			o.AllowRewinds()
		}, []int64{2, 1}, 0, ""},
		{"metadata at the limit", markSettled(0), []int64{1}, 4096, ""},
		{"metadata over the limit", markSettled(0), []int64{1}, 4097, "4097 bytes of metadata"},
		{"no commit at all", markSettled(0), nil, 0, "there was none"},
	}
	for _, tt := range tests {
		for _, byID := range []bool{false, true} {
			t.Run(tt.name+map[bool]string{false: ", by name", true: ", by id"}[byID], func(t *testing.T) {
				o, p := startWatchedPlatform(t)
				if tt.prepare != nil {
					tt.prepare(o)
				}
				for _, offset := range tt.commits {
					commitOffset(t, p, byID, offset, strings.Repeat("m", tt.meta))
				}
				checkError(t, o.Check(), tt.want)
				if o.CommitCount() != len(tt.commits) {
					t.Errorf("got %d commits, want %d", o.CommitCount(), len(tt.commits))
				}
			})
		}
	}
}

func markSettled(offsets ...int64) func(*testkit.CommitOracle) {
	return func(o *testkit.CommitOracle) {
		for _, offset := range offsets {
			o.MarkSettled(topic, 0, offset)
		}
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %q, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got error %v, want one that contains %q", err, want)
	}
}

// The oracle must also report a wrong commit that the broker refuses.
func TestOracleChecksRefusedCommits(t *testing.T) {
	o, p := startWatchedPlatform(t)
	p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: 1})
	client := testkit.NewClient(t, p, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	records := client.PollRecords(t.Context(), 1).Records()
	if err := client.CommitRecords(t.Context(), records...); err == nil {
		t.Fatal("got no error from the commit, want it refused")
	}
	checkError(t, o.Check(), "committed 1 while 0 is unsettled")
}

func TestWaitCommittedReturnsAtTheOffset(t *testing.T) {
	_, p := startWatchedPlatform(t)
	commitOffset(t, p, true, 5, "")
	if err := testkit.WaitCommitted(t.Context(), p.Cluster(), group, topic, 0, 5); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	checkError(t, testkit.WaitCommitted(ctx, p.Cluster(), group, topic, 0, 6), "committed offset is 5")
}
