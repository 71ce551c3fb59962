package consume

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/observe"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
)

const (
	// maxSourcePoll limits the records of one poll, because a rebalance waits until they are
	// tracked.
	maxSourcePoll = 2000
	// pauseBelowCapacity and resumeAtCapacity are the capacities of a partition's commit metadata,
	// in records, at which its fetching is paused and resumed.
	pauseBelowCapacity = 64
	resumeAtCapacity   = 256
)

// sourceFetcher polls the source partitions and hands their records to the handler.
type sourceFetcher struct {
	clients     *clients
	assignments *assignments
	pauser      *pauser
	faults      *fetchFaults
	credits     *record.Credits
	handler     Handler
	obs         *observe.Pipeline
	// fail ends the pipeline with an error that a retry cannot fix.
	fail func(error)
}

// run polls until fetchCtx ends. It never polls more records than it has credits for. Nothing
// blocks between a poll and AllowRebalance, because a rebalance waits for it.
func (f *sourceFetcher) run(fetchCtx, workCtx context.Context) {
	for fetchCtx.Err() == nil {
		n := f.credits.Acquire(fetchCtx, f.pollLimit())
		if n == 0 {
			return
		}
		fetches := f.clients.group.PollRecords(fetchCtx, n)
		f.faults.handleErrors(fetchCtx, fetches)
		records := f.trackFetches(fetches)
		f.clients.group.AllowRebalance()
		f.credits.Return(n-len(records), 0)
		if len(records) > 0 {
			f.handler.Handle(workCtx, records)
		}
	}
}

// pollLimit returns how many records may be polled so that they fit into the commit metadata
// whichever partition they come from. It pauses the partitions that have no capacity.
func (f *sourceFetcher) pollLimit() int {
	f.assignments.mu.Lock()
	defer f.assignments.mu.Unlock()
	limit := maxSourcePoll
	for _, a := range f.assignments.byNumber {
		if a.source == nil || a.ending || f.pauser.hasReason(pauseMetadataFull, a.source.topicPartition) {
			continue
		}
		capacity := a.source.tracker.RemainingCapacity()
		if capacity < pauseBelowCapacity {
			f.pauser.addReason(pauseMetadataFull, a.source.topicPartition)
			continue
		}
		limit = min(limit, capacity)
	}
	return limit
}

// resumeWithCapacity resumes partitions whose commit metadata has capacity again.
func (f *sourceFetcher) resumeWithCapacity() {
	f.assignments.mu.Lock()
	defer f.assignments.mu.Unlock()
	for _, a := range f.assignments.byNumber {
		if a.source == nil || a.ending || !f.pauser.hasReason(pauseMetadataFull, a.source.topicPartition) {
			continue
		}
		tracker := a.source.tracker
		if tracker.RemainingCapacity() >= resumeAtCapacity && tracker.Fits(a.source.blockedOffset, pauseBelowCapacity) {
			f.pauser.removeReason(pauseMetadataFull, a.source.topicPartition)
		}
	}
}

// trackFetches tracks the fetched records, and returns those that must be handled. Records of
// ending assignments are left to the next owner.
func (f *sourceFetcher) trackFetches(fetches kgo.Fetches) []*record.Record {
	if fetches.NumRecords() == 0 {
		return nil
	}
	f.assignments.mu.Lock()
	defer f.assignments.mu.Unlock()
	var tracked []*record.Record
	fetches.EachPartition(func(fetch kgo.FetchTopicPartition) {
		a := f.assignments.byNumber[fetch.Partition]
		if a == nil || a.ending || len(fetch.Records) == 0 {
			return
		}
		if a.source == nil {
			// The tracker would start behind these records and count them as settled.
			f.fail(fmt.Errorf("partition %d of %s was fetched before it was recovered", fetch.Partition, fetch.Topic))
			return
		}
		a.source.highWatermark = fetch.HighWatermark
		tracked = append(tracked, f.trackPartition(a, fetch.Records)...)
	})
	return tracked
}

func (f *sourceFetcher) trackPartition(owner *assignment, fetched []*kgo.Record) []*record.Record {
	slab := make([]record.Record, len(fetched))
	tracked := make([]*record.Record, 0, len(fetched))
	bytes := 0
	for i, raw := range fetched {
		if !owner.source.tracker.Fits(raw.Offset, 1) {
			f.pauseAt(owner.source, raw)
			break
		}
		r := &slab[i]
		r.Raw, r.WriterID, r.AssignmentCtx, r.Credits = raw, owner.writerID, owner.ctx, f.credits
		r.Origin = sink.Origin{
			Topic: raw.Topic, TopicID: owner.source.topicID, Partition: raw.Partition,
			Offset: raw.Offset, Timestamp: raw.Timestamp,
		}
		state := owner.source.tracker.Track(&r.Entry, raw.Offset, raw.LeaderEpoch, raw.Timestamp)
		r.NotePriorState(state)
		switch state {
		case offset.PriorNone, offset.PriorIntent, offset.PriorResendIntent:
		case offset.PriorSettled, offset.PriorSeen:
			f.obs.RecordsSkippedSettled(observe.SkipCommitMetadata, 1)
			continue
		}
		bytes += record.Size(raw)
		tracked = append(tracked, r)
	}
	f.credits.ChargeBytes(bytes)
	f.obs.RecordsRead(false, len(tracked), bytes)
	return tracked
}

// pauseAt pauses a source partition whose commit metadata has no room for the record, with its
// position set back to that record. In a log with gaps, fewer records fit than RemainingCapacity
// estimates.
func (f *sourceFetcher) pauseAt(full *partition, raw *kgo.Record) {
	full.blockedOffset = raw.Offset
	f.pauser.addReason(pauseMetadataFull, full.topicPartition)
	f.clients.group.SetOffsets(positionAt(raw))
}

// positionAt returns the position of a record for kgo.Client.SetOffsets. Without the epoch, the
// client would not check whether the log was truncated below the record.
func positionAt(raw *kgo.Record) map[string]map[int32]kgo.EpochOffset {
	position := kgo.EpochOffset{Epoch: raw.LeaderEpoch, Offset: raw.Offset}
	return map[string]map[int32]kgo.EpochOffset{raw.Topic: {raw.Partition: position}}
}
