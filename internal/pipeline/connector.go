package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sluice/internal/config"
	"sluice/internal/consume"
	"sluice/internal/decode"
	"sluice/internal/deliver"
	"sluice/internal/guard"
	"sluice/internal/observe"
	"sluice/internal/route"
	"sluice/internal/settle"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
	"sluice/internal/topics"
)

// Options are what a connector is given besides its configuration. The zero value is a process of its own on real networks.
type Options struct {
	// Dial reaches the brokers; nil: TCP.
	Dial Dial
	// Transport reaches the vendors and the registry; nil: HTTP, with a transport for each account.
	Transport http.RoundTripper
	// Vendors are the vendors that the configuration's accounts may have; nil: BuiltinVendors. They
	// must be those that the configuration was checked with.
	Vendors Vendors
	Observe *observe.Registry
	Log     *zap.Logger
}

// Connector is all pipelines of a configuration.
type Connector struct {
	cfg      *config.Config
	opts     Options
	kafka    []kgo.Opt
	decoder  *decode.Decoder
	accounts map[string]account

	mu        sync.Mutex // guards pipelines while they are built
	pipelines []*Pipeline
}

// account is one account of a vendor, shared by the pipelines that use it: one token source, one limiter.
type account struct {
	config.Account
	operations map[string]sink.Operation
	limiter    *rate.Limiter
}

// NewConnector puts a connector together for a configuration that was checked.
func NewConnector(cfg *config.Config, opts Options) (*Connector, error) {
	if opts.Vendors == nil {
		opts.Vendors = builtinVendors
	}
	kafka, err := KafkaOptions(cfg.Kafka, opts.Dial, opts.Log)
	if err != nil {
		return nil, err
	}
	decoder, err := decode.NewDecoder(decode.Config{
		URLs: cfg.SchemaRegistry.URLs, Username: cfg.SchemaRegistry.Username, Password: cfg.SchemaRegistry.Password.Reveal(), Transport: opts.Transport,
		Events: opts.Vendors.Events(),
	})
	if err != nil {
		return nil, fmt.Errorf("schema_registry: %w", err)
	}
	c := &Connector{cfg: cfg, opts: opts, kafka: kafka, decoder: decoder, accounts: map[string]account{}}
	for name, a := range cfg.Accounts {
		if c.accounts[name], err = c.open(a); err != nil {
			return nil, fmt.Errorf("vendors.%s: %w", name, err)
		}
	}
	c.declareMetrics()
	return c, nil
}

func (c *Connector) open(a config.Account) (account, error) {
	client, err := vendorhttp.NewClient(vendorhttp.Options{Transport: c.opts.Transport, Concurrency: c.concurrency(a.Name)})
	if err != nil {
		return account{}, err
	}
	operations, err := c.opts.Vendors[a.Type].Open(a.Name, a.Settings(), client)
	if err != nil {
		return account{}, err
	}
	out := account{Account: a, operations: map[string]sink.Operation{}}
	for _, o := range operations {
		out.operations[o.Spec().Name] = o
	}
	if a.RequestsPerSecond > 0 {
		out.limiter = rate.NewLimiter(rate.Limit(a.RequestsPerSecond), 1)
	}
	return out, nil
}

// concurrency is how many calls of an account may be in flight at once.
func (c *Connector) concurrency(account string) int {
	n := 0
	for _, p := range c.cfg.Pipelines {
		for _, r := range p.Routes {
			if r.Account == account {
				n += p.Concurrency
			}
		}
	}
	return n
}

// Run makes sure that the topics are fit, then runs every pipeline until take ends; the end of work cuts the drain short. A pipeline that cannot go on
// stops the others too, and its error is returned: a supervisor that starts the process again tells an operator more than one that is half alive.
func (c *Connector) Run(take, work context.Context) error {
	defer c.decoder.Close()
	if err := c.assemble(take); err != nil {
		c.closePipelines()
		if take.Err() != nil {
			return nil
		}
		return err
	}
	take, stop := context.WithCancel(take)
	defer stop()
	errs := make([]error, len(c.pipelines))
	var pacing, running sync.WaitGroup
	pacing.Go(func() { c.pace(take) })
	for i, p := range c.pipelines {
		running.Go(func() {
			if errs[i] = p.Run(take, work); errs[i] != nil {
				stop()
			}
		})
	}
	running.Wait()
	stop()
	pacing.Wait()
	return errors.Join(errs...)
}

// assemble checks the topics and builds the pipelines, which need to know the tiers that are there.
func (c *Connector) assemble(ctx context.Context) error {
	client, err := kgo.NewClient(append(slices.Clip(c.kafka), kgo.WithLogger(kzap.New(zap.NewNop())))...) // what fails is told once, by insist
	if err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	tiers, err := insist(ctx, c, func() (map[string][]consume.RetryTier, error) { return c.prepareTopics(ctx, adm) })
	if err != nil {
		return err
	}
	limits, err := insist(ctx, c, func() (map[string]int, error) { return topics.BatchLimits(ctx, adm, topics.RequiredTopics(c.cfg)) })
	if err != nil {
		return err
	}
	for _, p := range c.cfg.Pipelines {
		built, err := NewPipeline(c.settings(p, tiers[p.Name], limits[p.Name]), c.opts.Observe.Pipeline(p.Name), c.opts.Log)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.pipelines = append(c.pipelines, built)
		c.mu.Unlock()
	}
	return nil
}

// closePipelines closes pipelines that will not run.
func (c *Connector) closePipelines() {
	for _, p := range c.pipelines {
		p.group.Close()
	}
}

