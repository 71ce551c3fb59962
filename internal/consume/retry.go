package consume

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/offset"
	"sluice/internal/record"
)

// leastHold is the shortest time that a retry partition waits once its head is found not to be due, so that a steady trickle of failures costs a few
// fetches a second and not one a record. It makes records late by as much, never early.
const leastHold = 200 * time.Millisecond

// roomHold is how long a retry partition waits whose commit metadata has no room for its next record.
const roomHold = time.Second

// retryPoll bounds one poll of the retry partitions.
const retryPoll = 500

// holds is when each held retry partition goes on. Only pollRetries' goroutine uses it.
type holds map[topicPartition]time.Time

type topicPartition struct {
	topic  string
	number int32
}

// pollRetries reads the retry partitions of the partitions that this instance owns. A head that is not due holds its partition alone: due times ascend in it.
// Retry records have credits of their own, so that no source record waits for one that needs its credit.
func (g *Group) pollRetries(reading, work context.Context) {
	held := holds{}
	for reading.Err() == nil {
		n := g.retryCredits.Acquire(reading, retryPoll)
		if n == 0 {
			return
		}
		fetches := g.pollUntil(reading, held.next(), n)
		g.noteErrors(reading, fetches)
		records := g.trackRetries(fetches, held)
		g.retryCredits.Return(n-len(records), 0)
		if len(records) > 0 {
			g.handler.Handle(work, records)
		}
		g.resumeDue(held)
	}
}

// next is when the first held partition goes on; zero where none is held.
func (h holds) next() time.Time {
	var first time.Time
	for _, t := range h {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}

func (g *Group) pollUntil(ctx context.Context, until time.Time, n int) kgo.Fetches {
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	return g.side.PollRecords(ctx, n)
}

func (g *Group) resumeDue(held holds) {
	now := time.Now()
	for p, until := range held {
		if !until.After(now) {
			delete(held, p)
			g.side.ResumeFetchPartitions(map[string][]int32{p.topic: {p.number}})
		}
	}
}

func (g *Group) trackRetries(fetches kgo.Fetches, held holds) []*record.Record {
	if fetches.NumRecords() == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []*record.Record
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := g.partition(topicPartition{f.Topic, f.Partition})
		if p == nil {
			return
		}
		p.highWatermark = f.HighWatermark
		for _, r := range f.Records {
			if r.Offset < p.tracker.Progress().Next {
				continue
			}
			carried := record.ParseRetryHeaders(r)
			if wait := time.Until(carried.NotBefore); wait > 0 {
				g.hold(p, r, max(wait, leastHold), held)
				return
			}
			if !p.tracker.Fits(r.Offset, 1) {
				g.hold(p, r, roomHold, held)
				return
			}
			if rec := g.trackRetry(p, r, carried); rec != nil {
				out = append(out, rec)
			}
		}
	})
	return out
}

// hold stops the reading of a retry partition at a record that is not due, and puts the reading back to it: with its epoch, or the client would not
// look whether the log was cut before it.
func (g *Group) hold(p *partition, at *kgo.Record, wait time.Duration, held holds) {
	held[topicPartition{p.topic, p.number}] = time.Now().Add(wait)
	g.side.PauseFetchPartitions(map[string][]int32{p.topic: {p.number}})
	g.side.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.topic: {p.number: {Epoch: at.LeaderEpoch, Offset: at.Offset}}})
}

// trackRetry gives a due retry record its place; nil where it is to be skipped.
func (g *Group) trackRetry(p *partition, r *kgo.Record, c record.RetryHeaders) *record.Record {
	rec := &record.Record{
		Raw: r, Origin: c.Origin, TierDelay: p.delay, Attempt: c.Attempt, Replays: c.Replays, FirstFailed: c.FirstFailed, OperationName: c.OperationName,
		WriterID: p.owner.writer, AssignmentCtx: p.owner.life, Credits: g.retryCredits,
	}
	fate := p.tracker.Track(&rec.Entry, r.Offset, r.LeaderEpoch, r.Timestamp)
	if fate != offset.PriorNone && fate != offset.PriorIntent {
		g.obs.RecordsSkippedSettled("commit_metadata", 1)
		return nil
	}
	rec.OutcomeUnknown = fate == offset.PriorIntent
	size := record.Size(r)
	g.retryCredits.ChargeBytes(size)
	g.obs.RecordsRead(true, 1, size)
	if r.Offset >= p.endRead && c.WriterID != p.owner.writer && c.Replays == 0 && c.WriterID != "" {
		// An owner that had lost the partition wrote it late; this owner reads the same record from the source.
		g.obs.RecordsSkippedSettled("late_copy", 1)
		rec.Entry.Settle()
		g.retryCredits.Return(0, size)
		return nil
	}
	return rec
}
