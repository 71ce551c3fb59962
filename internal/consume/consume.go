// Package consume is the Kafka side of a pipeline: its consumer group membership, the assigned
// partitions, their retry partitions, and offset commits.
//
// The unit of ownership is a source partition together with the partition of the same number in
// every retry topic. An assignment goes through
//
//	assigned (paused) -> recovered (fetched) -> draining -> fenced, committed, forgotten
//
// Recovery appends an ownership marker to each retry partition and reads the records between the
// committed offset and the marker, so that a record that an earlier owner wrote to a retry topic
// but did not commit is not handled twice. Then it commits that this assignment owns the retry
// partitions, so that every later owner recognizes what earlier owners wrote there too late.
// Nothing is delivered before that.
//
// When partitions are revoked, the records in flight may finish for as long as calls may run. Then
// the trackers are fenced, and nothing that settles later is committed: by then the broker would
// accept a commit from a member that no longer owns the partition.
//
// Each responsibility has its own type: assignments is the table of owned partitions, recovery
// prepares them, sourceFetcher and retryFetcher poll, pauser decides which partitions are fetched,
// fetchFaults handles fetch errors, committer commits, and drainer ends assignments. Group wires
// them together.
package consume

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
)

// RetryTier is one retry topic. A record in it is due once Delay has passed since it was written.
type RetryTier struct {
	Topic string
	Delay time.Duration
}

// StartPosition is where a group without any committed offset starts.
type StartPosition struct {
	// Latest starts at the end of each partition; At starts at its first record of that time or
	// later. With neither, a partition is read from the start of its log.
	Latest bool
	At     time.Time
}

// LostOffsetPolicy determines what happens when a committed offset is no longer in the log.
type LostOffsetPolicy string

// The policies for a lost offset.
const (
	LostOffsetStop     LostOffsetPolicy = "stop"
	LostOffsetEarliest LostOffsetPolicy = "earliest"
	LostOffsetLatest   LostOffsetPolicy = "latest"
)

// Config configures the Kafka side of one pipeline. Every field is required unless its comment says
// otherwise.
type Config struct {
	Topic string
	Group string
	// ClientOptions are the options that every client of the process has: seed brokers, TLS, SASL,
	// dialer and logger.
	ClientOptions []kgo.Opt
	// RetryTiers are the retry topics to read in ascending order of delay, including those that are
	// no longer configured but not yet empty.
	RetryTiers   []RetryTier
	Start        StartPosition
	OnOffsetLost LostOffsetPolicy
	// MaxInFlight and MaxInFlightBytes limit the source records in flight. Retry records have a
	// separate budget of the same size.
	MaxInFlight      int
	MaxInFlightBytes int
	// MaxRecordBytes is the largest record that a retry or dead-letter topic accepts.
	MaxRecordBytes int
	// CommitInterval is the minimum time between two commits. If it is 0, a commit follows as soon
	// as something has settled and the previous commit is confirmed.
	CommitInterval time.Duration
	// DrainTimeout limits how long an ending assignment waits for calls in flight.
	DrainTimeout     time.Duration
	RebalanceTimeout time.Duration
	// ConsumerProtocol joins with the consumer protocol of KIP-848 instead of the classic one.
	ConsumerProtocol bool
}

// retryTopics returns the names of the retry topics.
func (c Config) retryTopics() []string {
	names := make([]string, len(c.RetryTiers))
	for i, tier := range c.RetryTiers {
		names[i] = tier.Topic
	}
	return names
}

// allTopics returns the names of the source topic and the retry topics.
func (c Config) allTopics() []string { return append([]string{c.Topic}, c.retryTopics()...) }

// Handler receives fetched records. It must end every record with Settle or Release, or pass it on
// to a stage that does.
type Handler interface {
	// Handle may block, for example on a schema registry, but not after the assignments of its
	// records have ended: after NotifyDraining it must check Draining of each record again.
	Handle(ctx context.Context, records []*record.Record)
	// NotifyDraining reports that an assignment is ending. Every stage that has unsettled records
	// or is waiting must check their Draining.
	NotifyDraining()
}
