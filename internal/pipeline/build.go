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

// buildPipelines prepares the topics and builds the pipelines, which need to know the retry tiers
// that exist. It waits for the brokers.
func (c *Connector) buildPipelines(ctx context.Context) error {
	// The client does not log: awaitBrokers logs each failure once.
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
			c.opts.Log.Warn("topic has no reader, its pipeline or tier is not configured",
				zap.String("topic", l.Topic))
			continue
		}
		c.opts.Log.Info("draining a retry tier that is no longer configured", zap.String("topic", l.Topic))
		tiers[l.Pipeline] = append(tiers[l.Pipeline], consume.RetryTier{Topic: l.Topic, Delay: l.Delay})
	}
	return tiers, nil
}

// ensureTopics returns nil if the topics are fit. Topics that it created or changed are not
// verified: another broker may not know of them yet.
func (c *Connector) ensureTopics(ctx context.Context, adm *kadm.Client, required []topics.Topic) error {
	if !c.cfg.Topics.AutoCreate {
		return topics.VerifyTopics(ctx, adm, required)
	}
	changes, err := topics.ApplyTopics(ctx, adm, required, false)
	for _, change := range changes {
		c.opts.Log.Info("topic changed", zap.Stringer("change", change))
	}
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	return nil
}

func (c *Connector) pipelineConfig(p config.Pipeline, drained []consume.RetryTier, batchLimit int) Config {
	ordered := p.Ordering == config.OrderingKey
	cfg := Config{
		Name:    p.Name,
		Consume: c.consumeConfig(p, drained, batchLimit),
		Route: route.Config{
			SkipUnmapped: p.Unmapped == config.Skip, SkipTombstones: p.Tombstones == config.Skip,
			UnknownIDWait: c.cfg.SchemaRegistry.UnknownIDWait, KeepKeyOrder: ordered,
			Events: c.opts.Vendors.Events(),
		},
		Settle: settle.Config{
			ConnectorName:   config.GroupName(c.cfg.Name, p.Name),
			DeadLetterTopic: topics.DeadLetterTopic(c.cfg.Name, p.Name),
			RetryTopics:     map[time.Duration]string{},
		},
		Decoder: c.decoder,
		Guard:   guard.Config{MaxRatio: p.DeadLetter.Guard.MaxRatio, Window: p.DeadLetter.Guard.Window},
	}
	for _, delay := range p.Retry.Delays {
		cfg.Settle.RetryTopics[delay] = topics.RetryTopic(c.cfg.Name, p.Name, delay)
	}
	for _, r := range p.Routes {
		a := c.accounts[r.Account]
		cfg.Operations = append(cfg.Operations, OperationSettings{
			Operation: a.operations[r.Operation], Deliver: deliverConfig(p, r, a, ordered),
		})
	}
	return cfg
}

// consumeConfig returns the settings of the pipeline's consumer. drained are retry tiers that are
// only read.
func (c *Connector) consumeConfig(p config.Pipeline, drained []consume.RetryTier, batchLimit int) consume.Config {
	tiers := drained
	for _, delay := range p.Retry.Delays {
		tiers = append(tiers, consume.RetryTier{Topic: topics.RetryTopic(c.cfg.Name, p.Name, delay), Delay: delay})
	}
	slices.SortFunc(tiers, func(a, b consume.RetryTier) int { return cmp.Compare(a.Delay, b.Delay) })
	return consume.Config{
		Topic: p.Topic, Group: p.ConsumerGroup, ClientOptions: c.kafka, RetryTiers: tiers,
		Start:        consume.StartPosition{Latest: p.Start.Latest, At: p.Start.At},
		OnOffsetLost: consume.LostOffsetPolicy(p.OnOffsetLost),
		MaxInFlight:  p.MaxInFlight, MaxInFlightBytes: int(p.MaxInFlightBytes),
		MaxRecordBytes: min(batchLimit, maxBatchBytes),
		CommitInterval: c.cfg.CommitInterval, DrainTimeout: c.cfg.DrainTimeout,
		RebalanceTimeout: c.cfg.Kafka.RebalanceTimeout,
		ConsumerProtocol: c.cfg.Kafka.GroupProtocol == config.GroupConsumer,
	}
}

// maxBatchBytes bounds a produced batch whatever the topics accept, because a broker accepts no
// request larger than socket.request.max.bytes, 100 MiB by default.
const maxBatchBytes = 64 << 20

func deliverConfig(p config.Pipeline, r config.Route, a account, ordered bool) deliver.Config {
	return deliver.Config{
		OperationName: r.OperationName(), Concurrency: p.Concurrency,
		MaxItems: r.MaxItems, MaxBytes: int(p.Batch.MaxBytes), Linger: p.Batch.Linger, Timeout: a.Timeout,
		UnknownPolicy: sink.UnknownPolicy(r.Unknown.Policy), MaxResends: r.Unknown.Resends,
		RetryDelays: p.Retry.Delays, MaxAge: p.Retry.MaxAge, RetryInPlace: ordered,
		Breaker: deliver.BreakerConfig{
			Failures: p.Breaker.Failures, Ratio: p.Breaker.Ratio, Window: p.Breaker.Window,
			OpenFor: p.Breaker.OpenFor,
		},
		Limiter: a.limiter,
	}
}
