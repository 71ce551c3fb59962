package consume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/offset"
)

// housekeeping is how often owners delete settled retry records and say where their partitions stand.
const housekeeping = 5 * time.Second

// takeOver is the owner's goroutine: it takes new assignments over, and keeps house between.
func (g *Group) takeOver(ctx context.Context) {
	ticker := time.NewTicker(housekeeping)
	defer ticker.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	for ticks, wait := 1, time.Duration(0); ; {
		select {
		case <-g.arrivals:
			wait = 0
		case <-again.C:
		case <-ticker.C:
			g.report(ctx)
			g.probe()
			if ticks++; ticks%12 == 0 {
				g.deleteSettled(ctx, g.all())
			}
			continue
		case <-ctx.Done():
			return
		}
		if g.takeOverWaiting(ctx) {
			wait = 0
			continue
		}
		wait = min(max(2*wait, 250*time.Millisecond), 10*time.Second)
		again.Reset(wait)
	}
}

// takeOverWaiting takes over what waits for it, and tells whether nothing waits any more. An assignment whose retry partitions do not exist yet
// or cannot be read waits alone; the others go on. A fault is logged when it is new, not each time.
func (g *Group) takeOverWaiting(ctx context.Context) bool {
	waiting := g.waiting()
	if len(waiting) == 0 {
		return true
	}
	err := g.takeOverThese(ctx, waiting)
	if ctx.Err() != nil {
		return true
	}
	g.noteWaiting(waiting)
	if err == nil {
		g.noFault("take-over")
		return true
	}
	if g.newFault("take-over", err) {
		g.log.Error("taking partitions over failed; they wait", zap.Error(err))
	}
	return false
}

func (g *Group) waiting() []*assignment {
	g.mu.Lock()
	defer g.mu.Unlock()
	var waiting []*assignment
	for _, a := range g.assigned {
		if a.fetched && !a.ending && a.source == nil {
			waiting = append(waiting, a)
		}
	}
	slices.SortFunc(waiting, func(a, b *assignment) int { return int(a.partition - b.partition) })
	return waiting
}

// noteWaiting states which of these assignments still wait for their take-over.
func (g *Group) noteWaiting(waiting []*assignment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range waiting {
		a.waits = a.source == nil && !a.ending
	}
	g.stateHold()
}

// standing is what the broker says at a take-over.
type standing struct {
	topics    kadm.TopicDetails
	committed kadm.OffsetResponses
	starts    kadm.ListedOffsets
	ends      kadm.ListedOffsets
}

func (g *Group) takeOverThese(ctx context.Context, waiting []*assignment) error {
	s, err := g.standing(ctx)
	if err != nil {
		return err
	}
	var ready []*taking
	var failures []error
	for _, a := range waiting {
		t, err := g.prepare(a, s)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		ready = append(ready, t)
	}
	read, err := g.scan(ctx, ready)
	for _, t := range read {
		t.apply(g)
		g.install(t)
	}
	return errors.Join(append(failures, err)...)
}

func (g *Group) standing(ctx context.Context) (standing, error) {
	var s standing
	names := g.topics()
	var err error
	if s.topics, err = g.admin.ListTopics(ctx, names...); err != nil {
		return s, fmt.Errorf("describing the topics: %w", err)
	}
	g.noteTotal(len(s.topics[g.cfg.Topic].Partitions))
	if s.committed, err = g.fetchOffsets(ctx, names...); err != nil {
		return s, err
	}
	if s.starts, err = g.admin.ListStartOffsets(ctx, names...); err != nil {
		return s, fmt.Errorf("listing start offsets: %w", err)
	}
	if s.ends, err = g.admin.ListEndOffsets(ctx, names...); err != nil {
		return s, fmt.Errorf("listing end offsets: %w", err)
	}
	return s, nil
}

// taking is one assignment being taken over.
type taking struct {
	a         *assignment
	committed offset.Commit // what a had committed when it was prepared
	begin     int64         // where the source is read from
	end       int64         // the end of the source's log: what is known of offsets from here on is of a log that is gone
	source    *partition
	retries   []*partition
	from      map[string]kgo.EpochOffset // where each retry partition is read from
	copies    map[int64]copyAt           // by origin offset: the copy that counts
	stale     map[*partition][]int64
}

func (g *Group) prepare(a *assignment, s standing) (*taking, error) {
	t := &taking{a: a, from: map[string]kgo.EpochOffset{}, copies: map[int64]copyAt{}, stale: map[*partition][]int64{}}
	if err := g.prepareSource(t, s); err != nil {
		return nil, err
	}
	for _, tier := range g.cfg.RetryTiers {
		p, from, err := g.prepareRetry(a, tier, s)
		if err != nil {
			return nil, err
		}
		t.retries = append(t.retries, p)
		t.from[p.topic] = from
	}
	return t, nil
}

