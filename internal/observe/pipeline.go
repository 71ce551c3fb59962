// Package observe counts what the line does. The steps call it; it calls nobody.
package observe

import "time"

// Pipeline counts for one pipeline. A nil *Pipeline counts nothing, so that a step can be tested alone. Safe for concurrent use.
// Labels are names from the configuration and the code, never anything from a record.
type Pipeline struct{}

// Read counts records polled from the source (retry false) or a retry topic.
func (p *Pipeline) Read(retry bool, records, bytes int) {}

// Outcome counts records settled as kind (delivered, skipped, retried, dead); cause is empty with delivered and skipped. operation may be empty.
func (p *Pipeline) Outcome(operation, kind, cause string, records int) {}

// Delay takes the time from the record's first writing to its delivery.
func (p *Pipeline) Delay(operation string, d time.Duration) {}

// Call counts one vendor call: its class, its items, how full it was (items against cap, 0 to 1), and how long it took.
func (p *Pipeline) Call(operation, class string, items int, fill float64, took time.Duration) {}

// PossibleDuplicates counts records sent again although an earlier call may have reached the vendor.
func (p *Pipeline) PossibleDuplicates(operation string, records int) {}

// Breaker says the state that the operation's breaker is in: closed, half-open or open.
func (p *Pipeline) Breaker(operation, state string) {}

// Hold says that the operation (or, with an empty operation, the pipeline's reading) is held for a reason (unauthorized, misconfigured,
// unavailable, throttled, registry, flood, offset_lost), or with an empty reason that it is not held any more.
func (p *Pipeline) Hold(operation, reason string) {}

// SkippedSettled counts records read again and skipped since they were settled before (found in commit metadata, in a retry topic, or a late copy).
func (p *Pipeline) SkippedSettled(why string, records int) {}

// CommitFailed counts offset commits that failed and will be built anew.
func (p *Pipeline) CommitFailed() {}

// ProduceFailed counts failed writes to a retry or dead-letter topic that will be tried again.
func (p *Pipeline) ProduceFailed(topic string) {}

// Dropped counts records let go unsettled at a revoke or stop; the next owner reads them again.
func (p *Pipeline) Dropped(records int) {}

// Partition says where a partition stands: lag in records, the age of its oldest unsettled record (0: none) and how many are in flight.
func (p *Pipeline) Partition(topic string, partition int32, lag int64, oldest time.Duration, inFlight int) {}

// PartitionGone forgets a partition.
func (p *Pipeline) PartitionGone(topic string, partition int32) {}
