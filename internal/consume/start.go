package consume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"sluice/internal/backoff"
	"sluice/internal/observe"
)

var startBackoff = backoff.Policy{Min: 250 * time.Millisecond, Max: 10 * time.Second}

// startCommitter commits the configured start position in every partition of the source topic, for
// a group that has no committed offset at all. So the start position applies only once: a partition
// that is added later, or whose offset is lost, does not start at the end because of it.
type startCommitter struct {
	cfg   Config
	admin *kadm.Client
	// uncommitted has the start offsets that are not committed yet. It is nil until it is known
	// that the group has none.
	uncommitted kadm.Offsets
}

// commitStartPosition commits the start position of every partition, unless the group already has a
// committed offset. It retries until all are committed or ctx ends.
func commitStartPosition(ctx context.Context, cfg Config, admin *kadm.Client, log *zap.Logger) error {
	s := &startCommitter{cfg: cfg, admin: admin}
	failure := observe.NewCondition(log, "start position commit failed, retrying", "start position commit recovered")
	err := backoff.RetryUntil(ctx, startBackoff, func() error { return s.commitOnce(ctx) },
		func(err error) { failure.Begin(err) })
	if err != nil {
		return fmt.Errorf("committing the start position: %w", err)
	}
	failure.End()
	return nil
}

func (s *startCommitter) commitOnce(ctx context.Context) error {
	if s.uncommitted == nil {
		started, err := s.hasCommitted(ctx)
		if err != nil || started {
			return err
		}
		if s.uncommitted, err = s.startOffsets(ctx); err != nil {
			return err
		}
	}
	err := s.commitStartOffsets(ctx)
	if errors.Is(err, kerr.UnknownMemberID) {
		// Another instance was first: the group has members, and the next attempt finds its
		// offsets.
		s.uncommitted = nil
	}
	return err
}

// hasCommitted reports whether the group has a committed offset in any topic. A group that does not
// exist yet has none, however the broker reports that.
func (s *startCommitter) hasCommitted(ctx context.Context) (bool, error) {
	committed, err := s.admin.FetchOffsets(ctx, s.cfg.Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return false, nil
	}
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return false, fmt.Errorf("fetching committed offsets: %w", err)
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

// startOffsets returns the start position of each partition of the source topic.
func (s *startCommitter) startOffsets(ctx context.Context) (kadm.Offsets, error) {
	listed, err := s.listOffsets(ctx)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("listing offsets: %w", err)
	}
	offsets := listed.Offsets()
	if len(offsets[s.cfg.Topic]) == 0 {
		return nil, fmt.Errorf("topic %s does not exist", s.cfg.Topic)
	}
	return offsets, nil
}

func (s *startCommitter) listOffsets(ctx context.Context) (kadm.ListedOffsets, error) {
	switch {
	case s.cfg.Start.Latest:
		return s.admin.ListEndOffsets(ctx, s.cfg.Topic)
	case !s.cfg.Start.At.IsZero():
		return s.admin.ListOffsetsAfterMilli(ctx, s.cfg.Start.At.UnixMilli(), s.cfg.Topic)
	default:
		return s.admin.ListStartOffsets(ctx, s.cfg.Topic)
	}
}

// commitStartOffsets commits the uncommitted offsets, and removes those that the broker has
// confirmed.
func (s *startCommitter) commitStartOffsets(ctx context.Context) error {
	responses, err := s.admin.CommitOffsets(ctx, s.cfg.Group, s.uncommitted)
	if err != nil {
		return err
	}
	responses.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil {
			delete(s.uncommitted[o.Topic], o.Partition)
		}
	})
	return responses.Error()
}