// prepareTopics makes or checks the topics, and gives the tiers that are no longer configured and must be drained, by pipeline.
func (c *Connector) prepareTopics(ctx context.Context, adm *kadm.Client) (map[string][]consume.RetryTier, error) {
	wanted := topics.RequiredTopics(c.cfg)
	if err := c.fitTopics(ctx, adm, wanted); err != nil {
		return nil, err
	}
	leftovers, err := topics.FindLeftovers(ctx, adm, c.cfg)
	if err != nil {
		return nil, err
	}
	tiers := map[string][]consume.RetryTier{}
	for _, l := range leftovers {
		if !l.Configured || l.Delay == 0 {
			c.opts.Log.Warn("nobody reads this topic: the configuration does not name what wrote it", zap.String("topic", l.Topic))
			continue
		}
		c.opts.Log.Info("draining a retry tier that is no longer configured", zap.String("topic", l.Topic))
		tiers[l.Pipeline] = append(tiers[l.Pipeline], consume.RetryTier{Topic: l.Topic, Delay: l.Delay})
	}
	return tiers, nil
}

// fitTopics returns when the topics are fit, or with what is wrong. What was made is not looked at again: another broker may not have heard of it yet.
func (c *Connector) fitTopics(ctx context.Context, adm *kadm.Client, wanted []topics.Topic) error {
	if !c.cfg.Topics.AutoCreate {
		return topics.VerifyTopics(ctx, adm, wanted)
	}
	changes, err := topics.ApplyTopics(ctx, adm, wanted, false)
	for _, change := range changes {
		c.opts.Log.Info("topic changed", zap.Stringer("change", change))
	}
	if err != nil {
		return fmt.Errorf("making topics: %w", err)
	}
	return nil
}

func (c *Connector) settings(p config.Pipeline, drained []consume.RetryTier, batchLimit int) Config {
	ordered := p.Ordering == config.OrderingKey
	s := Config{
		Name:    p.Name,
		Consume: c.consume(p, drained, batchLimit),
		Route: route.Config{
			SkipUnmapped: p.Unmapped == config.Skip, SkipTombstones: p.Tombstones == config.Skip,
			UnknownIDWait: c.cfg.SchemaRegistry.UnknownIDWait, KeepKeyOrder: ordered, Events: c.opts.Vendors.Events(),
		},
		Settle: settle.Config{
			ConnectorName: config.GroupName(c.cfg.Name, p.Name), DeadLetterTopic: topics.DeadLetterTopic(c.cfg.Name, p.Name), RetryTopics: map[time.Duration]string{},
		},
		Decoder: c.decoder,
		Guard:   guard.Config{MaxRatio: p.DeadLetter.Guard.MaxRatio, Window: p.DeadLetter.Guard.Window},
	}
	for _, d := range p.Retry.Delays {
		s.Settle.RetryTopics[d] = topics.RetryTopic(c.cfg.Name, p.Name, d)
	}
	for _, r := range p.Routes {
		a := c.accounts[r.Account]
		s.Operations = append(s.Operations, OperationSettings{Operation: a.operations[r.Operation], Deliver: delivery(p, r, a, ordered)})
	}
	return s
}

func (c *Connector) consume(p config.Pipeline, drained []consume.RetryTier, batchLimit int) consume.Config {
	tiers := drained
	for _, d := range p.Retry.Delays {
		tiers = append(tiers, consume.RetryTier{Topic: topics.RetryTopic(c.cfg.Name, p.Name, d), Delay: d})
	}
	slices.SortFunc(tiers, func(a, b consume.RetryTier) int { return cmp.Compare(a.Delay, b.Delay) })
	return consume.Config{
		Topic: p.Topic, Group: p.ConsumerGroup, ClientOptions: c.kafka, RetryTiers: tiers,
		Start: consume.StartPosition{Latest: p.Start.Latest, At: p.Start.At}, OnOffsetLost: consume.LostOffsetPolicy(p.OnOffsetLost),
		MaxInFlight: p.MaxInFlight, MaxInFlightBytes: int(p.MaxInFlightBytes), MaxRecordBytes: min(batchLimit, maxBatchBytes),
		CommitInterval: c.cfg.CommitInterval, DrainTimeout: c.cfg.DrainTimeout, RebalanceTimeout: c.cfg.Kafka.RebalanceTimeout,
		ConsumerProtocol: c.cfg.Kafka.GroupProtocol == config.GroupConsumer,
	}
}

// maxBatchBytes bounds what is produced at once, whatever the topics take: socket.request.max.bytes is 100 MiB by default.
const maxBatchBytes = 64 << 20

func delivery(p config.Pipeline, r config.Route, a account, ordered bool) deliver.Config {
	return deliver.Config{
		OperationName: r.OperationName(), Concurrency: p.Concurrency, MaxItems: r.MaxItems, MaxBytes: int(p.Batch.MaxBytes), Linger: p.Batch.Linger,
		Timeout: a.Timeout, UnknownPolicy: sink.UnknownPolicy(r.Unknown.Policy), MaxResends: r.Unknown.Resends,
		RetryDelays: p.Retry.Delays, MaxAge: p.Retry.MaxAge, RetryInPlace: ordered,
		Breaker: deliver.BreakerConfig{Failures: p.Breaker.Failures, Ratio: p.Breaker.Ratio, Window: p.Breaker.Window, OpenFor: p.Breaker.OpenFor},
		Limiter: a.limiter,
	}
}
