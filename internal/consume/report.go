package consume

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// reportPatience bounds how long a report waits to hear where the logs end.
const reportPatience = 2 * time.Second

// report says where each partition stands. The brokers are asked where the logs end, for fetches do not tell while nothing is polled, which is when a lag grows.
func (g *Group) report(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reportPatience)
	defer cancel()
	ends, _ := g.admin.ListEndOffsets(ctx, g.topics()...) // without it the last fetch's word stands
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, a := range g.assigned {
		for _, p := range a.partitions() {
			g.reportOne(p, ends, now)
		}
	}
}

func (g *Group) reportOne(p *partition, ends kadm.ListedOffsets, now time.Time) {
	if end, ok := ends.Lookup(p.topic, p.number); ok && end.Err == nil {
		p.highWatermark = end.Offset
	}
	s := p.tracker.Progress()
	age := time.Duration(0)
	if !s.OldestTimestamp.IsZero() {
		age = now.Sub(s.OldestTimestamp)
	}
	g.obs.ReportPartition(p.topic, p.number, max(p.highWatermark-s.Committable, 0), age, s.Unsettled)
}

// topics are the source and the retry topics.
func (g *Group) topics() []string {
	names := []string{g.cfg.Topic}
	for _, t := range g.cfg.RetryTiers {
		names = append(names, t.Topic)
	}
	return names
}
