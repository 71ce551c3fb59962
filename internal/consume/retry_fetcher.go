package consume

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/observe"
	"sluice/internal/offset"
	"sluice/internal/record"
)

const (
	// minDeferral is the shortest time for which a retry partition is deferred, so that a steady
	// trickle of failures costs a few fetches per second instead of one per record. It may delay a
	// record by that time, and never makes one early.
	minDeferral = 200 * time.Millisecond
	// fullDeferral is how long a retry partition is deferred if its commit metadata has no room for
	// its next record.
	fullDeferral = time.Second
	// maxRetryPoll is the maximum number of records of one poll.
	maxRetryPoll = 500
)

// retryFetcher polls the retry partitions that this member owns. Due times ascend within a retry
// partition, so a record that is not due defers its own partition and no other. Retry records have
// separate credits: otherwise a source record could wait for a retry record that needs its credit.
type retryFetcher struct {
	clients     *clients
	assignments *assignments
	pauser      *pauser
	faults      *fetchFaults
	credits     *record.Credits
	handler     Handler
	obs         *observe.Pipeline

	// deferred has the time at which each deferred partition is resumed. Only run's goroutine uses
	// it.
	deferred map[topicPartition]time.Time
}

// run polls until fetchCtx ends.
func (f *retryFetcher) run(fetchCtx, workCtx context.Context) {
	for fetchCtx.Err() == nil {
		n := f.credits.Acquire(fetchCtx, maxRetryPoll)
		if n == 0 {
			return
		}
		fetches := f.pollUntilDue(fetchCtx, n)
		f.faults.handleErrors(fetchCtx, fetches)
		records := f.trackFetches(fetches)
		f.credits.Return(n-len(records), 0)
		if len(records) > 0 {
			f.handler.Handle(workCtx, records)
		}
		f.resumeDue()
	}
}

// pollUntilDue polls until records arrive or the first deferred partition is due.
func (f *retryFetcher) pollUntilDue(ctx context.Context, limit int) kgo.Fetches {
	if due := f.nextDue(); !due.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, due)
		defer cancel()
	}
	return f.clients.retry.PollRecords(ctx, limit)
}

// nextDue returns when the first deferred partition is due, or the zero time if none is deferred.
func (f *retryFetcher) nextDue() time.Time {
	var first time.Time
	for _, due := range f.deferred {
		if first.IsZero() || due.Before(first) {
			first = due
		}
	}
	return first
}

func (f *retryFetcher) resumeDue() {
	now := time.Now()
	for at, due := range f.deferred {
		if !due.After(now) {
			delete(f.deferred, at)
			f.pauser.removeReason(pauseDeferred, at)
		}
	}
}

// trackFetches tracks the fetched records, and returns those that must be handled.
func (f *retryFetcher) trackFetches(fetches kgo.Fetches) []*record.Record {
	if fetches.NumRecords() == 0 {
		return nil
	}
	f.assignments.mu.Lock()
	defer f.assignments.mu.Unlock()
	var tracked []*record.Record
	fetches.EachPartition(func(fetch kgo.FetchTopicPartition) {
		p := f.assignments.findPartition(topicPartition{fetch.Topic, fetch.Partition})
		if p == nil {
			return
		}
		p.highWatermark = fetch.HighWatermark
		tracked = append(tracked, f.trackPartition(p, fetch.Records)...)
	})
	return tracked
}

// trackPartition tracks records up to the first one that is not due or does not fit into the commit
// metadata. Records that are skipped are always due.
func (f *retryFetcher) trackPartition(from *partition, fetched []*kgo.Record) []*record.Record {
	var tracked []*record.Record
	for _, raw := range fetched {
		if raw.Offset < from.tracker.Progress().Next {
			continue
		}
		headers := record.ParseRetryHeaders(raw)
		isMarker := record.IsOwnershipMarker(raw)
		isLate := !isMarker && isLateCopy(from.tracker.Owner(), raw, headers)
		isSkipped := isMarker || isLate || from.tracker.KnownSettled(raw.Offset)
		if wait := time.Until(headers.NotBefore); wait > 0 && !isSkipped {
			f.deferPartition(from, raw, max(wait, minDeferral))
			break
		}
		if !from.tracker.Fits(raw.Offset, 1) {
			f.deferPartition(from, raw, fullDeferral)
			break
		}
		if isMarker || isLate {
			f.skipRecord(from, raw, isLate)
			continue
		}
		if r := f.trackRecord(from, raw, headers); r != nil {
			tracked = append(tracked, r)
		}
	}
	return tracked
}

// deferPartition pauses a retry partition for the given time, with its position set back to the
// record.
func (f *retryFetcher) deferPartition(deferred *partition, raw *kgo.Record, wait time.Duration) {
	f.deferred[deferred.topicPartition] = time.Now().Add(wait)
	f.pauser.addReason(pauseDeferred, deferred.topicPartition)
	f.clients.retry.SetOffsets(positionAt(raw))
}

// skipRecord settles a late copy, which is counted, or an ownership marker, which is no record of
// anyone.
func (f *retryFetcher) skipRecord(from *partition, raw *kgo.Record, isLate bool) {
	var entry offset.Entry
	prior := from.tracker.Track(&entry, raw.Offset, raw.LeaderEpoch, raw.Timestamp)
	isNew := prior != offset.PriorSettled && prior != offset.PriorSeen
	if isNew {
		entry.Settle()
	}
	switch {
	case !isLate:
	case isNew:
		f.obs.RecordsRead(true, 1, record.Size(raw))
		f.obs.RecordsSkippedSettled(observe.SkipLateCopy, 1)
	default:
		f.obs.RecordsSkippedSettled(observe.SkipCommitMetadata, 1)
	}
}

// trackRecord tracks a due record. It returns nil if the record is settled already.
func (f *retryFetcher) trackRecord(from *partition, raw *kgo.Record, headers record.RetryHeaders) *record.Record {
	r := &record.Record{
		Raw: raw, Origin: headers.Origin, TierDelay: from.delay, Attempt: headers.Attempt, Replays: headers.Replays,
		Sends:       headers.Sends,
		FirstFailed: headers.FirstFailed, OperationName: headers.OperationName,
		WriterID: from.owner.writerID, AssignmentCtx: from.owner.ctx, Credits: f.credits,
	}
	state := from.tracker.Track(&r.Entry, raw.Offset, raw.LeaderEpoch, raw.Timestamp)
	r.NotePriorState(state)
	switch state {
	case offset.PriorNone, offset.PriorIntent, offset.PriorResendIntent:
	case offset.PriorSettled, offset.PriorSeen:
		f.obs.RecordsSkippedSettled(observe.SkipCommitMetadata, 1)
		return nil
	}
	size := record.Size(raw)
	f.credits.ChargeBytes(size)
	f.obs.RecordsRead(true, 1, size)
	return r
}
