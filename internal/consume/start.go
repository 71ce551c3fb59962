package consume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"
)

// claimStart commits the configured start for all partitions where the group has no offset at all. So `start` applies once: a partition
// added later, or one whose offset was lost, does not begin at the end for it.
func (g *Group) claimStart(ctx context.Context) error {
	return g.persist(ctx, "reading the group's offsets", func() error {
		committed, err := g.fetchOffsets(ctx, g.cfg.Topic)
		if err != nil {
			return err
		}
		for _, o := range committed.Offsets()[g.cfg.Topic] {
			if o.At >= 0 {
				return nil
			}
		}
		return g.commitStart(ctx)
	})
}

// fetchOffsets reads the group's commits. A group that does not exist yet has none, whichever way the broker says so.
func (g *Group) fetchOffsets(ctx context.Context, topics ...string) (kadm.OffsetResponses, error) {
	committed, err := g.admin.FetchOffsetsForTopics(ctx, g.cfg.Group, topics...)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the group's offsets: %w", err)
	}
	return committed, nil
}

func (g *Group) commitStart(ctx context.Context) error {
	listed, err := g.listStart(ctx)
	if err != nil {
		return err
	}
	if err := listed.Error(); err != nil {
		return err
	}
	offsets := listed.Offsets()
	if len(offsets[g.cfg.Topic]) == 0 {
		return fmt.Errorf("topic %s does not exist", g.cfg.Topic)
	}
	// Where another instance was first, the group has members, this commit is refused, and the next try finds offsets.
	answer, err := g.admin.CommitOffsets(ctx, g.cfg.Group, offsets)
	if err != nil {
		return err
	}
	return answer.Error()
}

func (g *Group) listStart(ctx context.Context) (kadm.ListedOffsets, error) {
	switch {
	case g.cfg.Start.Latest:
		return g.admin.ListEndOffsets(ctx, g.cfg.Topic)
	case !g.cfg.Start.At.IsZero():
		return g.admin.ListOffsetsAfterMilli(ctx, g.cfg.Start.At.UnixMilli(), g.cfg.Topic)
	default:
		return g.admin.ListStartOffsets(ctx, g.cfg.Topic)
	}
}

// persist tries until it succeeds or ctx ends, with a growing wait. A fault is logged when it is new, not each time.
func (g *Group) persist(ctx context.Context, doing string, try func() error) error {
	last := ""
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := try()
		if err == nil {
			return nil
		}
		if err.Error() != last && ctx.Err() == nil {
			last = err.Error()
			g.log.Warn("waiting for Kafka", zap.String("doing", doing), zap.Error(err))
		}
		if !sleep(ctx, wait) {
			return fmt.Errorf("%s: %w", doing, ctx.Err())
		}
	}
}

// sleep waits, and tells whether it could wait to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
