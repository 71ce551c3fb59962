package consume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/internal/notify"
	"sluice/internal/offset"
	"sluice/internal/record"
)

// pendingCommit is what a partition wants committed.
type pendingCommit struct {
	p *partition
	c offset.Commit
}

// commitLoop is the committer's goroutine: whenever something settled, one commit in flight at a time, so that it gathers by itself under load.
func (g *Group) commitLoop(ctx context.Context) {
	wait, failing := time.Duration(0), false
	echo := time.NewTimer(0)
	defer echo.Stop()
	<-echo.C
	for {
		select {
		case <-g.changed:
		case <-g.urgent:
		case <-echo.C:
			g.recommit()
		case <-ctx.Done():
			return
		}
		if err := g.commit(ctx); err != nil && ctx.Err() == nil {
			g.obs.CommitFailed()
			if errors.Is(err, errUnanswered) {
				echo.Reset(2 * commitTimeout)
			}
			if !failing {
				g.log.Warn("committing offsets failed; it is built anew until it succeeds", zap.Error(err))
			}
			failing = true
			wait = min(max(2*wait, 100*time.Millisecond), 5*time.Second)
			notify.TrySignal(g.changed)
			sleep(ctx, wait)
			continue
		}
		if failing {
			g.log.Info("committing offsets works again")
		}
		wait, failing = 0, false
		g.resumeRoomy()
		g.pace(ctx)
	}
}

// errUnanswered is a commit of which nobody knows whether the broker has taken it, or takes it yet: on another connection it may come after a newer one.
var errUnanswered = errors.New("no answer")

// recommit commits everything once more, after a commit that was not answered may have set the group back.
func (g *Group) recommit() {
	for _, a := range g.all() {
		g.mu.Lock()
		partitions := a.partitions()
		g.mu.Unlock()
		for _, p := range partitions {
			p.tracker.ForceRecommit()
		}
	}
}

// pace waits for the commit interval, unless a call waits for a commit.
func (g *Group) pace(ctx context.Context) {
	if g.cfg.CommitInterval <= 0 {
		return
	}
	t := time.NewTimer(g.cfg.CommitInterval)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.urgent:
		notify.TrySignal(g.urgent)
	case <-ctx.Done():
	}
}

// commit commits what the live trackers want: the source's partitions, then in a request of its own those of the retry topics, which a
// broker may refuse to a member of an older epoch (KIP-848).
func (g *Group) commit(ctx context.Context) error {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	defer g.commits.Notify()
	source, retries := g.pending()
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	_, errSource := g.sendCommit(ctx, source)
	_, errRetries := g.sendCommit(ctx, retries)
	return errors.Join(errSource, errRetries)
}

func (g *Group) pending() (source, retries []pendingCommit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return gather(slices.Collect(maps.Values(g.assigned)), (*offset.Tracker).PendingCommit)
}

// gather takes what the assignments' trackers want committed: of their source partitions, and of their retry partitions.
func gather(assignments []*assignment, take func(*offset.Tracker) (offset.Commit, bool)) (source, retries []pendingCommit) {
	for _, a := range assignments {
		for i, p := range a.partitions() {
			c, ok := take(p.tracker)
			switch {
			case !ok:
			case i == 0:
				source = append(source, pendingCommit{p, c})
			default:
				retries = append(retries, pendingCommit{p, c})
			}
		}
	}
	return source, retries
}

// commitFinally is for the last commit of an assignment: no later one makes up for what fails, so it is tried again until all is committed, ctx ends,
// or the group no longer knows this member.
func (g *Group) commitFinally(ctx context.Context, batch []pendingCommit) error {
	for {
		rest, err := g.sendCommit(ctx, batch)
		if err == nil || expelled(err) || !sleep(ctx, 100*time.Millisecond) {
			return err
		}
		batch = rest
	}
}

// expelled tells whether the group has gone on without this member: no commit of what it owned is taken any more. ILLEGAL_GENERATION does not say so: the
// broker knows the member, in a generation that is younger than the client has heard of, as while the group joins; the next try has it.
func expelled(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedMemberEpoch)
}

