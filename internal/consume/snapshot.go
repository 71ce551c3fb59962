package consume

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// brokerSnapshot is what the brokers report at the start of a recovery.
type brokerSnapshot struct {
	topics    kadm.TopicDetails
	committed kadm.OffsetResponses
	starts    kadm.ListedOffsets
	ends      kadm.ListedOffsets
}

func (r *recovery) takeSnapshot(ctx context.Context) (brokerSnapshot, error) {
	var s brokerSnapshot
	topics := r.cfg.allTopics()
	var err error
	if s.topics, err = r.clients.admin.ListTopics(ctx, topics...); err != nil {
		return s, fmt.Errorf("describing topics: %w", err)
	}
	r.assignments.setSourcePartitions(len(s.topics[r.cfg.Topic].Partitions))
	if s.committed, err = fetchCommitted(ctx, r.clients.admin, r.cfg.Group, topics...); err != nil {
		return s, err
	}
	if s.starts, err = r.clients.admin.ListStartOffsets(ctx, topics...); err != nil {
		return s, fmt.Errorf("listing start offsets: %w", err)
	}
	if s.ends, err = r.clients.admin.ListEndOffsets(ctx, topics...); err != nil {
		return s, fmt.Errorf("listing end offsets: %w", err)
	}
	return s, nil
}

var errNotListed = errors.New("the broker does not list it")

// logRange returns where the log of a partition starts and ends.
func (s brokerSnapshot) logRange(at topicPartition) (start, end int64, err error) {
	listedStart, startOK := s.starts.Lookup(at.topic, at.number)
	listedEnd, endOK := s.ends.Lookup(at.topic, at.number)
	if err := errors.Join(listedStart.Err, listedEnd.Err); err != nil {
		return 0, 0, err
	}
	if !startOK || !endOK {
		return 0, 0, errNotListed
	}
	return listedStart.Offset, listedEnd.Offset, nil
}

// fetchCommitted returns the group's committed offsets in these topics. A group that does not exist
// yet has none, however the broker reports that.
func fetchCommitted(
	ctx context.Context, admin *kadm.Client, group string, topics ...string,
) (kadm.OffsetResponses, error) {
	committed, err := admin.FetchOffsetsForTopics(ctx, group, topics...)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("fetching committed offsets: %w", err)
	}
	return committed, nil
}
