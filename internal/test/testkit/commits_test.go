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

func newWatched(t *testing.T) (*testkit.CommitOracle, *embedded.Platform) {
	t.Helper()
	p := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
	if err := p.Cluster().CreateTopic(topic, 2, nil); err != nil {
		t.Fatal(err)
	}
	return testkit.WatchCommits(p.Cluster()), p
}

// commit sends one OffsetCommit as an owner without a group membership would, by name or by topic id.
func commit(t *testing.T, p *embedded.Platform, byID bool, offset int64, metadata string) {
	t.Helper()
	var versions *kversion.Versions
	if !byID {
		versions = kversion.V3_9_0()
	}
	cl := testkit.NewClient(t, p, kgo.MaxVersions(versions))
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	part.Offset, part.Metadata = offset, &metadata
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	id := p.Cluster().TopicInfo(topic).TopicID
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{part}}}
	resp, err := req.RequestWith(context.Background(), cl)
	if err != nil {
		t.Fatal(err)
	}
	if byID != (resp.Version >= 10) {
		t.Fatalf("OffsetCommit version %d, by topic id: %v", resp.Version, byID)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

func TestCommitsAreJudgedByWhatIsSettled(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*testkit.CommitOracle)
		commits []int64
		meta    int
		want    string // part of the error; empty for none
	}{
		{"nothing settled, start committed", nil, []int64{0}, 0, ""},
		{"nothing settled, one committed", nil, []int64{1}, 0, "committed 1 while 0 is unsettled"},
		{"whole prefix", settle(2, 0, 1), []int64{3}, 0, ""},
		{"part of the prefix", settle(0, 1, 2), []int64{1, 2, 2}, 0, ""},
		{"past a gap", settle(0, 2), []int64{3}, 0, "committed 3 while 1 is unsettled"},
		{"start at the end", func(o *testkit.CommitOracle) { o.StartAt(topic, 0, 7) }, []int64{7}, 0, ""},
		{"start after what was settled beyond it", func(o *testkit.CommitOracle) { settle(7, 8)(o); o.StartAt(topic, 0, 7) }, []int64{9}, 0, ""},
		{"start at the end, past it", func(o *testkit.CommitOracle) { o.StartAt(topic, 0, 7) }, []int64{8}, 0, "committed 8 while 7 is unsettled"},
		{"backwards", settle(0, 1, 2), []int64{3, 1, 3, 2}, 0, "2 commits went backwards"},
		{"backwards, allowed", func(o *testkit.CommitOracle) { settle(0, 1)(o); o.AllowRewinds() }, []int64{2, 1}, 0, ""},
		{"metadata at the limit", settle(0), []int64{1}, 4096, ""},
		{"metadata over the limit", settle(0), []int64{1}, 4097, "4097 bytes of metadata"},
		{"no commit at all", settle(0), nil, 0, "none was seen"},
	}
	for _, tt := range tests {
		for _, byID := range []bool{false, true} {
			t.Run(tt.name+map[bool]string{false: ", by name", true: ", by id"}[byID], func(t *testing.T) {
				o, p := newWatched(t)
				if tt.prepare != nil {
					tt.prepare(o)
				}
				for _, offset := range tt.commits {
					commit(t, p, byID, offset, strings.Repeat("m", tt.meta))
				}
				checkError(t, o.Check(), tt.want)
				if o.Seen() != len(tt.commits) {
					t.Errorf("saw %d commits, want %d", o.Seen(), len(tt.commits))
				}
			})
		}
	}
}

func settle(offsets ...int64) func(*testkit.CommitOracle) {
	return func(o *testkit.CommitOracle) {
		for _, offset := range offsets {
			o.Settled(topic, 0, offset)
		}
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %q, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got error %v, want one with %q", err, want)
	}
}

// A commit that the broker refuses shows what the committer believed all the same.
func TestRefusedCommitIsJudged(t *testing.T) {
	o, p := newWatched(t)
	p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: 1})
	cl := testkit.NewClient(t, p, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	records := cl.PollRecords(t.Context(), 1).Records()
	if err := cl.CommitRecords(t.Context(), records...); err == nil {
		t.Fatal("the commit was not refused")
	}
	checkError(t, o.Check(), "committed 1 while 0 is unsettled")
}

func TestWaitCommittedReturnsWhenTheOffsetIsReached(t *testing.T) {
	_, p := newWatched(t)
	commit(t, p, true, 5, "")
	if err := testkit.WaitCommitted(t.Context(), p.Cluster(), group, topic, 0, 5); err != nil {
		t.Error(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	checkError(t, testkit.WaitCommitted(ended, p.Cluster(), group, topic, 0, 6), "it is at 5")
}