// sendCommit makes one OffsetCommit request and reads its results by partition. What failed stays to be committed, and is given back.
//
// The request is our own: when a commit of kgo's is answered with UNKNOWN_MEMBER_ID or ILLEGAL_GENERATION, kgo joins anew without telling that the partitions were
// lost, though somebody else may have owned them meanwhile. Here the heartbeat finds it out, which ends the assignments first.
func (g *Group) sendCommit(ctx context.Context, batch []pendingCommit) ([]pendingCommit, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	answer, err := g.commitRequest(batch).RequestWith(ctx, g.member)
	if err != nil {
		return batch, fmt.Errorf("committing offsets: %w: %w", errUnanswered, err)
	}
	return g.readCommit(answer, batch)
}

func (g *Group) commitRequest(batch []pendingCommit) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = g.cfg.Group
	req.MemberID, req.Generation = g.member.GroupMetadata()
	at := map[string]int{} // a topic's place in the request
	for _, b := range batch {
		i, known := at[b.p.topic]
		if !known {
			i = len(req.Topics)
			at[b.p.topic] = i
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.TopicID = b.p.topic, b.p.topicID
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = b.p.number, b.c.Offset, b.c.Epoch
		p.Metadata = kmsg.StringPtr(b.metadata())
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}

// metadata is what goes out beside the offset: nothing once the broker has refused it.
func (b pendingCommit) metadata() string {
	if b.p.bare {
		return ""
	}
	return b.c.Metadata
}

func (g *Group) readCommit(answer *kmsg.OffsetCommitResponse, batch []pendingCommit) (rest []pendingCommit, err error) {
	codes := map[topicPartition]int16{}
	ids := map[[16]byte]string{}
	for _, b := range batch {
		ids[b.p.topicID] = b.p.topic
	}
	for _, t := range answer.Topics {
		name := t.Topic
		if name == "" { // from version 10 on, topics go by their id
			name = ids[t.TopicID]
		}
		for _, p := range t.Partitions {
			codes[topicPartition{name, p.Partition}] = p.ErrorCode
		}
	}
	var failures []error
	for _, b := range batch {
		code, answered := codes[topicPartition{b.p.topic, b.p.number}]
		fault := kerr.ErrorForCode(code)
		if !answered {
			fault = errNotAnswered
		}
		if fault := g.settleCommit(b, fault); fault != nil {
			rest = append(rest, b)
			failures = append(failures, fmt.Errorf("committing %s/%d: %w", b.p.topic, b.p.number, fault))
		}
	}
	return rest, errors.Join(failures...)
}

var errNotAnswered = errors.New("the broker's answer leaves it out")

func (g *Group) settleCommit(b pendingCommit, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		b.p.tracker.ConfirmCommit(b.c.Version)
		b.p.confirmed = min(b.c.Offset, b.p.tracker.Progress().Committable) // lower where the log was truncated meanwhile
		return nil
	}
	if errors.Is(err, kerr.OffsetMetadataTooLarge) {
		b.p.bare = true
		g.log.Error("the broker refuses our commit metadata: raise its offset.metadata.max.bytes to 4096; a crash now sends records again that were settled",
			zap.String("topic", b.p.topic), zap.Int32("partition", b.p.number), zap.Int("bytes", len(b.c.Metadata)))
	}
	return err
}

// LogIntent commits that these records may have been sent, and returns when the broker has confirmed it for each whose assignment still stands.
func (g *Group) LogIntent(ctx context.Context, records []*record.Record) error {
	versions := make([]uint64, len(records))
	for i, r := range records {
		versions[i] = r.Entry.MarkIntent()
	}
	for i := 0; i < len(records); {
		next := g.commits.Next()
		for i < len(records) && records[i].Entry.IntentCommitted(versions[i]) {
			i++
		}
		if i == len(records) {
			break
		}
		notify.TrySignal(g.urgent)
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ClearIntent takes Sent back for records on which the vendor did not act.
func (g *Group) ClearIntent(records []*record.Record) {
	for _, r := range records {
		r.Entry.ClearIntent()
	}
}
