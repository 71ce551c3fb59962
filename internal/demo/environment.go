package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"

	"sluice/internal/config"
	"sluice/internal/demo/embedded"
	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/observe"
	"sluice/internal/pipeline"
	"sluice/internal/topics"
)

// The pipelines, which are the default ones. Each reads the topic of its name.
const (
	purchases  = "purchases"
	referrals  = "referrals"
	feedback   = "feedback"
	customers  = "customer-changes"
	activities = "activities"
)

// partitionCount is the partition count of each topic.
const partitionCount = 4

// retryDelays are short, so that a run sees records pass all of them.
var retryDelays = []time.Duration{time.Second, 3 * time.Second}

// drainTimeout is how long the connector may take to stop.
const drainTimeout = 15 * time.Second

// configTemplate is the connector's file. Breakers open sooner and for less time than by default, so that a run sees them close again.
const configTemplate = `
kafka: {brokers: [%q], rebalance_timeout: 30s}
schema_registry: {urls: [%q], unknown_id_wait: 1s}
drain_timeout: %s
vendors:
%[4]spipelines:
  purchases: &pipeline
    concurrency: 2
    retry: &retry {delays: [%[5]s]}
    breaker: &breaker {failures: 3, window: 10s, open_for: 1s}
  referrals: *pipeline
  feedback: {concurrency: 4, retry: *retry, breaker: *breaker}
  customer-changes: *pipeline
  activities: {concurrency: 2, retry: *retry, breaker: *breaker, tombstones: skip}
`

// vendorServers are the sandbox on its listeners.
type vendorServers struct {
	listeners map[sandbox.Vendor]net.Listener
	server    *sandbox.Server
	servers   []*http.Server
	served    chan error // why each server ended
}

// environment is everything that a run needs, in this process.
type environment struct {
	platform  *embedded.Platform
	vendors   vendorServers
	accounts  *missingAccounts
	cfg       *config.Config
	client    *kgo.Client // the producer, and the administrator
	admin     *kadm.Client
	samples   *sample.Generator
	observe   *observe.Registry
	connector *pipeline.Connector
	startedAt time.Time // when the vendors' script began
}

// startEnvironment starts the broker, the registry and the vendors, makes topics and schemas, and puts the connector together without running it.
func startEnvironment(ctx context.Context, opts Options, demoScript script) (env *environment, err error) {
	env = &environment{accounts: newMissingAccounts(), observe: observe.NewRegistry(prometheus.NewRegistry())}
	defer func() {
		if err != nil {
			err = errors.Join(err, env.close())
		}
	}()
	if env.platform, err = embedded.StartPlatform(embedded.Options{}); err != nil {
		return env, err
	}
	if env.vendors, err = listenForVendors(ctx); err != nil {
		return env, err
	}
	if env.cfg, err = env.parseConfig(); err != nil {
		return env, err
	}
	if env.client, err = kgo.NewClient(
		kgo.SeedBrokers(env.platform.Brokers()...), kgo.ProducerLinger(0), kgo.RequiredAcks(kgo.AllISRAcks()),
	); err != nil {
		return env, fmt.Errorf("making the producer: %w", err)
	}
	env.admin = kadm.NewClient(env.client)
	if err = env.createTopics(ctx); err != nil {
		return env, err
	}
	if env.samples, err = env.registerSchemas(ctx, opts.Seed); err != nil {
		return env, err
	}
	if env.connector, err = pipeline.NewConnector(env.cfg, pipeline.Options{
		Observe: env.observe, Log: opts.Log,
	}); err != nil {
		return env, err
	}
	return env, env.serveVendors(opts, demoScript)
}

func listenForVendors(ctx context.Context) (vendorServers, error) {
	servers := vendorServers{listeners: map[sandbox.Vendor]net.Listener{}}
	for _, name := range sandbox.Vendors() {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return servers, fmt.Errorf("listening for %s: %w", name, err)
		}
		servers.listeners[name] = listener
	}
	return servers, nil
}

func (v vendorServers) baseURL(name sandbox.Vendor) string {
	return "http://" + v.listeners[name].Addr().String()
}

