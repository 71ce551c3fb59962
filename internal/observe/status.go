package observe

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"sluice/internal/record"
)

// PipelineStatus is the state of a pipeline. Counts begin at 0 when the process starts and, unless
// stated otherwise, are numbers of records. The doc tags are the descriptions in docs/metrics.md.
type PipelineStatus struct {
	Pipeline string     `json:"pipeline" doc:"the pipeline's name"`
	Started  bool       `json:"started" doc:"the pipeline is running"`
	Hold     *Hold      `json:"hold,omitempty" doc:"why the pipeline is held; absent if it is not"`
	Source   ReadCounts `json:"source" doc:"what was fetched from the source topic"`
	Retry    ReadCounts `json:"retry" doc:"what was fetched from retry topics"`

	Delivered          uint64            `json:"delivered" doc:"records that the vendors accepted"`
	Retried            uint64            `json:"retried" doc:"records produced to a retry topic"`
	Skipped            uint64            `json:"skipped" doc:"records skipped by a rule of the configuration"`
	Dead               map[string]uint64 `json:"dead" doc:"dead letters, by cause"`
	SkippedSettled     map[string]uint64 `json:"skipped_settled" doc:"records read again and skipped as settled, by reason"`
	PossibleDuplicates uint64            `json:"possible_duplicates" doc:"records sent again after an unknown outcome"`
	Released           uint64            `json:"released" doc:"records released without being settled"`
	CommitFailures     uint64            `json:"commit_failures" doc:"offset commits that failed; each is retried, except the final one of an assignment"`
	ProduceFailures    map[string]uint64 `json:"produce_failures" doc:"failed attempts to produce a record, by topic"`

	InFlight               int     `json:"in_flight" doc:"records read but not settled, in all partitions"`
	LagRecords             int64   `json:"lag_records" doc:"records past the settled prefix, in all partitions"`
	OldestUnsettledSeconds float64 `json:"oldest_unsettled_seconds" doc:"age of the oldest unsettled record, 0 if none"`

	Operations []OperationStatus `json:"operations" doc:"the pipeline's operations, by name"`
	Partitions []PartitionStatus `json:"partitions" doc:"the assigned partitions, by topic and number"`
}

// ReadCounts counts the records fetched.
type ReadCounts struct {
	Records uint64 `json:"records" doc:"records fetched"`
	Bytes   uint64 `json:"bytes" doc:"bytes of their keys, values and headers"`
}

// OperationStatus is the state of an operation.
type OperationStatus struct {
	Operation          string            `json:"operation" doc:"the operation's name"`
	Delivered          uint64            `json:"delivered" doc:"as above, for this operation"`
	Retried            uint64            `json:"retried" doc:"as above, for this operation"`
	Skipped            uint64            `json:"skipped" doc:"as above, for this operation"`
	Dead               map[string]uint64 `json:"dead" doc:"as above, for this operation"`
	Calls              map[string]uint64 `json:"calls" doc:"vendor calls, by result class"`
	PossibleDuplicates uint64            `json:"possible_duplicates" doc:"as above, for this operation"`
	Breaker            string            `json:"breaker,omitempty" doc:"the breaker's state: closed, half-open or open"`
	Hold               *Hold             `json:"hold,omitempty" doc:"why the operation is held; absent if it is not"`
}

// PartitionStatus is the state of an assigned partition.
type PartitionStatus struct {
	Topic                  string  `json:"topic" doc:"the topic's name"`
	Partition              int32   `json:"partition" doc:"the partition's number"`
	LagRecords             int64   `json:"lag_records" doc:"records past the settled prefix"`
	InFlight               int     `json:"in_flight" doc:"records read but not settled"`
	OldestUnsettledSeconds float64 `json:"oldest_unsettled_seconds" doc:"age of the oldest unsettled record, 0 if none"`
	StuckSeconds           float64 `json:"stuck_seconds" doc:"time for which the oldest unsettled record has not changed, or since the partition's state was last updated, whichever is longer"`
}

// Snapshot returns the state of the pipeline. The counts are read one after another while records
// are processed, so they need not add up.
func (p *Pipeline) Snapshot() PipelineStatus {
	if p == nil {
		return PipelineStatus{}
	}
	status := PipelineStatus{
		Pipeline: p.name, Source: p.source.toCounts(), Retry: p.retry.toCounts(),
		Dead: map[string]uint64{}, SkippedSettled: nonZeroCounts(p.skipped),
		ProduceFailures: nonZeroCounts(p.produceFailed),
		Released:        counterValue(p.released), CommitFailures: counterValue(p.commitFailed),
	}
	ops := operations{}
	p.snapshotCounts(&status, ops)
	p.snapshotState(&status, ops)
	status.Operations = ops.sortedByName()
	return status
}

