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
	var owed kadm.Offsets // what this instance has begun to commit
	return g.persist(ctx, "committing where the group starts", func() error {
		if owed == nil {
			started, err := g.hasStarted(ctx)
			if err != nil || started {
				return err
			}
			if owed, err = g.startOffsets(ctx); err != nil {
				return err
			}
		}
		err := g.commitStart(ctx, owed)
		if errors.Is(err, kerr.UnknownMemberID) {
			owed = nil // another instance was first: the group has members, and next it is found to have offsets
		}
		return err
	})
}

// hasStarted tells whether the group has any offset, in whichever topic. A group that does not exist yet has none, whichever way the broker says so.
func (g *Group) hasStarted(ctx context.Context) (bool, error) {
	committed, err := g.admin.FetchOffsets(ctx, g.cfg.Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return false, nil
	}
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return false, fmt.Errorf("reading the group's offsets: %w", err)
	}
	for _, topic := range committed.Offsets() {
		for _, o := range topic {
			if o.At >= 0 {
				return true, nil
			}
		}
	}
	return false, nil
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

// startOffsets gives where each partition of the source is to start.
func (g *Group) startOffsets(ctx context.Context) (kadm.Offsets, error) {
	listed, err := g.listStart(ctx)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	offsets := listed.Offsets()
	if len(offsets[g.cfg.Topic]) == 0 {
		return nil, fmt.Errorf("topic %s does not exist", g.cfg.Topic)
	}
	return offsets, nil
}

// commitStart commits what is owed, and takes out of it what the broker has taken.
func (g *Group) commitStart(ctx context.Context, owed kadm.Offsets) error {
	answer, err := g.admin.CommitOffsets(ctx, g.cfg.Group, owed)
	if err != nil {
		return err
	}
	answer.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil {
			delete(owed[o.Topic], o.Partition)
		}
	})
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