func (w *environment) parseConfig() (*config.Config, error) {
	delays := make([]string, len(retryDelays))
	for i, duration := range retryDelays {
		delays[i] = duration.String()
	}
	text := fmt.Sprintf(configTemplate, w.platform.Brokers()[0], w.platform.RegistryURL(), drainTimeout,
		w.accountLines(), strings.Join(delays, ", "))
	return config.Parse("demo", []byte(text), config.Options{Vendors: pipeline.VendorTypes()})
}

// accountLines returns the entries of the configuration's vendors: an account at each vendor.
func (w *environment) accountLines() string {
	pages := map[sandbox.Vendor]sandbox.Page{}
	for _, page := range sandbox.BuiltinPages(sandbox.Options{}) {
		pages[page.Vendor] = page
	}
	var lines strings.Builder
	for _, vendor := range sample.BuiltinVendors() {
		settings := pages[vendor.Name].AccountSettings(w.vendors.baseURL(vendor.Name))
		if vendor.AccountSettings != "" {
			settings += ", " + vendor.AccountSettings
		}
		fmt.Fprintf(&lines, "  %s: {timeout: 5s, %s}\n", vendor.Name, settings)
	}
	return lines.String()
}

func (w *environment) createTopics(ctx context.Context) error {
	for _, p := range w.cfg.Pipelines {
		answer, err := w.admin.CreateTopic(ctx, partitionCount, -1, nil, p.Topic)
		if err = errors.Join(err, answer.Err); err != nil {
			return fmt.Errorf("making topic %s: %w", p.Topic, err)
		}
	}
	if _, err := topics.ApplyTopics(ctx, w.admin, topics.RequiredTopics(w.cfg), false); err != nil {
		return fmt.Errorf("making the connector's topics: %w", err)
	}
	return nil
}

func (w *environment) registerSchemas(ctx context.Context, seed uint64) (*sample.Generator, error) {
	registry, err := sr.NewClient(sr.URLs(w.platform.RegistryURL()))
	if err != nil {
		return nil, fmt.Errorf("making the registry's client: %w", err)
	}
	sources := sample.Sources(w.cfg)
	ids, err := sample.RegisterSchemas(ctx, registry, append(sample.Subjects(sources), sample.StraySubject())...)
	if err != nil {
		return nil, err
	}
	return sample.NewGenerator(sample.Options{Seed: seed, Sources: sources, IDs: ids})
}

// serveVendors begins the vendors' script and serves them.
func (w *environment) serveVendors(options Options, demoScript script) error {
	opts, err := sample.SandboxOptions(demoScript.rules...)
	if err != nil {
		return err
	}
	opts.CRMCOM.AccountExists = w.accounts.accountExists
	opts.Latency = sandbox.Latency{Fixed: 15 * time.Millisecond, Jitter: 30 * time.Millisecond, Seed: options.Seed}
	w.vendors.server, w.startedAt = sandbox.New(opts), time.Now()
	w.vendors.served = make(chan error, len(w.vendors.listeners))
	for name, listener := range w.vendors.listeners {
		server := &http.Server{
			Handler: w.vendors.server.Handler(name), ReadHeaderTimeout: 10 * time.Second,
			ErrorLog: zap.NewStdLog(zap.NewNop()),
		}
		w.vendors.servers = append(w.vendors.servers, server)
		go func() { w.vendors.served <- server.Serve(listener) }()
	}
	return nil
}

// close ends all that was started, as far as it was.
func (w *environment) close() error {
	var errs []error
	if w.client != nil {
		w.client.Close()
	}
	for _, s := range w.vendors.servers {
		errs = append(errs, s.Close())
	}
	for range w.vendors.servers {
		if err := <-w.vendors.served; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, fmt.Errorf("serving a vendor: %w", err))
		}
	}
	if len(w.vendors.servers) == 0 {
		for _, listener := range w.vendors.listeners {
			errs = append(errs, listener.Close())
		}
	}
	if w.platform != nil {
		errs = append(errs, w.platform.Close())
	}
	return errors.Join(errs...)
}

// operationRoutes are the operations of each pipeline, and the operation of each event.
func (w *environment) operationRoutes() (byPipeline map[string][]string, byEvent map[string]string) {
	byPipeline, byEvent = map[string][]string{}, map[string]string{}
	for _, p := range w.cfg.Pipelines {
		for _, r := range p.Routes {
			byPipeline[p.Name] = append(byPipeline[p.Name], r.OperationName())
			byEvent[r.Event] = r.OperationName()
		}
	}
	return byPipeline, byEvent
}
