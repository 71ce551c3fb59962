package observe

import "time"

// HoldReason is the reason why a pipeline, an operation or a partition does not progress. It is the
// value of the label and field "reason"; the empty reason means that nothing is held.
type HoldReason string

// The hold reasons.
const (
	// HoldUnauthorized: the vendor refuses the credentials, or refuses a call even after the access
	// token was refreshed.
	HoldUnauthorized HoldReason = "unauthorized"
	// HoldMisconfigured: the vendor's endpoint does not match the configuration.
	HoldMisconfigured HoldReason = "misconfigured"
	// HoldUnavailable: the vendor or its token endpoint does not respond, or responds with an
	// error.
	HoldUnavailable HoldReason = "unavailable"
	// HoldThrottled: the vendor asked for fewer calls.
	HoldThrottled HoldReason = "throttled"
	// HoldFlood: so many records were refused that something other than the records must be wrong.
	HoldFlood HoldReason = "flood"
	// HoldRegistry: the schema registry does not respond, or knows none of the requested schema
	// IDs.
	HoldRegistry HoldReason = "registry"
	// HoldUnknownSchemaID: the schema registry does not know the schema ID of a record.
	HoldUnknownSchemaID HoldReason = "unknown_schema_id"
	// HoldKafka: no broker has responded since the process started.
	HoldKafka HoldReason = "kafka"
	// HoldOffsetLost: a committed offset is no longer in the partition's log.
	HoldOffsetLost HoldReason = "offset_lost"
	// HoldUnreadable: a partition cannot be fetched.
	HoldUnreadable HoldReason = "unreadable"
	// HoldRecovery: a partition is assigned but its recovery cannot finish yet.
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

// Hold is a stated reason for not progressing, with the time when it began.
type Hold struct {
	Reason HoldReason `json:"reason" doc:"the hold reason"`
	Since  time.Time  `json:"since" doc:"when it began, in RFC 3339"`
}

// SetHold sets the reason why an operation is held or, if operation is empty, why the pipeline is.
// An empty reason ends the hold.
func (p *Pipeline) SetHold(operation string, reason HoldReason) {
	p.setHold(holdKey{operation: operation}, reason)
}

// SetPartitionHold sets the reason why partitions of the pipeline are not fetched. An empty reason
// ends the hold. It is separate from the pipeline's own hold because it may need an operator while
// the rest of the pipeline continues.
func (p *Pipeline) SetPartitionHold(reason HoldReason) {
	p.setHold(holdKey{scope: scopePartitions}, reason)
}

// SetWriteHold sets the reason why records cannot be produced to their retry or dead-letter topic.
// An empty reason ends the hold.
func (p *Pipeline) SetWriteHold(reason HoldReason) {
	p.setHold(holdKey{scope: scopeWrites}, reason)
}

// holdKey identifies what is held: an operation or, if operation is empty, a scope of the pipeline.
type holdKey struct {
	operation string
	scope     holdScope
}

// holdScope is the part of a pipeline that is held. If several are, a snapshot shows the hold of
// the highest scope.
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
		p.metrics.hold.WithLabelValues(p.name, key.operation, string(before)).Set(0)
		delete(p.holds, key)
	}
	if reason != "" {
		p.metrics.hold.WithLabelValues(p.name, key.operation, string(reason)).Set(1)
		p.holds[key] = Hold{Reason: reason, Since: time.Now()}
	}
}
