package observe

import "time"

// HoldReason says why a pipeline, an operation or a partition does not progress. It is the value of
// the label and field "reason"; the empty reason means that nothing is held.
type HoldReason string

// The hold reasons.
const (
	// HoldUnauthorized: the vendor refuses the credentials, even after they were refreshed.
	HoldUnauthorized HoldReason = "unauthorized"
	// HoldMisconfigured: the vendor's endpoint does not match the configuration.
	HoldMisconfigured HoldReason = "misconfigured"
	// HoldUnavailable: the vendor, or its token endpoint, does not respond or fails.
	HoldUnavailable HoldReason = "unavailable"
	// HoldThrottled: the vendor asked for fewer calls.
	HoldThrottled HoldReason = "throttled"
	// HoldFlood: so many records were refused that something other than the records must be wrong.
	HoldFlood HoldReason = "flood"
	// HoldRegistry: the schema registry does not respond, or knows none of the schema IDs.
	HoldRegistry HoldReason = "registry"
	// HoldUnknownSchemaID: the schema registry does not know the schema ID of a record.
	HoldUnknownSchemaID HoldReason = "unknown_schema_id"
	// HoldKafka: no broker has responded since the start.
	HoldKafka HoldReason = "kafka"
	// HoldOffsetLost: a committed offset is no longer in the log.
	HoldOffsetLost HoldReason = "offset_lost"
	// HoldUnreadable: a partition cannot be fetched.
	HoldUnreadable HoldReason = "unreadable"
	// HoldRecovery: a partition is assigned, and its recovery cannot finish yet.
	HoldRecovery HoldReason = "recovery"
	// HoldUnwritable: a retry or dead-letter topic accepts no records.
	HoldUnwritable HoldReason = "unwritable"
)

// HoldReasons returns all hold reasons.
func HoldReasons() []HoldReason {
	return []HoldReason{
		HoldUnauthorized, HoldMisconfigured, HoldUnavailable, HoldThrottled, HoldFlood, HoldRegistry,
		HoldUnknownSchemaID, HoldKafka, HoldOffsetLost, HoldUnreadable, HoldRecovery, HoldUnwritable,
	}
}

// Hold is a stated reason for not progressing, and since when it applies.
type Hold struct {
	Reason HoldReason `json:"reason" doc:"the hold reason"`
	Since  time.Time  `json:"since" doc:"when it began, in RFC 3339"`
}

// SetHold states why an operation is held, or with an empty operation why the pipeline reads
// nothing. An empty reason ends the hold.
func (p *Pipeline) SetHold(operation string, reason HoldReason) {
	p.setHold(holdKey{operation: operation}, reason)
}

// SetPartitionHold states why partitions of the pipeline are not read. An empty reason ends the
// hold. It is kept apart from the pipeline's own hold because it may need an operator, while the
// rest of the pipeline continues.
func (p *Pipeline) SetPartitionHold(reason HoldReason) {
	p.setHold(holdKey{scope: scopePartitions}, reason)
}

// SetWriteHold states why records cannot be produced to their retry or dead-letter topic. An empty
// reason ends the hold.
func (p *Pipeline) SetWriteHold(reason HoldReason) {
	p.setHold(holdKey{scope: scopeWrites}, reason)
}

// holdKey identifies what is held: an operation, or with an empty operation a part of the pipeline.
type holdKey struct {
	operation string
	scope     holdScope
}

// holdScope is the part of a pipeline that is held. A snapshot shows the hold of the highest scope.
type holdScope uint8

const (
	scopePipeline holdScope = iota
	scopeWrites
	scopePartitions
)

func (p *Pipeline) setHold(key holdKey, reason HoldReason) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.holds[key].Reason
	if reason == before {
		return
	}
	if before != "" {
		p.m.hold.WithLabelValues(p.name, key.operation, string(before)).Set(0)
		delete(p.holds, key)
	}
	if reason != "" {
		p.m.hold.WithLabelValues(p.name, key.operation, string(reason)).Set(1)
		p.holds[key] = Hold{Reason: reason, Since: time.Now()}
	}
}
