package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"

	"sluice/internal/config"
	"sluice/internal/consume"
	"sluice/internal/deliver"
	"sluice/internal/guard"
	"sluice/internal/route"
	"sluice/internal/settle"
	"sluice/internal/sink"
	"sluice/internal/topics"
)

// buildPipelines prepares the topics and builds the pipelines. The topics come first because the
// pipelines also drain retry tiers that are no longer configured. It waits until the brokers
// respond.
func (c *Connector) buildPipelines(ctx context.Context) error {
	// The client does not log, because awaitBrokers logs each failure once.
	client, err := kgo.NewClient(append(slices.Clip(c.kafka), kgo.WithLogger(kzap.New(zap.NewNop())))...)
	if err != nil {
		return fmt.Errorf("creating a Kafka client: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	tiers, err := awaitBrokers(ctx, c, func() (map[string][]consume.RetryTier, error) {
		return c.prepareTopics(ctx, adm)
	})
	if err != nil {
		return err
	}
	limits, err := awaitBrokers(ctx, c, func() (map[string]int, error) {
		return topics.BatchLimits(ctx, adm, topics.RequiredTopics(c.cfg))
	})
	if err != nil {
		return err
	}
	for _, p := range c.cfg.Pipelines {
		cfg := c.pipelineConfig(p, tiers[p.Name], limits[p.Name])
		built, err := NewPipeline(cfg, c.opts.Observe.Pipeline(p.Name), c.opts.Log)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.pipelines = append(c.pipelines, built)
		c.mu.Unlock()
	}
	return nil
}

// prepareTopics creates or verifies the topics. It returns, by pipeline, the retry tiers that are
// no longer configured and have to be drained.
func (c *Connector) prepareTopics(ctx context.Context, adm *kadm.Client) (map[string][]consume.RetryTier, error) {
	if err := c.ensureTopics(ctx, adm, topics.RequiredTopics(c.cfg)); err != nil {
		return nil, err
	}
	leftovers, err := topics.FindLeftovers(ctx, adm, c.cfg)
	if err != nil {
		return nil, err
	}
	tiers := map[string][]consume.RetryTier{}
	for _, l := range leftovers {
		if !l.Configured || l.Delay == 0 {
			c.opts.Log.Warn("leftover topic is not read",
				zap.String("topic", l.Topic))
			continue
		}
		c.opts.Log.Info("retry tier no longer configured, delivering its remaining records", zap.String("topic", l.Topic))
		tiers[l.Pipeline] = append(tiers[l.Pipeline], consume.RetryTier{Topic: l.Topic, Delay: l.Delay})
	}
	return tiers, nil
}

// ensureTopics verifies the topics, or creates and changes them if the configuration allows it.
// After creating or changing topics, ApplyTopics itself waits until a broker describes them as
// required, so they are not verified again here.
func (c *Connector) ensureTopics(ctx context.Context, adm *kadm.Client, required []topics.Topic) error {
	if !c.cfg.Topics.AutoCreate {
		return topics.VerifyTopics(ctx, adm, required)
	}
	changes, err := topics.ApplyTopics(ctx, adm, required, false)
	for _, change := range changes {
		c.opts.Log.Info("topic created or changed", zap.Stringer("change", change))
	}
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	return nil
}

func (c *Connector) pipelineConfig(pipeline config.Pipeline, drained []consume.RetryTier, batchLimit int) Config {
	ordered := pipeline.Ordering == config.OrderingKey
	cfg := Config{
		Name:    pipeline.Name,
		Consume: c.consumeConfig(pipeline, drained, batchLimit),
		Route: route.Config{
			SkipUnmapped: pipeline.Unmapped == config.Skip, SkipTombstones: pipeline.Tombstones == config.Skip,
			UnknownIDWait: c.cfg.SchemaRegistry.UnknownIDWait, KeepKeyOrder: ordered,
			Events: c.opts.Vendors.Events(),
		},
		Settle: settle.Config{
			ConnectorName:   config.GroupName(c.cfg.Name, pipeline.Name),
			DeadLetterTopic: topics.DeadLetterTopic(c.cfg.Name, pipeline.Name),
			RetryTopics:     map[time.Duration]string{},
		},
		Decoder: c.decoder,
		Guard:   guard.Config{MaxRatio: pipeline.DeadLetter.Guard.MaxRatio, Window: pipeline.DeadLetter.Guard.Window},
	}
	for _, delay := range pipeline.Retry.Delays {
		cfg.Settle.RetryTopics[delay] = topics.RetryTopic(c.cfg.Name, pipeline.Name, delay)
	}
	for _, r := range pipeline.Routes {
		a := c.accounts[r.Account]
		cfg.Operations = append(cfg.Operations, OperationSettings{
			Operation: a.operations[r.Operation], Deliver: deliverConfig(pipeline, r, a, ordered),
		})
	}
	return cfg
}

// consumeConfig returns the settings of the pipeline's consumer. drained are retry tiers that are
// only read.
func (c *Connector) consumeConfig(pipeline config.Pipeline, drained []consume.RetryTier, batchLimit int) consume.Config {
	tiers := drained
	for _, delay := range pipeline.Retry.Delays {
		tiers = append(tiers, consume.RetryTier{Topic: topics.RetryTopic(c.cfg.Name, pipeline.Name, delay), Delay: delay})
	}
	slices.SortFunc(tiers, func(a, b consume.RetryTier) int { return cmp.Compare(a.Delay, b.Delay) })
	return consume.Config{
		Topic: pipeline.Topic, Group: pipeline.ConsumerGroup, ClientOptions: c.kafka, RetryTiers: tiers,
		Start:        consume.StartPosition{Latest: pipeline.Start.Latest, At: pipeline.Start.At},
		OnOffsetLost: consume.LostOffsetPolicy(pipeline.OnOffsetLost),
		MaxInFlight:  pipeline.MaxInFlight, MaxInFlightBytes: int(pipeline.MaxInFlightBytes),
		MaxRecordBytes: min(batchLimit, maxBatchBytes),
		CommitInterval: c.cfg.CommitInterval, DrainTimeout: c.cfg.DrainTimeout,
		RebalanceTimeout: c.cfg.Kafka.RebalanceTimeout,
		ConsumerProtocol: c.cfg.Kafka.GroupProtocol == config.GroupConsumer,
	}
}

// maxBatchBytes bounds a produced batch whatever the topics accept, because a broker rejects
// requests larger than socket.request.max.bytes, which is 100 MiB by default.
const maxBatchBytes = 64 << 20

func deliverConfig(pipeline config.Pipeline, target config.Route, acct account, ordered bool) deliver.Config {
	return deliver.Config{
		OperationName: target.OperationName(), Concurrency: pipeline.Concurrency,
		MaxItems: target.MaxItems, MaxBytes: int(pipeline.Batch.MaxBytes), Linger: pipeline.Batch.Linger, Timeout: acct.Timeout,
		UnknownPolicy: sink.UnknownPolicy(target.Unknown.Policy), MaxResends: target.Unknown.Resends,
		RetryDelays: pipeline.Retry.Delays, MaxAge: pipeline.Retry.MaxAge, RetryInPlace: ordered,
		Breaker: deliver.BreakerConfig{
			Failures: pipeline.Breaker.Failures, Ratio: pipeline.Breaker.Ratio, Window: pipeline.Breaker.Window,
			OpenFor: pipeline.Breaker.OpenFor,
		},
		Limiter: acct.limiter,
	}
}