func (p *Pipeline) snapshotCounts(status *PipelineStatus, ops operations) {
	p.settled.forEach(func(key settledKey, counter prometheus.Counter) {
		n := counterValue(counter)
		total := settledCounts{&status.Delivered, &status.Retried, &status.Skipped, status.Dead}
		total.addRecords(key.dispositionCause, n)
		if op := ops.statusOf(key.operation); op != nil {
			own := settledCounts{&op.Delivered, &op.Retried, &op.Skipped, op.Dead}
			own.addRecords(key.dispositionCause, n)
		}
	})
	p.calls.forEach(func(key callKey, counter prometheus.Counter) {
		if op := ops.statusOf(key.operation); op != nil {
			addNonZero(op.Calls, key.class.String(), counterValue(counter))
		}
	})
	p.possibleDuplicates.forEach(func(operation string, counter prometheus.Counter) {
		status.PossibleDuplicates += counterValue(counter)
		if op := ops.statusOf(operation); op != nil {
			op.PossibleDuplicates = counterValue(counter)
		}
	})
}

func (p *Pipeline) snapshotState(status *PipelineStatus, ops operations) {
	p.mu.Lock()
	defer p.mu.Unlock()
	status.Started = p.started
	for operation, state := range p.breakers {
		if op := ops.statusOf(operation); op != nil {
			op.Breaker = state
		}
	}
	shown := scopePipeline
	for key, hold := range p.holds {
		switch op := ops.statusOf(key.operation); {
		case op != nil:
			op.Hold = &hold
		case key.scope >= shown:
			status.Hold, shown = &hold, key.scope
		}
	}
	status.Partitions = make([]PartitionStatus, 0, len(p.partitions))
	for key, reported := range p.partitions {
		part := reported.toStatus(key, time.Now())
		status.Partitions = append(status.Partitions, part)
		status.InFlight += part.InFlight
		status.LagRecords += part.LagRecords
		status.OldestUnsettledSeconds = max(status.OldestUnsettledSeconds, part.OldestUnsettledSeconds)
	}
	slices.SortFunc(status.Partitions, func(a, b PartitionStatus) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

// settledCounts points to the counts of a status that settled records are added to.
type settledCounts struct {
	delivered, retried, skipped *uint64
	dead                        map[string]uint64
}

func (c settledCounts) addRecords(key dispositionCause, records uint64) {
	switch key.disposition {
	case record.DispositionDelivered:
		*c.delivered += records
	case record.DispositionRetried:
		*c.retried += records
	case record.DispositionSkipped:
		*c.skipped += records
	case record.DispositionDead:
		addNonZero(c.dead, string(key.cause), records)
	}
}

// addNonZero adds a count unless it is 0: a counter may exist only so that its series does.
func addNonZero(counts map[string]uint64, key string, count uint64) {
	if count > 0 {
		counts[key] += count
	}
}

type operations map[string]*OperationStatus

// statusOf returns the status of an operation, which it creates on first use. It returns nil for
// the empty name: records that belong to no operation count only in the pipeline's totals.
func (o operations) statusOf(name string) *OperationStatus {
	if name == "" {
		return nil
	}
	s := o[name]
	if s == nil {
		s = &OperationStatus{Operation: name, Dead: map[string]uint64{}, Calls: map[string]uint64{}}
		o[name] = s
	}
	return s
}

func (o operations) sortedByName() []OperationStatus {
	out := make([]OperationStatus, 0, len(o))
	for _, name := range slices.Sorted(maps.Keys(o)) {
		out = append(out, *o[name])
	}
	return out
}

func (c readCounters) toCounts() ReadCounts {
	return ReadCounts{Records: counterValue(c.records), Bytes: counterValue(c.bytes)}
}

func nonZeroCounts[K ~string](counters *family[K, prometheus.Counter]) map[string]uint64 {
	out := map[string]uint64{}
	counters.forEach(func(key K, counter prometheus.Counter) { addNonZero(out, string(key), counterValue(counter)) })
	return out
}

// counterValue reads a counter back. Write cannot fail for the counters of this package.
func counterValue(counter prometheus.Counter) uint64 {
	var m dto.Metric
	if err := counter.Write(&m); err != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}
