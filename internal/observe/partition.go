package observe

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// partition is the state of a partition when it was last reported.
type partition struct {
	lag        int64
	oldest     time.Duration
	inFlight   int
	reportedAt time.Time
	// progressedAt is when the oldest unsettled record was last seen to change or not to exist. The
	// record's age alone does not distinguish a stuck partition from one that is working through
	// last week's backlog.
	progressedAt time.Time

	lagGauge, oldestGauge, inFlightGauge prometheus.Gauge
}

// headTolerance is how much the computed timestamp of the same oldest record may vary between
// reports, because its age is measured slightly before it is reported.
const headTolerance = time.Second

// ReportPartition reports the state of an assigned partition: its lag in records, the age of its
// oldest unsettled record (0 if there is none), and the number of records in flight. It must be
// called every few seconds for each assigned partition; a partition that is no longer reported
// counts as stuck. A record in a retry tier counts as unsettled only once it is due.
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
	p.metrics.lag.DeleteLabelValues(labels...)
	p.metrics.oldest.DeleteLabelValues(labels...)
	p.metrics.inFlight.DeleteLabelValues(labels...)
}

func (p *Pipeline) newPartition(key partitionKey) *partition {
	labels := []string{p.name, key.topic, strconv.Itoa(int(key.partition))}
	return &partition{
		lagGauge:      p.metrics.lag.WithLabelValues(labels...),
		oldestGauge:   p.metrics.oldest.WithLabelValues(labels...),
		inFlightGauge: p.metrics.inFlight.WithLabelValues(labels...),
	}
}

func (part *partition) updateState(now time.Time, lag int64, oldest time.Duration, inFlight int) {
	moved := now.Add(-oldest).Sub(part.reportedAt.Add(-part.oldest)).Abs() > headTolerance
	if moved || oldest == 0 || part.oldest == 0 || lag < part.lag {
		part.progressedAt = now
	}
	part.lag, part.oldest, part.inFlight, part.reportedAt = lag, oldest, inFlight, now
	part.lagGauge.Set(float64(lag))
	part.oldestGauge.Set(oldest.Seconds())
	part.inFlightGauge.Set(float64(inFlight))
}

// oldestAge returns the age of the oldest unsettled record as of now, or 0 if the last report had
// none.
func (part *partition) oldestAge(now time.Time) time.Duration {
	if part.oldest == 0 {
		return 0
	}
	return part.oldest + now.Sub(part.reportedAt)
}

// stuckFor returns for how long the oldest unsettled record has not changed, or how long ago the
// last report was, whichever is longer.
func (part *partition) stuckFor(now time.Time) time.Duration {
	silent := now.Sub(part.reportedAt)
	if part.oldest == 0 {
		return silent
	}
	return max(silent, min(now.Sub(part.progressedAt), part.oldestAge(now)))
}

func (part *partition) toStatus(key partitionKey, now time.Time) PartitionStatus {
	return PartitionStatus{
		Topic: key.topic, Partition: key.partition, LagRecords: part.lag, InFlight: part.inFlight,
		OldestUnsettledSeconds: part.oldestAge(now).Seconds(), StuckSeconds: part.stuckFor(now).Seconds(),
	}
}
