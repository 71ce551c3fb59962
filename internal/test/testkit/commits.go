package testkit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// MaxMetadataBytes is the longest commit metadata that a Kafka broker accepts by default
// (offset.metadata.max.bytes).
const MaxMetadataBytes = 4096

// CommitOracle checks every OffsetCommit on its way into the cluster against what the test has
// marked as settled by then. A commit is checked as it was sent, whether or not the broker accepts
// it. It is safe for concurrent use.
type CommitOracle struct {
	cluster *kfake.Cluster

	mu           sync.Mutex
	topicNames   map[[16]byte]string // by topic ID, which OffsetCommit v10 and later contains
	knownTopics  map[string]bool     // the values of topicNames
	partitions   map[partitionKey]*settledPrefix
	lastCommits  map[groupPartitionKey]int64
	commitCount  int
	rewinds      int
	allowRewinds bool
	failures     []string
}

type partitionKey struct {
	topic     string
	partition int32
}

type groupPartitionKey struct {
	group string
	partitionKey
}

// settledPrefix has the settled offsets of one partition: every offset below next, and those in
// beyond.
type settledPrefix struct {
	next   int64
	beyond map[int64]struct{}
}

func (p *settledPrefix) markSettled(offset int64) {
	if offset < p.next {
		return
	}
	p.beyond[offset] = struct{}{}
	p.advanceNext()
}

func (p *settledPrefix) advanceNext() {
	for {
		if _, ok := p.beyond[p.next]; !ok {
			return
		}
		delete(p.beyond, p.next)
		p.next++
	}
}

// WatchCommits returns an oracle that checks the commits of every group from now on. Initially
// nothing is settled, and every partition starts at offset 0. The oracle does not see commits that
// a control function installed earlier responds to, but it does see those that a kfake.Fault
// refuses.
func WatchCommits(cluster *kfake.Cluster) *CommitOracle {
	o := &CommitOracle{
		cluster:     cluster,
		topicNames:  map[[16]byte]string{},
		knownTopics: map[string]bool{},
		partitions:  map[partitionKey]*settledPrefix{},
		lastCommits: map[groupPartitionKey]int64{},
	}
	// A control function is called exactly once for each request, and stays installed for as long
	// as it handles none. An observing kfake.Fault may be called several times for one request.
	cluster.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		o.checkRequest(request.(*kmsg.OffsetCommitRequest))
		return nil, nil, false
	})
	return o
}

// StartAt treats every record below offset as settled, for a group that starts at the end of the
// log or a log that starts at a later offset. It also makes the oracle look up the topic's ID. It
// must not be called from a control function of the cluster.
func (o *CommitOracle) StartAt(topic string, partition int32, offset int64) {
	o.mu.Lock()
	delete(o.knownTopics, topic) // it may have been recreated
	o.mu.Unlock()
	o.updatePrefix(topic, partition, func(p *settledPrefix) {
		p.next = max(p.next, offset)
		p.advanceNext()
	})
}

// MarkSettled marks one record as settled. It must be called before the code under test can know
// that the record is settled: in a fake vendor's handler before it responds, or when the record is
// seen in a retry or dead-letter topic. Offsets without a record, such as those of control records
// or compacted ones, must be marked too. It must not be called from a control function of the
// cluster.
func (o *CommitOracle) MarkSettled(topic string, partition int32, offset int64) {
	o.updatePrefix(topic, partition, func(p *settledPrefix) { p.markSettled(offset) })
}

// AllowRewinds makes Check accept commits that are lower than an earlier one.
func (o *CommitOracle) AllowRewinds() {
	o.mu.Lock()
	o.allowRewinds = true
	o.mu.Unlock()
}

// RewindCount returns the number of commits that were lower than the one before of the same group
// and partition.
func (o *CommitOracle) RewindCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rewinds
}

// CommitCount returns the number of commits. Each partition in a request counts as one.
func (o *CommitOracle) CommitCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.commitCount
}

