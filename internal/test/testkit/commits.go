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

// MaxMetadata is the most that a Kafka broker takes as a commit's metadata, in bytes (offset.metadata.max.bytes, default 4,096).
const MaxMetadata = 4096

// CommitOracle is an oracle at the broker's border: it sees each offset commit before the cluster does, and judges it by what the test has called
// settled at that moment. A commit is judged as it was sent, whether or not the broker takes it. Safe for concurrent use.
type CommitOracle struct {
	cluster *kfake.Cluster

	mu           sync.Mutex
	names        map[[16]byte]string // OffsetCommit carries topic ids instead of names from version 10 on
	topics       map[string]bool     // the topics in names
	partitions   map[partition]*prefix
	last         map[groupPartition]int64
	seen         int
	rewinds      int
	allowRewinds bool
	violations   []string
}

type partition struct {
	topic     string
	partition int32
}

type groupPartition struct {
	group string
	partition
}

// prefix is what is settled of one partition: all before next, and what is beyond it.
type prefix struct {
	next   int64
	beyond map[int64]struct{}
}

func (p *prefix) settle(offset int64) {
	if offset < p.next {
		return
	}
	p.beyond[offset] = struct{}{}
	p.advance()
}

func (p *prefix) advance() {
	for {
		if _, ok := p.beyond[p.next]; !ok {
			return
		}
		delete(p.beyond, p.next)
		p.next++
	}
}

// WatchCommits watches the commits of every group from now on. A partition starts with nothing settled and its first offset 0. Commits that an
// earlier control function of the cluster answers are not seen; those that a kfake.Fault refuses are.
func WatchCommits(c *kfake.Cluster) *CommitOracle {
	o := &CommitOracle{
		cluster:    c,
		names:      map[[16]byte]string{},
		topics:     map[string]bool{},
		partitions: map[partition]*prefix{},
		last:       map[groupPartition]int64{},
	}
	// A control function runs once a request, and stays as long as it handles none. (An observing kfake.Fault is asked several times for one.)
	c.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		o.judge(r.(*kmsg.OffsetCommitRequest))
		return nil, nil, false
	})
	return o
}

// StartAt says that everything before the offset is none of the test's business: where a group starts at the end, or the log begins later.
func (o *CommitOracle) StartAt(topic string, part int32, offset int64) {
	o.update(topic, part, func(p *prefix) {
		p.next = max(p.next, offset)
		p.advance()
	})
}

// Settled says that a record's fate is known. Call it before whoever commits can know: in a vendor's handler before it answers, or when a
// record is seen in a retry or dead-letter topic. Also for offsets that hold no record (control records, compacted ones). Not to be called from
// a function that the cluster calls.
func (o *CommitOracle) Settled(topic string, part int32, offset int64) {
	o.update(topic, part, func(p *prefix) { p.settle(offset) })
}

// AllowRewinds lets Check pass although a commit went backwards.
func (o *CommitOracle) AllowRewinds() {
	o.mu.Lock()
	o.allowRewinds = true
	o.mu.Unlock()
}

// Rewinds counts commits lower than the one before for the same group and partition.
func (o *CommitOracle) Rewinds() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rewinds
}

// Seen counts commits, one a partition.
func (o *CommitOracle) Seen() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}

// Check lists the commits that passed an unsettled offset, had too much metadata or went backwards. That no commit was seen at all is an
// error too, since then nothing was proved.
func (o *CommitOracle) Check() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == 0 {
		return errors.New("checking commits: none was seen")
	}
	faults := o.violations
	if o.rewinds > 0 && !o.allowRewinds {
		faults = append(faults[:len(faults):len(faults)], fmt.Sprintf("%d commits went backwards", o.rewinds))
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("checking %d commits: %s", o.seen, strings.Join(faults, "; "))
}

// WaitCommitted waits until the group has committed exactly this offset.
func WaitCommitted(ctx context.Context, c *kfake.Cluster, group, topic string, part int32, offset int64) error {
	at := int64(-1)
	_, err := c.WaitGroupInfo(ctx, group, func(g *kfake.GroupInfo) bool {
		if g == nil {
			return false
		}
		commit, ok := g.Commits[topic][part]
		if ok {
			at = commit.Offset
		}
		return ok && at == offset
	})
	if err != nil {
		return fmt.Errorf("waiting for group %s to commit %s-%d at %d (it is at %d): %w", group, topic, part, offset, at, err)
	}
	return nil
}

// update learns the topic's id first: the cluster may be asked here, but not while it hands a request to judge.
func (o *CommitOracle) update(topic string, part int32, f func(*prefix)) {
	o.mu.Lock()
	known := o.topics[topic]
	o.mu.Unlock()
	var info *kfake.TopicInfo
	if !known {
		info = o.cluster.TopicInfo(topic)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if info != nil {
		o.names[info.TopicID] = topic
		o.topics[topic] = true
	}
	f(o.prefix(partition{topic, part}))
}

func (o *CommitOracle) prefix(k partition) *prefix {
	p := o.partitions[k]
	if p == nil {
		p = &prefix{beyond: map[int64]struct{}{}}
		o.partitions[k] = p
	}
	return p
}

func (o *CommitOracle) judge(r *kmsg.OffsetCommitRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range r.Topics {
		topic := t.Topic
		if topic == "" {
			topic = o.name(t.TopicID)
		}
		for _, p := range t.Partitions {
			o.seen++
			o.judgePartition(groupPartition{r.Group, partition{topic, p.Partition}}, p.Offset, p.Metadata)
		}
	}
}

func (o *CommitOracle) judgePartition(k groupPartition, offset int64, metadata *string) {
	if settled := o.prefix(k.partition).next; offset > settled {
		o.violate("%s: committed %d while %d is unsettled", k, offset, settled)
	}
	if metadata != nil && len(*metadata) > MaxMetadata {
		o.violate("%s: committed %d with %d bytes of metadata, at most %d are allowed", k, offset, len(*metadata), MaxMetadata)
	}
	if last, ok := o.last[k]; ok && offset < last {
		o.rewinds++
	}
	o.last[k] = offset
}

// name is the topic's name, or its id where the test never named the topic: then nothing of it is settled.
func (o *CommitOracle) name(id [16]byte) string {
	if name, ok := o.names[id]; ok {
		return name
	}
	return fmt.Sprintf("topic id %x", id)
}

// maxListed bounds what an error lists of one kind.
const maxListed = 10

func (o *CommitOracle) violate(format string, args ...any) {
	if len(o.violations) < maxListed {
		o.violations = append(o.violations, fmt.Sprintf(format, args...))
	}
}

func (k groupPartition) String() string {
	return fmt.Sprintf("group %s, %s-%d", k.group, k.topic, k.partition.partition)
}
