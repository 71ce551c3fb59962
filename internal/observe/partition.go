package observe

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// partition is the state of a partition at its last report.
type partition struct {
	lag        int64
	oldest     time.Duration
	inFlight   int
	reportedAt time.Time
	// progressedAt is when the oldest unsettled record was last seen to change, or there was none.
	// The record's age alone does not distinguish a partition that is stuck from one that works
	// through a backlog of last week.
	progressedAt time.Time

	lagGauge, oldestGauge, inFlightGauge prometheus.Gauge
}

// headTolerance is how much the computed timestamp of the same oldest record may vary: its age is
// measured slightly before it is reported.
const headTolerance = time.Second

// ReportPartition reports the state of an assigned partition: its lag in records, the age of its
// oldest unsettled record (0 if there is none), and the number of records in flight. It is called
// every few seconds for each assigned partition; one that is not reported any more counts as stuck.
// A record that waits in a retry tier is not unsettled here until it is due.
func (p *Pipeline) ReportPartition(topic string, number int32, lag int64, oldest time.Duration, inFlight int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := partitionKey{topic, number}
	part := p.partitions[key]
	if part == nil {
		part = p.newPartition(key)
		p.partitions[key] = part
	}
	part.updateState(time.Now(), lag, oldest, inFlight)
}

// ForgetPartition removes a partition that is no longer assigned, with its series.
func (p *Pipeline) ForgetPartition(topic string, number int32) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.partitions, partitionKey{topic, number})
	labels := []string{p.name, topic, strconv.Itoa(int(number))}
	p.m.lag.DeleteLabelValues(labels...)
	p.m.oldest.DeleteLabelValues(labels...)
	p.m.inFlight.DeleteLabelValues(labels...)
}

func (p *Pipeline) newPartition(key partitionKey) *partition {
	labels := []string{p.name, key.topic, strconv.Itoa(int(key.partition))}
	return &partition{
		lagGauge:      p.m.lag.WithLabelValues(labels...),
		oldestGauge:   p.m.oldest.WithLabelValues(labels...),
		inFlightGauge: p.m.inFlight.WithLabelValues(labels...),
	}
}

func (t *partition) updateState(now time.Time, lag int64, oldest time.Duration, inFlight int) {
	moved := now.Add(-oldest).Sub(t.reportedAt.Add(-t.oldest)).Abs() > headTolerance
	if moved || oldest == 0 || t.oldest == 0 || lag < t.lag {
		t.progressedAt = now
	}
	t.lag, t.oldest, t.inFlight, t.reportedAt = lag, oldest, inFlight, now
	t.lagGauge.Set(float64(lag))
	t.oldestGauge.Set(oldest.Seconds())
	t.inFlightGauge.Set(float64(inFlight))
}

// oldestAge returns the age that the oldest unsettled record has by now, 0 if the last report had
// none.
func (t *partition) oldestAge(now time.Time) time.Duration {
	if t.oldest == 0 {
		return 0
	}
	return t.oldest + now.Sub(t.reportedAt)
}

// stuckFor returns how long the oldest unsettled record has been the same, or how long ago the last
// report was, whichever is longer.
func (t *partition) stuckFor(now time.Time) time.Duration {
	silent := now.Sub(t.reportedAt)
	if t.oldest == 0 {
		return silent
	}
	return max(silent, min(now.Sub(t.progressedAt), t.oldestAge(now)))
}

func (t *partition) toStatus(key partitionKey, now time.Time) PartitionStatus {
	return PartitionStatus{
		Topic: key.topic, Partition: key.partition, LagRecords: t.lag, InFlight: t.inFlight,
		OldestUnsettledSeconds: t.oldestAge(now).Seconds(), StuckSeconds: t.stuckFor(now).Seconds(),
	}
}
