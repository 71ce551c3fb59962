package consume

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/offset"
)

// recoveryPlan is the state of one assignment during recovery. Only recovery uses it until it is
// installed.
type recoveryPlan struct {
	assignment *assignment
	committed  offset.Commit // the group's commit when the plan was made
	begin      int64         // position from which the source partition is read
	// end is the end offset of the source partition. Prior states from there on belong to records
	// that the log has lost.
	end            int64
	source         *partition
	retries        []*partition
	retryPositions map[string]kgo.EpochOffset // start position of the retry partition, by topic
	copies         map[int64]retryCopy        // the newest copy, by the offset of its origin
	superseded     map[*partition][]int64     // the offsets of older copies
	late           map[*partition][]int64     // the offsets of late copies
}

func (r *recovery) prepareAssignment(assigned *assignment, snapshot brokerSnapshot) (*recoveryPlan, error) {
	plan := &recoveryPlan{
		assignment: assigned, retryPositions: map[string]kgo.EpochOffset{},
		copies: map[int64]retryCopy{}, superseded: map[*partition][]int64{}, late: map[*partition][]int64{},
	}
	if err := r.prepareSource(plan, snapshot); err != nil {
		return nil, err
	}
	for _, tier := range r.cfg.RetryTiers {
		if err := r.prepareRetry(plan, tier, snapshot); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

// prepareSource determines the position of the source partition: the committed offset if it is in
// the log, otherwise the position that the policies require.
func (r *recovery) prepareSource(plan *recoveryPlan, snapshot brokerSnapshot) error {
	at := topicPartition{r.cfg.Topic, plan.assignment.number}
	start, end, err := snapshot.logRange(at)
	if err != nil {
		return fmt.Errorf("looking up the log range of %s/%d: %w", at.topic, at.number, err)
	}
	r.assignments.mu.Lock()
	plan.committed = plan.assignment.committed
	r.assignments.mu.Unlock()
	plan.end = end
	lost, err := r.chooseBegin(plan, at, start)
	if err != nil {
		return err
	}
	plan.source = &partition{
		topicPartition: at, topicID: snapshot.topics[at.topic].ID, owner: plan.assignment, highWatermark: end,
	}
	metadata := plan.committed.Metadata
	if plan.begin != plan.committed.Offset {
		metadata = "" // it belongs to the committed offset
	}
	plan.source.tracker = r.newTracker(plan.source, plan.begin, metadata)
	plan.source.tracker.Truncate(end, -1)
	if lost {
		// Commit the new position, so that no later start chooses a different one.
		plan.source.tracker.MarkSettled(nil)
	}
	return nil
}

// chooseBegin sets the position of the source partition, and reports whether the committed offset
// is lost.
func (r *recovery) chooseBegin(plan *recoveryPlan, at topicPartition, start int64) (lost bool, err error) {
	committed := plan.committed.Offset
	plan.begin = committed
	lost = committed >= 0 && (committed < start || committed > plan.end)
	switch {
	case r.pauser.hasReason(pauseOffsetLost, at):
		// The log may have grown past the offset since. The records that it now has below the
		// offset were never read.
		return false, fmt.Errorf("recovering %s/%d: its committed offset %d was not in the log when it was assigned",
			at.topic, at.number, committed)
	case lost && r.cfg.OnOffsetLost == LostOffsetStop:
		r.assignments.loseCommitted(plan.assignment, plan.committed)
		return false, fmt.Errorf("recovering %s/%d: its committed offset %d is not in the log, which has %d to %d, "+
			"and on_offset_lost is %s (allowed are stop, earliest and latest; or commit another offset)",
			at.topic, at.number, committed, start, plan.end, r.cfg.OnOffsetLost)
	case lost && r.cfg.OnOffsetLost == LostOffsetLatest:
		plan.begin = plan.end
	case lost || committed < 0:
		plan.begin = start
	}
	return lost, nil
}

// prepareRetry adds the retry partition of a tier to the plan. Its position has the epoch of the
// commit; without it, the client would not check whether the log was truncated below the offset.
func (r *recovery) prepareRetry(plan *recoveryPlan, tier RetryTier, snapshot brokerSnapshot) error {
	at := topicPartition{tier.Topic, plan.assignment.number}
	start, _, err := snapshot.logRange(at)
	if err != nil {
		return fmt.Errorf("recovering source partition %d: retry topic %s has no partition of that number "+
			"(connector topics apply creates it): %w", at.number, at.topic, err)
	}
	topicID := snapshot.topics[tier.Topic].ID
	marker, err := plan.assignment.markerOffset(at, topicID)
	if err != nil {
		return err
	}
	// The end is known from the marker, because a leader that was deposed may list an older one.
	end := marker + 1
	p := &partition{
		topicPartition: at, topicID: topicID, delay: tier.Delay, owner: plan.assignment,
		marker: marker, highWatermark: end, deletedBelow: start,
	}
	position, metadata := kgo.EpochOffset{Offset: start, Epoch: -1}, ""
	switch committed, ok := snapshot.committed.Lookup(at.topic, at.number); {
	case ok && committed.At > end:
		r.log.Error("committed offset is past the end of the retry partition, reading the partition from its start",
			append(at.logFields(), zap.Int64("committed", committed.At), zap.Int64("end_offset", end))...)
	case ok && committed.At >= start:
		position = kgo.EpochOffset{Offset: committed.At, Epoch: committed.LeaderEpoch}
		metadata = committed.Metadata
		p.confirmed = committed.At
	}
	p.tracker = r.newTracker(p, position.Offset, metadata)
	p.tracker.Truncate(end, -1)
	plan.retries = append(plan.retries, p)
	plan.retryPositions[p.topic] = position
	return nil
}

func (r *recovery) newTracker(tracked *partition, begin int64, metadata string) *offset.Tracker {
	tracker := offset.NewTracker(tracked.topicID, begin, r.committer.changed)
	if err := tracker.RestoreMetadata(metadata); err != nil {
		r.log.Info("commit metadata ignored", append(tracked.logFields(), zap.Error(err))...)
	}
	return tracker
}

// settleCopies marks in the trackers what the scan of the retry partitions found: source records
// with a copy in a retry topic, superseded copies, and late copies. From then on, everything below
// the new owner's marker that is not settled counts, so the trackers get the new owner.
func (plan *recoveryPlan) settleCopies(obs *observe.Pipeline) {
	begin := plan.source.tracker.Progress().Committable
	var settled []int64
	for origin := range plan.copies {
		if origin >= begin && origin < plan.end {
			settled = append(settled, origin)
		}
	}
	if len(settled) > 0 {
		slices.Sort(settled)
		plan.source.tracker.MarkSettled(settled)
	}
	for p, offsets := range plan.superseded {
		slices.Sort(offsets)
		p.tracker.MarkSettled(offsets)
		obs.RecordsSkippedSettled(observe.SkipOlderCopy, len(offsets))
	}
	for p, offsets := range plan.late {
		slices.Sort(offsets)
		p.tracker.MarkSettled(offsets)
		obs.RecordsSkippedSettled("late_copy", len(offsets))
	}
	for _, p := range plan.retries {
		p.tracker.SetOwner(offset.Owner{WriterID: plan.assignment.writerID, Marker: p.marker})
	}
}
