package observe

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// partition is where a partition stood when it was last told of.
type partition struct {
	lag      int64
	oldest   time.Duration
	inFlight int
	toldAt   time.Time
	// movedAt is when its head was last seen to move, or there was none. A record's age alone does not tell a partition that is stuck from
	// one that reads a backlog of last week.
	movedAt time.Time

	lagGauge, oldestGauge, inFlightGauge prometheus.Gauge
}

// headTolerance is by how much the time of the same head may seem to move, since ages are measured a little before they are told.
const headTolerance = time.Second

// ReportPartition says where a partition stands: lag in records, the age of its oldest unsettled record (0: none) and how many are in flight.
// It is called every few seconds for each partition held; one that is not told of for long is taken to be stuck. A record that waits by rule,
// in a retry tier or parked, is no unsettled one here.
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
	part.tell(time.Now(), lag, oldest, inFlight)
}

// ForgetPartition forgets a partition.
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

func (p *Pipeline) newPartition(k partitionKey) *partition {
	labels := []string{p.name, k.topic, strconv.Itoa(int(k.partition))}
	return &partition{
		lagGauge: p.m.lag.WithLabelValues(labels...), oldestGauge: p.m.oldest.WithLabelValues(labels...),
		inFlightGauge: p.m.inFlight.WithLabelValues(labels...),
	}
}

func (t *partition) tell(now time.Time, lag int64, oldest time.Duration, inFlight int) {
	moved := now.Add(-oldest).Sub(t.toldAt.Add(-t.oldest)).Abs() > headTolerance
	if moved || oldest == 0 || t.oldest == 0 || lag < t.lag {
		t.movedAt = now
	}
	t.lag, t.oldest, t.inFlight, t.toldAt = lag, oldest, inFlight, now
	t.lagGauge.Set(float64(lag))
	t.oldestGauge.Set(oldest.Seconds())
	t.inFlightGauge.Set(float64(inFlight))
}

// age is that of the oldest unsettled record by now, 0 where there was none when it was last told of.
func (t *partition) age(now time.Time) time.Duration {
	if t.oldest == 0 {
		return 0
	}
	return t.oldest + now.Sub(t.toldAt)
}

// stuck is how long the oldest unsettled record has been at the head without moving, or how long nothing was heard of the partition.
func (t *partition) stuck(now time.Time) time.Duration {
	silent := now.Sub(t.toldAt)
	if t.oldest == 0 {
		return silent
	}
	return max(silent, min(now.Sub(t.movedAt), t.age(now)))
}

func (t *partition) status(k partitionKey, now time.Time) PartitionStatus {
	return PartitionStatus{
		Topic: k.topic, Partition: k.partition, LagRecords: t.lag, InFlight: t.inFlight,
		OldestUnsettledSeconds: t.age(now).Seconds(), StuckSeconds: t.stuck(now).Seconds(),
	}
}