// Check returns an error that lists the commits that passed an unsettled offset, had too much
// metadata, or went backwards. It also fails if there was no commit at all, because then nothing
// was verified.
func (o *CommitOracle) Check() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.commitCount == 0 {
		return errors.New("checking commits: there was none")
	}
	failures := o.failures
	if o.rewinds > 0 && !o.allowRewinds {
		failures = append(failures[:len(failures):len(failures)], fmt.Sprintf("%d commits went backwards", o.rewinds))
	}
	if len(failures) == 0 {
		return nil
	}
	return fmt.Errorf("checking %d commits: %s", o.commitCount, strings.Join(failures, "; "))
}

// WaitCommitted waits until the group's committed offset of the partition is exactly offset.
func WaitCommitted(
	ctx context.Context, cluster *kfake.Cluster, group, topic string, partition int32, offset int64,
) error {
	committed := int64(-1)
	_, err := cluster.WaitGroupInfo(ctx, group, func(info *kfake.GroupInfo) bool {
		if info == nil {
			return false
		}
		commit, ok := info.Commits[topic][partition]
		if ok {
			committed = commit.Offset
		}
		return ok && committed == offset
	})
	if err != nil {
		return fmt.Errorf("waiting for group %s to commit offset %d of %s-%d (committed offset is %d): %w",
			group, offset, topic, partition, committed, err)
	}
	return nil
}

// updatePrefix calls update with the prefix of a partition. It looks up the topic's ID first,
// because the cluster does not respond to TopicInfo while it passes a request to checkRequest.
func (o *CommitOracle) updatePrefix(topic string, partition int32, update func(*settledPrefix)) {
	o.mu.Lock()
	known := o.knownTopics[topic]
	o.mu.Unlock()
	var info *kfake.TopicInfo
	if !known {
		info = o.cluster.TopicInfo(topic)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if info != nil {
		o.topicNames[info.TopicID] = topic
		o.knownTopics[topic] = true
	}
	update(o.prefixOf(partitionKey{topic, partition}))
}

func (o *CommitOracle) prefixOf(key partitionKey) *settledPrefix {
	p := o.partitions[key]
	if p == nil {
		p = &settledPrefix{beyond: map[int64]struct{}{}}
		o.partitions[key] = p
	}
	return p
}

func (o *CommitOracle) checkRequest(request *kmsg.OffsetCommitRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range request.Topics {
		topic := t.Topic
		if topic == "" {
			topic = o.topicName(t.TopicID)
		}
		for _, p := range t.Partitions {
			o.commitCount++
			key := groupPartitionKey{request.Group, partitionKey{topic, p.Partition}}
			o.checkCommit(key, p.Offset, p.Metadata)
		}
	}
}

func (o *CommitOracle) checkCommit(key groupPartitionKey, offset int64, metadata *string) {
	if next := o.prefixOf(key.partitionKey).next; offset > next {
		o.addFailure("%s: committed %d while %d is unsettled", key, offset, next)
	}
	if metadata != nil && len(*metadata) > MaxMetadataBytes {
		o.addFailure("%s: committed %d with %d bytes of metadata, want at most %d",
			key, offset, len(*metadata), MaxMetadataBytes)
	}
	if last, ok := o.lastCommits[key]; ok && offset < last {
		o.rewinds++
	}
	o.lastCommits[key] = offset
}

// topicName returns the name of the topic with the given ID. For a topic that the test has not
// mentioned, of which nothing is settled, it returns the ID instead.
func (o *CommitOracle) topicName(id [16]byte) string {
	if name, ok := o.topicNames[id]; ok {
		return name
	}
	return fmt.Sprintf("topic id %x", id)
}

// maxListed limits how many violations of one kind an error lists.
const maxListed = 10

func (o *CommitOracle) addFailure(format string, args ...any) {
	if len(o.failures) < maxListed {
		o.failures = append(o.failures, fmt.Sprintf(format, args...))
	}
}

func (k groupPartitionKey) String() string {
	return fmt.Sprintf("group %s, %s-%d", k.group, k.topic, k.partition)
}
