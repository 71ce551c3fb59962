package observe

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// PipelineStatus is how a pipeline stands. Counts are records since the process started, unless said otherwise.
type PipelineStatus struct {
	Pipeline string `json:"pipeline"`
	Started  bool   `json:"started"`
	// Hold is that of partitions which are not read, or of writes to retry and dead-letter topics, or the pipeline's reading's; nil where there is none.
	Hold   *Hold      `json:"hold,omitempty"`
	Source ReadCounts `json:"source"`
	Retry  ReadCounts `json:"retry"`

	Delivered uint64 `json:"delivered"`
	Retried   uint64 `json:"retried"`
	Skipped   uint64 `json:"skipped"`
	// Dead is by cause, as in the header sluice.cause.
	Dead map[string]uint64 `json:"dead"`
	// SkippedSettled is by where they were found to be settled.
	SkippedSettled     map[string]uint64 `json:"skipped_settled"`
	PossibleDuplicates uint64            `json:"possible_duplicates"`
	Dropped            uint64            `json:"dropped"`
	// CommitFailures and ProduceFailures, by topic, count requests.
	CommitFailures  uint64            `json:"commit_failures"`
	ProduceFailures map[string]uint64 `json:"produce_failures"`

	// InFlight, LagRecords and OldestUnsettledSeconds are over all partitions.
	InFlight               int     `json:"in_flight"`
	LagRecords             int64   `json:"lag_records"`
	OldestUnsettledSeconds float64 `json:"oldest_unsettled_seconds"`

	// Operations and Partitions are in the order of their names.
	Operations []OperationStatus `json:"operations"`
	Partitions []PartitionStatus `json:"partitions"`
}

// ReadCounts is what was polled.
type ReadCounts struct {
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
}

// OperationStatus is how an operation stands.
type OperationStatus struct {
	Operation string            `json:"operation"`
	Delivered uint64            `json:"delivered"`
	Retried   uint64            `json:"retried"`
	Skipped   uint64            `json:"skipped"`
	Dead      map[string]uint64 `json:"dead"`
	// Calls counts vendor calls by the class of the answer.
	Calls              map[string]uint64 `json:"calls"`
	PossibleDuplicates uint64            `json:"possible_duplicates"`
	// Breaker is closed, half-open or open; empty before the breaker was first heard of.
	Breaker string `json:"breaker,omitempty"`
	Hold    *Hold  `json:"hold,omitempty"`
}

// PartitionStatus is how a partition stands.
type PartitionStatus struct {
	Topic      string `json:"topic"`
	Partition  int32  `json:"partition"`
	LagRecords int64  `json:"lag_records"`
	InFlight   int    `json:"in_flight"`
	// OldestUnsettledSeconds is the age of the oldest unsettled record since it was written; 0 where there is none.
	OldestUnsettledSeconds float64 `json:"oldest_unsettled_seconds"`
	// StuckSeconds is for how long that record has been at the head, or for how long nothing was heard of the partition.
	StuckSeconds float64 `json:"stuck_seconds"`
}

// Snapshot says how the pipeline stands now. Its counts are read one after the other, while the line goes on.
func (p *Pipeline) Snapshot() PipelineStatus {
	if p == nil {
		return PipelineStatus{}
	}
	s := PipelineStatus{
		Pipeline: p.name, Source: p.source.value(), Retry: p.retry.value(),
		Dead: map[string]uint64{}, SkippedSettled: values(p.skipped), ProduceFailures: values(p.produceFailed),
		Dropped: value(p.dropped), CommitFailures: value(p.commitFailed),
	}
	ops := operations{}
	p.snapshotCounts(&s, ops)
	p.snapshotState(&s, ops)
	s.Operations = ops.sorted()
	return s
}

func (p *Pipeline) snapshotCounts(s *PipelineStatus, ops operations) {
	p.settled.each(func(k settledKey, c prometheus.Counter) {
		n := value(c)
		tally(k, n, &s.Delivered, &s.Retried, &s.Skipped, s.Dead)
		if o := ops.of(k.operation); o != nil {
			tally(k, n, &o.Delivered, &o.Retried, &o.Skipped, o.Dead)
		}
	})
	p.calls.each(func(k callKey, c prometheus.Counter) {
		if o := ops.of(k.operation); o != nil {
			o.Calls[k.class] = value(c)
		}
	})
	p.duplicates.each(func(operation string, c prometheus.Counter) {
		s.PossibleDuplicates += value(c)
		if o := ops.of(operation); o != nil {
			o.PossibleDuplicates = value(c)
		}
	})
}

func (p *Pipeline) snapshotState(s *PipelineStatus, ops operations) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Started = p.started
	for operation, state := range p.breakers {
		if o := ops.of(operation); o != nil {
			o.Breaker = state
		}
	}
	shown := scopePipeline
	for k, hold := range p.holds {
		switch o := ops.of(k.operation); {
		case o != nil:
			o.Hold = &hold
		case k.scope >= shown:
			s.Hold, shown = &hold, k.scope
		}
	}
	s.Partitions = make([]PartitionStatus, 0, len(p.partitions))
	for k, t := range p.partitions {
		part := t.status(k, time.Now())
		s.Partitions = append(s.Partitions, part)
		s.InFlight += part.InFlight
		s.LagRecords += part.LagRecords
		s.OldestUnsettledSeconds = max(s.OldestUnsettledSeconds, part.OldestUnsettledSeconds)
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStatus) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

func tally(k settledKey, n uint64, delivered, retried, skipped *uint64, dead map[string]uint64) {
	switch k.kind {
	case "delivered":
		*delivered += n
	case "retried":
		*retried += n
	case "skipped":
		*skipped += n
	case "dead":
		dead[k.cause] += n
	}
}

type operations map[string]*OperationStatus

// of is nil for the empty name: what has no operation counts in the pipeline's totals alone.
func (o operations) of(name string) *OperationStatus {
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

func (o operations) sorted() []OperationStatus {
	out := make([]OperationStatus, 0, len(o))
	for _, name := range slices.Sorted(maps.Keys(o)) {
		out = append(out, *o[name])
	}
	return out
}

func (r reading) value() ReadCounts {
	return ReadCounts{Records: value(r.records), Bytes: value(r.bytes)}
}

func values(f *family[string, prometheus.Counter]) map[string]uint64 {
	out := map[string]uint64{}
	f.each(func(k string, c prometheus.Counter) { out[k] = value(c) })
	return out
}

// value reads a counter back; a counter of ours has no way to fail at that.
func value(c prometheus.Counter) uint64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}