// prepareSource finds where the reading of the source partition begins: at the commit, where the log still has it.
func (g *Group) prepareSource(t *taking, s standing) error {
	start, okS := s.starts.Lookup(g.cfg.Topic, t.a.partition)
	end, okE := s.ends.Lookup(g.cfg.Topic, t.a.partition)
	if err := errors.Join(start.Err, end.Err); !okS || !okE || err != nil {
		return fmt.Errorf("where the log of %s/%d begins and ends is not known: %w", g.cfg.Topic, t.a.partition, errOr(err))
	}
	g.mu.Lock()
	stopped := t.a.lost
	t.committed = t.a.committed
	g.mu.Unlock()
	t.begin, t.end = t.committed.Offset, end.Offset
	lost := t.begin >= 0 && (t.begin < start.Offset || t.begin > end.Offset)
	switch {
	case stopped: // though the log may have grown past it since: what is there below it was not read
		return fmt.Errorf("partition %d of %s waits: its committed offset %d was found not to be in the log", t.a.partition, g.cfg.Topic, t.begin)
	case lost && g.cfg.OnOffsetLost == LostOffsetStop:
		g.commitLost(t)
		return fmt.Errorf("partition %d of %s waits: its committed offset %d is not in the log, which has %d to %d, and the policy for that is stop "+
			"(allowed are stop, earliest and latest; or commit another offset)", t.a.partition, g.cfg.Topic, t.begin, start.Offset, end.Offset)
	case lost && g.cfg.OnOffsetLost == LostOffsetLatest:
		t.begin = end.Offset
	case lost || t.begin < 0:
		t.begin = start.Offset
	}
	t.source = &partition{topic: g.cfg.Topic, topicID: s.topics[g.cfg.Topic].ID, number: t.a.partition, owner: t.a, highWatermark: end.Offset}
	metadata := t.committed.Metadata
	if t.begin != t.committed.Offset {
		metadata = "" // it is for the offset that was committed
	}
	t.source.tracker = g.newTracker(t.source, t.begin, metadata)
	t.source.tracker.Truncate(t.end, -1)
	if lost {
		t.source.tracker.MarkSettled(nil) // so that the new place is committed, and no later start chooses another
	}
	return nil
}

var errNotListed = errors.New("the broker does not list it")

func errOr(err error) error {
	if err == nil {
		return errNotListed
	}
	return err
}

// prepareRetry also gives where the reading begins: with the commit's epoch, or the client would not look whether the log was cut before that.
func (g *Group) prepareRetry(a *assignment, tier RetryTier, s standing) (*partition, kgo.EpochOffset, error) {
	start, okS := s.starts.Lookup(tier.Topic, a.partition)
	end, okE := s.ends.Lookup(tier.Topic, a.partition)
	if err := errors.Join(start.Err, end.Err); !okS || !okE || err != nil {
		return nil, kgo.EpochOffset{}, fmt.Errorf("source partition %d waits: retry topic %s has no partition of that number (connector topics apply makes it): %w",
			a.partition, tier.Topic, errOr(err))
	}
	p := &partition{topic: tier.Topic, topicID: s.topics[tier.Topic].ID, number: a.partition, delay: tier.Delay, owner: a, endRead: end.Offset, highWatermark: end.Offset}
	from, metadata := kgo.EpochOffset{Offset: start.Offset, Epoch: -1}, ""
	switch c, ok := s.committed.Lookup(tier.Topic, a.partition); {
	case ok && c.At > end.Offset:
		g.log.Error("the committed offset of a retry partition is not in its log, which was truncated or made anew; all of it is read",
			zap.String("topic", tier.Topic), zap.Int32("partition", a.partition), zap.Int64("committed", c.At), zap.Int64("end", end.Offset))
	case ok && c.At >= from.Offset:
		from, metadata = kgo.EpochOffset{Offset: c.At, Epoch: c.LeaderEpoch}, c.Metadata
		p.confirmed = c.At
	}
	p.tracker = g.newTracker(p, from.Offset, metadata)
	p.tracker.Truncate(end.Offset, -1)
	p.deleted = start.Offset
	return p, from, nil
}

func (g *Group) newTracker(p *partition, begin int64, metadata string) *offset.Tracker {
	t := offset.NewTracker(p.topicID, begin, g.changed)
	if err := t.RestoreMetadata(metadata); err != nil {
		g.log.Info("commit metadata is ignored", zap.String("topic", p.topic), zap.Int32("partition", p.number), zap.Error(err))
	}
	return t
}

// apply tells the trackers what the scan found.
func (t *taking) apply(g *Group) {
	begin := t.source.tracker.Progress().Committable
	var settled []int64
	for origin := range t.copies {
		if origin >= begin && origin < t.end {
			settled = append(settled, origin)
		}
	}
	if len(settled) > 0 {
		slices.Sort(settled)
		t.source.tracker.MarkSettled(settled)
	}
	for p, offsets := range t.stale {
		slices.Sort(offsets)
		p.tracker.MarkSettled(offsets)
		g.obs.RecordsSkippedSettled("older_copy", len(offsets))
	}
}

// install hands a partition that was taken over to the readers, unless it was revoked meanwhile.
func (g *Group) install(t *taking) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.a.ending || t.a.committed != t.committed {
		return
	}
	t.a.source, t.a.retries = t.source, t.retries
	add := map[string]map[int32]kgo.Offset{}
	for _, p := range t.retries {
		put(add, p.topic, p.number, kgo.NewOffset().At(t.from[p.topic].Offset).WithEpoch(t.from[p.topic].Epoch))
	}
	// A pause outlives its assignment, on this client too.
	g.side.ResumeFetchPartitions(retryPartitions([]*assignment{t.a}))
	g.side.AddConsumePartitions(add)
	if t.begin != t.committed.Offset {
		g.member.SetOffsets(map[string]map[int32]kgo.EpochOffset{g.cfg.Topic: {t.a.partition: {Epoch: -1, Offset: t.begin}}})
	}
	g.member.ResumeFetchPartitions(map[string][]int32{g.cfg.Topic: {t.a.partition}})
	g.log.Info("partition taken over", zap.Int32("partition", t.a.partition), zap.Int64("offset", t.source.tracker.Progress().Committable),
		zap.Int("in_retry", len(t.copies)))
}
