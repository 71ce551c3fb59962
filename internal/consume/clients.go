package consume

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What bounds a client's fetch buffers: a pipeline holds at most fetchMaxBytes a fetch and broker of what is polled next, besides its credits.
const (
	fetchMaxBytes          = 16 << 20
	fetchMaxPartitionBytes = 2 << 20
	maxConcurrentFetches   = 4
	maxDecompressBytes     = 64 << 20
	commitTimeout          = 10 * time.Second
	leaveTimeout           = 2 * time.Second
	sessionTimeout         = 45 * time.Second
	heartbeatInterval      = 3 * time.Second
)

// common are the options of every client; all that matter are passed, for the library's defaults change.
func common(cfg Config) []kgo.Opt {
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

// sideOptions are those of the client that reads retry partitions and writes to retry and dead-letter topics. A record goes to its own
// partition number; it is written by all in-sync replicas or not confirmed. MetadataMinAge is short since an added partition waits for it.
func sideOptions(cfg Config) []kgo.Opt {
	return append(common(cfg),
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

// scanOptions are those of the short-lived client that reads retry partitions through once.
func scanOptions(cfg Config, from map[string]map[int32]kgo.Offset) []kgo.Opt {
	return append(common(cfg),
		kgo.ConsumePartitions(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords(), // else a partition that ends in one is never seen to be read through
	)
}

func (g *Group) memberOptions(work context.Context) []kgo.Opt {
	opts := append(common(g.cfg),
		kgo.ConsumerGroup(g.cfg.Group),
		kgo.ConsumeTopics(g.cfg.Topic),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(heartbeatInterval),
		kgo.RebalanceTimeout(g.cfg.RebalanceTimeout),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(resetOffset(g.cfg.OnOffsetLost)),
		kgo.OnPartitionsAssigned(g.onAssigned),
		kgo.OnOffsetsFetched(g.onOffsetsFetched),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { g.end(work, lost[g.cfg.Topic], true) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { g.end(work, lost[g.cfg.Topic], false) }),
	)
	if g.cfg.ConsumerProtocol {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	return opts
}

func resetOffset(lost LostOffsetPolicy) kgo.Offset {
	switch lost {
	case LostOffsetEarliest:
		return kgo.NewOffset().AtStart()
	case LostOffsetLatest:
		return kgo.NewOffset().AtEnd()
	default:
		return kgo.NoResetOffset()
	}
}
