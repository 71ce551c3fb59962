package consume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/wake"
)

// pendingCommit is what a partition wants committed.
type pendingCommit struct {
	p *partition
	c offset.Commit
}

// commitLoop is the committer's goroutine: whenever something settled, one commit in flight at a time, so that it gathers by itself under load.
func (g *Group) commitLoop(ctx context.Context) {
	wait, failing := time.Duration(0), false
	for {
		select {
		case <-g.changed:
		case <-g.urgent:
		case <-ctx.Done():
			return
		}
		if err := g.commit(ctx); err != nil && ctx.Err() == nil {
			g.obs.CommitFailed()
			if !failing {
				g.log.Warn("committing offsets failed; it is built anew until it succeeds", zap.Error(err))
			}
			failing = true
			wait = min(max(2*wait, 100*time.Millisecond), 5*time.Second)
			wake.Signal(g.changed)
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
		wake.Signal(g.urgent)
	case <-ctx.Done():
	}
}

// commit commits what the live trackers want: the source's partitions, then in a request of its own those of the retry topics, which a
// broker may refuse to a member of an older epoch (KIP-848).
func (g *Group) commit(ctx context.Context) error {
	g.commitMu.Lock()
	defer g.commitMu.Unlock()
	defer g.commits.Send()
	source, retries := g.pending()
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	return errors.Join(g.sendCommit(ctx, source), g.sendCommit(ctx, retries))
}

func (g *Group) pending() (source, retries []pendingCommit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.assigned {
		for i, p := range a.partitions() {
			c, ok := p.tracker.Pending()
			if !ok {
				continue
			}
			if p.bare {
				c.Metadata = ""
			}
			if i == 0 {
				source = append(source, pendingCommit{p, c})
			} else {
				retries = append(retries, pendingCommit{p, c})
			}
		}
	}
	return source, retries
}

// sendCommit makes one OffsetCommit request and reads its results by partition. What failed stays to be committed.
func (g *Group) sendCommit(ctx context.Context, batch []pendingCommit) error {
	if len(batch) == 0 {
		return nil
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	byPlace := map[topicPartition]pendingCommit{}
	for _, b := range batch {
		put(offsets, b.p.topic, b.p.number, kgo.EpochOffset{Epoch: b.c.Epoch, Offset: b.c.Offset})
		byPlace[topicPartition{b.p.topic, b.p.number}] = b
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				metadata := byPlace[topicPartition{t.Topic, t.Partitions[j].Partition}].c.Metadata
				t.Partitions[j].Metadata = &metadata
			}
		}
		return nil
	})
	var failure error
	g.member.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			failure = fmt.Errorf("committing offsets: %w", err)
			return
		}
		failure = g.readCommit(req, answer, byPlace)
	})
	return failure
}

func (g *Group) readCommit(req *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, byPlace map[topicPartition]pendingCommit) error {
	names := map[[16]byte]string{}
	for _, t := range req.Topics {
		names[t.TopicID] = t.Topic
	}
	var failures []error
	for _, t := range answer.Topics {
		name := t.Topic
		if name == "" {
			name = names[t.TopicID]
		}
		for _, p := range t.Partitions {
			b, ok := byPlace[topicPartition{name, p.Partition}]
			if !ok {
				continue
			}
			if err := g.settleCommit(b, kerr.ErrorForCode(p.ErrorCode)); err != nil {
				failures = append(failures, fmt.Errorf("committing %s/%d: %w", name, p.Partition, err))
			}
		}
	}
	return errors.Join(failures...)
}

func (g *Group) settleCommit(b pendingCommit, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		b.p.tracker.Confirm(b.c.Version)
		b.p.confirmed = b.c.Offset
		return nil
	}
	if errors.Is(err, kerr.OffsetMetadataTooLarge) {
		b.p.bare = true
		g.log.Error("the broker refuses our commit metadata: raise its offset.metadata.max.bytes to 4096; a crash now sends records again that were settled",
			zap.String("topic", b.p.topic), zap.Int32("partition", b.p.number), zap.Int("bytes", len(b.c.Metadata)))
	}
	return err
}

// Sent commits that these records may have been sent, and returns when the broker has confirmed it for each whose assignment still stands.
func (g *Group) Sent(ctx context.Context, records []*record.Record) error {
	versions := make([]uint64, len(records))
	for i, r := range records {
		versions[i] = r.Entry.MarkSent()
	}
	for i := 0; i < len(records); {
		next := g.commits.Wait()
		for i < len(records) && records[i].Entry.Covered(versions[i]) {
			i++
		}
		if i == len(records) {
			break
		}
		wake.Signal(g.urgent)
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Unsent takes Sent back for records on which the vendor did not act.
func (g *Group) Unsent(records []*record.Record) {
	for _, r := range records {
		r.Entry.MarkUnsent()
	}
}

// deleteSettled deletes what is settled and committed from the retry partitions, so that a lost commit does not bring it back.
func (g *Group) deleteSettled(ctx context.Context, assignments []*assignment) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	upTo := kadm.Offsets{}
	g.mu.Lock()
	for _, a := range assignments {
		for _, p := range a.retries {
			if p.confirmed > p.deleted {
				upTo.AddOffset(p.topic, p.number, p.confirmed, -1)
				p.deleted = p.confirmed
			}
		}
	}
	g.mu.Unlock()
	if len(upTo) == 0 {
		return
	}
	if _, err := g.admin.DeleteRecords(ctx, upTo); err != nil {
		g.log.Warn("deleting settled retry records failed; it is tried again as more settles", zap.Error(err))
	}
}
