package consume

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/notify"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
)

const (
	// pollMost bounds one poll, so that a hand-over is short.
	pollMost = 2000
	// roomPause and roomResume are the room in a partition's commit metadata, in records, at which its reading pauses and goes on.
	roomPause  = 64
	roomResume = 256
)

// pollSource reads the source partitions: no more than there are credits for, and nothing that blocks while a rebalance is held back.
func (g *Group) pollSource(reading, work context.Context) {
	for reading.Err() == nil {
		n := g.sourceCredits.Acquire(reading, g.pollLimit())
		if n == 0 {
			return
		}
		fetches := g.member.PollRecords(reading, n)
		g.noteErrors(reading, fetches) // before the records: those that follow a loss of data are new though their offsets were seen
		records := g.trackSource(fetches)
		g.member.AllowRebalance()
		g.sourceCredits.Return(n-len(records), 0)
		if len(records) > 0 {
			g.handler.Handle(work, records)
		}
	}
}

// pollLimit is how many records may be polled so that the commit metadata of any partition still fits. Partitions without room are paused.
func (g *Group) pollLimit() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit := pollMost
	for _, a := range g.assigned {
		if a.source == nil || a.ending || a.source.paused {
			continue
		}
		room := a.source.tracker.RemainingCapacity()
		if room < roomPause {
			a.source.paused = true
			g.member.PauseFetchPartitions(map[string][]int32{g.cfg.Topic: {a.partition}})
			continue
		}
		limit = min(limit, room)
	}
	return limit
}

// resumeRoomy lets partitions go on whose commit metadata has room again.
func (g *Group) resumeRoomy() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.assigned {
		if a.source != nil && !a.ending && !a.lost && a.source.paused && a.source.tracker.RemainingCapacity() >= roomResume && a.source.tracker.Fits(a.source.wanted, roomPause) {
			a.source.paused = false
			g.member.ResumeFetchPartitions(map[string][]int32{g.cfg.Topic: {a.partition}})
		}
	}
}

// trackSource gives each record its place in its tracker. Records of partitions that are ending are left to their next owner.
func (g *Group) trackSource(fetches kgo.Fetches) []*record.Record {
	if fetches.NumRecords() == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []*record.Record
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		a := g.assigned[f.Partition]
		if a == nil || a.ending || len(f.Records) == 0 {
			return
		}
		if a.source == nil {
			// Going on would count these as settled, for the tracker would begin behind them.
			g.fail(fmt.Errorf("partition %d was read before it was taken over", f.Partition))
			return
		}
		a.source.highWatermark = f.HighWatermark
		out = append(out, g.trackPartition(a, f.Records)...)
	})
	return out
}

func (g *Group) trackPartition(a *assignment, raw []*kgo.Record) []*record.Record {
	slab := make([]record.Record, len(raw))
	out := make([]*record.Record, 0, len(raw))
	bytes := 0
	for i, r := range raw {
		if !a.source.tracker.Fits(r.Offset, 1) {
			g.putBack(a.source, r)
			break
		}
		rec := &slab[i]
		rec.Raw, rec.AssignmentCtx, rec.Credits = r, a.life, g.sourceCredits
		rec.Origin = sink.Origin{Topic: r.Topic, TopicID: a.source.topicID, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp}
		rec.WriterID = a.writer
		switch a.source.tracker.Track(&rec.Entry, r.Offset, r.LeaderEpoch, r.Timestamp) {
		case offset.PriorIntent:
			rec.OutcomeUnknown = true
		case offset.PriorNone:
		default:
			g.obs.RecordsSkippedSettled("commit_metadata", 1)
			continue
		}
		bytes += record.Size(r)
		out = append(out, rec)
	}
	g.sourceCredits.ChargeBytes(bytes)
	g.obs.RecordsRead(false, len(out), bytes)
	return out
}

// putBack pauses a source partition at a record that it has no room for: in a log with gaps fewer records fill the metadata than Room says.
func (g *Group) putBack(p *partition, r *kgo.Record) {
	p.paused, p.wanted = true, r.Offset
	g.member.PauseFetchPartitions(map[string][]int32{p.topic: {p.number}})
	g.member.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.topic: {p.number: {Epoch: r.LeaderEpoch, Offset: r.Offset}}})
}

// truncated goes on where the log was lost and begins anew: offsets may come again that were seen before, with other records. Records that
// were read before that place are still owed; those that are gone from the log are let go.
func (g *Group) truncated(loss *kgo.ErrDataLoss) {
	if g.truncate(loss) {
		g.log.Error("the log was truncated; reading goes on", zap.String("topic", loss.Topic), zap.Int32("partition", loss.Partition), zap.Int64("from", loss.ResetTo))
		g.handler.NotifyDraining()
	}
}

// truncate tells whether the lost log is that of a partition in the readers' hands.
func (g *Group) truncate(loss *kgo.ErrDataLoss) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.assigned[loss.Partition]
	if a == nil || a.ending {
		return false
	}
	if a.source == nil { // it is taken over from there, then
		if loss.Topic == g.cfg.Topic {
			a.committed, a.lost = offset.Commit{Offset: loss.ResetTo, Epoch: -1}, false
			notify.TrySignal(g.arrivals)
		}
		return false
	}
	for _, p := range a.partitions() {
		if p.topic == loss.Topic {
			p.tracker.Truncate(loss.ResetTo, loss.ResetToEpoch)
			p.confirmed = min(p.confirmed, loss.ResetTo)
			return true
		}
	}
	return false
}

// noteTotal notes how many partitions the source has.
func (g *Group) noteTotal(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total = n
}

// OwnedPartitions tells how many of the source's partitions this instance owns, as it knew them at the last take-over.
func (g *Group) OwnedPartitions() (owned, all int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.assigned), g.total
}
