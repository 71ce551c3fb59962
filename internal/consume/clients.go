package consume

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// fetchMaxBytes limits what a client buffers per fetch and broker, in addition to the records
	// that were polled with credits.
	fetchMaxBytes          = 16 << 20
	fetchMaxPartitionBytes = 2 << 20
	maxConcurrentFetches   = 4
	maxDecompressBytes     = 64 << 20

	sessionTimeout    = 45 * time.Second
	heartbeatInterval = 3 * time.Second
	// leaveTimeout limits how long leaving the group may take once the work context has ended.
	leaveTimeout = 2 * time.Second
)

// clients are the Kafka clients of a pipeline.
type clients struct {
	sourceTopic string
	// retry fetches the retry partitions and produces to the retry and dead-letter topics. It is in
	// no group. admin sends administrative requests through it.
	retry *kgo.Client
	admin *kadm.Client
	// group is the member of the consumer group. It is set before joined is closed. The client's
	// callbacks wait for that, because they may run before kgo.NewClient returns.
	group  *kgo.Client
	joined chan struct{}
}

func newClients(cfg Config) (*clients, error) {
	retry, err := kgo.NewClient(retryClientOptions(cfg)...)
	if err != nil {
		return nil, fmt.Errorf("creating the retry client: %w", err)
	}
	return &clients{
		sourceTopic: cfg.Topic, retry: retry, admin: kadm.NewClient(retry), joined: make(chan struct{}),
	}, nil
}

// joinGroup creates the group client, which starts to join immediately.
func (c *clients) joinGroup(opts []kgo.Opt) error {
	group, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("creating the group client: %w", err)
	}
	c.group = group
	close(c.joined)
	return nil
}

// clientFor returns the client that fetches the topic.
func (c *clients) clientFor(topic string) fetchControl {
	if topic == c.sourceTopic {
		return c.group
	}
	return c.retry
}

// commonOptions are the options of every client. Defaults that matter are set explicitly, because
// they change between versions of the library.
func commonOptions(cfg Config) []kgo.Opt {
	return slices.Concat(cfg.ClientOptions, []kgo.Opt{
		kgo.ClientID("sluice"),
		kgo.FetchMaxBytes(fetchMaxBytes),
		kgo.FetchMaxPartitionBytes(fetchMaxPartitionBytes),
		kgo.FetchMinBytes(1),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.MaxConcurrentFetches(maxConcurrentFetches),
		kgo.MaxDecompressBatchBytes(maxDecompressBytes),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableClientMetrics(),
	})
}

// retryClientOptions are the options of the retry client. A record is produced to the partition
// with its own number and acknowledged by all in-sync replicas. MetadataMinAge is short because a
// partition that was added is not fetched before the client has seen it.
func retryClientOptions(cfg Config) []kgo.Opt {
	return append(commonOptions(cfg),
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(int32(cfg.MaxRecordBytes)),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(max(10_000, 2*cfg.MaxInFlight)),
	)
}

// scanClientOptions are the options of the short-lived client that reads retry partitions once from
// the given offsets to their end.
func scanClientOptions(cfg Config, from map[string]map[int32]kgo.Offset) []kgo.Opt {
	return append(commonOptions(cfg),
		kgo.ConsumePartitions(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Without control records, a partition that ends in one would never appear to be read.
		kgo.KeepControlRecords(),
	)
}

// groupClientOptions are the options of the group client, without its callbacks.
func groupClientOptions(cfg Config) []kgo.Opt {
	opts := append(commonOptions(cfg),
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(cfg.Topic),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(heartbeatInterval),
		kgo.RebalanceTimeout(cfg.RebalanceTimeout),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(resetOffsetFor(cfg.OnOffsetLost)),
	)
	if cfg.ConsumerProtocol {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	return opts
}

func resetOffsetFor(policy LostOffsetPolicy) kgo.Offset {
	switch policy {
	case LostOffsetEarliest:
		return kgo.NewOffset().AtStart()
	case LostOffsetLatest:
		return kgo.NewOffset().AtEnd()
	case LostOffsetStop:
		return kgo.NoResetOffset()
	default:
		return kgo.NoResetOffset()
	}
}
