package consume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
)

const (
	// maxScanCopies limits what one scan remembers. Beyond it, a record that an owner wrote to a
	// retry topic just before it crashed may be handled twice.
	maxScanCopies = 1_000_000
	// scanTimeout is how long a scan waits for records that do not arrive, for example behind an
	// open transaction. Then it leaves their assignments to the next recovery.
	scanTimeout = 10 * time.Second
	maxScanPoll = 1000
)

// retryCopy is a copy of a source record in a retry partition.
type retryCopy struct {
	partition *partition
	offset    int64
	replays   int
	attempt   int
}

// isNewerThan reports whether the record was replayed or attempted more often for c than for other.
func (c retryCopy) isNewerThan(other retryCopy) bool {
	if c.replays != other.replays {
		return c.replays > other.replays
	}
	return c.attempt > other.attempt
}

// retryScan reads retry partitions once, from their committed offsets to the markers of their new
// owners.
type retryScan struct {
	client *kgo.Client
	plans  []*recoveryPlan
	// unread has the partitions that are not yet read to their markers.
	unread map[topicPartition]*scanPosition
	failed map[*recoveryPlan]error
	copies int // of all plans
}

// scanPosition is the next offset that a scan reads in a partition.
type scanPosition struct {
	plan      *recoveryPlan
	partition *partition
	next      int64
}

// scanRetryPartitions reads the retry partitions of the plans. It returns the plans whose
// partitions were read to their markers, and an error for the others.
func scanRetryPartitions(ctx context.Context, cfg Config, plans []*recoveryPlan) ([]*recoveryPlan, error) {
	s := &retryScan{plans: plans, unread: map[topicPartition]*scanPosition{}, failed: map[*recoveryPlan]error{}}
	from := map[string]map[int32]kgo.Offset{}
	for _, plan := range plans {
		for _, p := range plan.retries {
			if begin := plan.retryPositions[p.topic].Offset; begin < p.marker {
				setPartition(from, p.topicPartition, kgo.NewOffset().At(begin))
				s.unread[p.topicPartition] = &scanPosition{plan, p, begin}
			}
		}
	}
	if len(s.unread) == 0 {
		return plans, nil
	}
	var err error
	if s.client, err = kgo.NewClient(scanClientOptions(cfg, from)...); err != nil {
		return nil, fmt.Errorf("creating the client that scans retry partitions: %w", err)
	}
	defer s.client.Close()
	if err := s.readAll(ctx); err != nil {
		return nil, err
	}
	var read []*recoveryPlan
	var failures []error
	for _, plan := range plans {
		if err := s.failed[plan]; err != nil {
			failures = append(failures, err)
		} else {
			read = append(read, plan)
		}
	}
	return read, errors.Join(failures...)
}

// readAll reads until every partition has been read to its marker or failed. The error is ctx's.
func (s *retryScan) readAll(ctx context.Context) error {
	for len(s.unread) > 0 {
		pollCtx, cancel := context.WithTimeout(ctx, scanTimeout)
		fetches := s.client.PollRecords(pollCtx, maxScanPoll)
		timedOut := pollCtx.Err() != nil && fetches.NumRecords() == 0
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if timedOut {
			s.failUnread()
			return nil
		}
		for _, e := range fetches.Errors() {
			if position := s.unread[topicPartition{e.Topic, e.Partition}]; position != nil {
				s.failPlan(position.plan, fmt.Errorf("scanning %s/%d: %w", e.Topic, e.Partition, e.Err))
			}
		}
		fetches.EachRecord(s.advanceTo)
	}
	return nil
}

// advanceTo records a copy, and advances the position of its partition.
func (s *retryScan) advanceTo(raw *kgo.Record) {
	at := topicPartition{raw.Topic, raw.Partition}
	position := s.unread[at]
	if position == nil {
		return
	}
	if raw.Offset < position.partition.marker && !raw.Attrs.IsControl() {
		s.noteRecord(position.plan, position.partition, raw)
	}
	if position.next = raw.Offset + 1; position.next >= position.partition.marker {
		delete(s.unread, at)
	}
}

// failPlan leaves an assignment with all of its partitions to the next recovery.
func (s *retryScan) failPlan(plan *recoveryPlan, err error) {
	s.failed[plan] = err
	for at, position := range s.unread {
		if position.plan == plan {
			delete(s.unread, at)
			// Otherwise the client would retry a failed fetch immediately.
			s.client.PauseFetchPartitions(map[string][]int32{at.topic: {at.number}})
		}
	}
}

// failUnread leaves all assignments with unread partitions to the next recovery.
func (s *retryScan) failUnread() {
	for _, plan := range s.plans {
		for _, p := range plan.retries {
			if position := s.unread[p.topicPartition]; position != nil {
				s.failPlan(plan, fmt.Errorf("scanning %s/%d: no record arrived at offset %d within %v although "+
					"the owner's marker is at %d (an open transaction may block it)",
					p.topic, p.number, position.next, scanTimeout, p.marker))
			}
		}
	}
}

// noteRecord adds a record of a retry partition to the plan, unless it is settled or an ownership
// marker, which the fetcher skips.
func (s *retryScan) noteRecord(plan *recoveryPlan, from *partition, raw *kgo.Record) {
	if record.IsOwnershipMarker(raw) || from.tracker.KnownSettled(raw.Offset) {
		// A settled copy does not mean that its source record is settled: an owner may have skipped
		// it as a late copy, because it had the source record itself. If an owner delivered it, its
		// origin is in the source's commit, which is always sent first.
		return
	}
	headers := record.ParseRetryHeaders(raw)
	if isLateCopy(from.tracker.Owner(), raw, headers) {
		plan.late[from] = append(plan.late[from], raw.Offset)
		return
	}
	origin, source := headers.Origin, plan.source
	if origin.TopicID == source.topicID && origin.Topic == source.topic && origin.Partition == source.number {
		s.noteCopy(plan, origin.Offset, retryCopy{from, raw.Offset, headers.Replays, headers.Attempt})
	}
}

// noteCopy notes a copy of the source record at an offset. Of several copies, the one with which
// the record came farthest counts.
func (s *retryScan) noteCopy(plan *recoveryPlan, origin int64, found retryCopy) {
	best, known := plan.copies[origin]
	switch {
	case !known && s.copies >= maxScanCopies:
	case !known:
		s.copies++
		plan.copies[origin] = found
	case found.isNewerThan(best):
		plan.copies[origin] = found
		plan.superseded[best.partition] = append(plan.superseded[best.partition], best.offset)
	default:
		plan.superseded[found.partition] = append(plan.superseded[found.partition], found.offset)
	}
}
