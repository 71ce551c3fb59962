package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
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

// The pipelines of the script. Each reads the topic of the same name.
const (
	purchases  = "purchases"
	referrals  = "referrals"
	feedback   = "feedback"
	customers  = "customer-changes"
	activities = "activities"
)

// partitionCount is the number of partitions of each topic.
const partitionCount = 4

// retryDelays are short, so that records pass through all of them during a run.
var retryDelays = []time.Duration{time.Second, 3 * time.Second}

// A run may exceed its duration by up to the sum of these limits. lateOutcomeWait limits how long
// it waits for records that are unsettled or in a retry topic at its end, as on a busy machine.
// drainTimeout limits how long the connector takes to stop.
const (
	lateOutcomeWait = 5 * time.Second
	drainTimeout    = 10 * time.Second
)

// configTemplate is the connector's configuration file. Breakers open sooner and for a shorter time
// than by default, so that a run sees them close again.
const configTemplate = `
kafka: {brokers: [%q], rebalance_timeout: 30s}
schema_registry: {urls: [%q], unknown_id_wait: 1s}
drain_timeout: %s
vendors:
%spipelines:
%s`

// scriptedPipelines are the pipelines of the script with the settings in which they differ.
var scriptedPipelines = []struct{ name, settings string }{
	{purchases, defaultSettings},
	{referrals, defaultSettings},
	{feedback, "concurrency: 4"},
	{customers, defaultSettings},
	{activities, defaultSettings + ", tombstones: skip"},
}

const defaultSettings = "concurrency: 2"

// vendorServers serve the sandbox, one listener per vendor.
type vendorServers struct {
	listeners map[sandbox.Vendor]net.Listener
	server    *sandbox.Server
	servers   []*http.Server
	served    chan error // receives the error with which each server ended
}

// environment is everything that a run needs, all in this process.
type environment struct {
	platform  *embedded.Platform
	vendors   vendorServers
	accounts  *missingAccounts
	cfg       *config.Config
	client    *kgo.Client // producer and admin client
	admin     *kadm.Client
	samples   *sample.Generator
	observe   *observe.Registry
	connector *pipeline.Connector
	startedAt time.Time // start of the vendors' script
}

// startEnvironment starts the broker, the registry and the vendors, creates topics and schemas, and
// builds the connector without running it.
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
	if err = env.connectKafka(ctx, opts.Seed); err != nil {
		return env, err
	}
	if env.connector, err = pipeline.NewConnector(env.cfg, pipeline.Options{
		Observe: env.observe, Log: opts.Log,
	}); err != nil {
		return env, err
	}
	return env, env.serveVendors(opts, demoScript)
}

// connectKafka creates the clients, the topics and the generator of samples, for which it registers
// the schemas.
func (e *environment) connectKafka(ctx context.Context, seed uint64) (err error) {
	if e.client, err = kgo.NewClient(
		kgo.SeedBrokers(e.platform.Brokers()...), kgo.ProducerLinger(0), kgo.RequiredAcks(kgo.AllISRAcks()),
	); err != nil {
		return fmt.Errorf("creating the producer: %w", err)
	}
	e.admin = kadm.NewClient(e.client)
	if err = e.createTopics(ctx); err != nil {
		return err
	}
	e.samples, err = e.registerSchemas(ctx, seed)
	return err
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

func (e *environment) parseConfig() (*config.Config, error) {
	vendors := pipeline.BuiltinVendors()
	pages := sandbox.BuiltinPages(sandbox.Options{})
	accounts, err := accountLines(vendors, sample.BuiltinVendors(), pages, e.vendors.baseURL)
	if err != nil {
		return nil, err
	}
	pipelines, err := pipelineLines(vendors)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(configTemplate, e.platform.Brokers()[0], e.platform.RegistryURL(), drainTimeout,
		accounts, pipelines)
	return config.Parse("demo", []byte(text), config.Options{Vendors: pipeline.VendorTypes()})
}

// accountLines returns the configuration's vendors section, with one account per vendor. The error
// names a part that a vendor lacks.
func accountLines(vendors pipeline.Vendors, samples []sample.Vendor, pages []sandbox.Page,
	baseURL func(sandbox.Vendor) string) (string, error) {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vendors)) {
		i := slices.IndexFunc(samples, func(v sample.Vendor) bool { return string(v.Name) == name })
		if i < 0 {
			return "", fmt.Errorf("vendor %s has no samples: "+
				"add it to BuiltinVendors in internal/demo/sample/vendors.go", name)
		}
		j := slices.IndexFunc(pages, func(p sandbox.Page) bool { return string(p.Vendor) == name })
		if j < 0 {
			return "", fmt.Errorf("vendor %s has no page: "+
				"add it to BuiltinPages in internal/demo/sandbox/vendors.go", name)
		}
		settings := pages[j].AccountSettings(baseURL(pages[j].Vendor))
		if samples[i].AccountSettings != "" {
			settings += ", " + samples[i].AccountSettings
		}
		fmt.Fprintf(&lines, "  %s: {timeout: 5s, %s}\n", name, settings)
	}
	return lines.String(), nil
}

// pipelineLines returns the configuration's pipelines section: the pipelines of the script and the
// default pipelines of all other operations. The error names an operation without one.
func pipelineLines(vendors pipeline.Vendors) (string, error) {
	delays := make([]string, len(retryDelays))
	for i, delay := range retryDelays {
		delays[i] = delay.String()
	}
	var lines strings.Builder
	added := map[string]bool{}
	addPipeline := func(name, settings string) {
		if !added[name] {
			fmt.Fprintf(&lines, "  %s: {%s, retry: {delays: [%s]}, breaker: {failures: 3, window: 10s, open_for: 1s}}\n",
				name, settings, strings.Join(delays, ", "))
		}
		added[name] = true
	}
	for _, scripted := range scriptedPipelines {
		addPipeline(scripted.name, scripted.settings)
	}
	for _, name := range slices.Sorted(maps.Keys(vendors)) {
		for _, spec := range vendors[name].Specs() {
			if spec.DefaultPipeline == "" {
				return "", fmt.Errorf("operation %s.%s has no pipeline in the demo: "+
					"set its DefaultPipeline, or extend pipelineLines in internal/demo/environment.go", name, spec.Name)
			}
			addPipeline(spec.DefaultPipeline, defaultSettings)
		}
	}
	return lines.String(), nil
}

func (e *environment) createTopics(ctx context.Context) error {
	for _, p := range e.cfg.Pipelines {
		resp, err := e.admin.CreateTopic(ctx, partitionCount, -1, nil, p.Topic)
		if err = errors.Join(err, resp.Err); err != nil {
			return fmt.Errorf("creating topic %s: %w", p.Topic, err)
		}
	}
	if _, err := topics.ApplyTopics(ctx, e.admin, topics.RequiredTopics(e.cfg), false); err != nil {
		return fmt.Errorf("creating the connector's topics: %w", err)
	}
	return nil
}

func (e *environment) registerSchemas(ctx context.Context, seed uint64) (*sample.Generator, error) {
	registry, err := sr.NewClient(sr.URLs(e.platform.RegistryURL()))
	if err != nil {
		return nil, fmt.Errorf("creating the registry client: %w", err)
	}
	sources := sample.Sources(e.cfg)
	ids, err := sample.RegisterSchemas(ctx, registry, append(sample.Subjects(sources), sample.StraySubject())...)
	if err != nil {
		return nil, err
	}
	return sample.NewGenerator(sample.Options{Seed: seed, Sources: sources, IDs: ids})
}

// serveVendors starts the vendors, and with them the script.
func (e *environment) serveVendors(options Options, demoScript script) error {
	opts, err := sample.SandboxOptions(demoScript.rules...)
	if err != nil {
		return err
	}
	opts.CRMCOM.AccountExists = e.accounts.accountExists
	opts.Latency = sandbox.Latency{Fixed: 15 * time.Millisecond, Jitter: 30 * time.Millisecond, Seed: options.Seed}
	e.vendors.server, e.startedAt = sandbox.New(opts), time.Now()
	e.vendors.served = make(chan error, len(e.vendors.listeners))
	for name, listener := range e.vendors.listeners {
		server := &http.Server{
			Handler: e.vendors.server.Handler(name), ReadHeaderTimeout: 10 * time.Second,
			ErrorLog: zap.NewStdLog(zap.NewNop()),
		}
		e.vendors.servers = append(e.vendors.servers, server)
		go func() { e.vendors.served <- server.Serve(listener) }()
	}
	return nil
}

// close stops everything that was started.
func (e *environment) close() error {
	var errs []error
	if e.client != nil {
		e.client.Close()
	}
	for _, s := range e.vendors.servers {
		errs = append(errs, s.Close())
	}
	for range e.vendors.servers {
		if err := <-e.vendors.served; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, fmt.Errorf("serving a vendor: %w", err))
		}
	}
	if len(e.vendors.servers) == 0 {
		for _, listener := range e.vendors.listeners {
			errs = append(errs, listener.Close())
		}
	}
	if e.platform != nil {
		errs = append(errs, e.platform.Close())
	}
	return errors.Join(errs...)
}

// operationRoutes returns the operations of each pipeline and the operation of each event.
func (e *environment) operationRoutes() (byPipeline map[string][]string, byEvent map[string]string) {
	byPipeline, byEvent = map[string][]string{}, map[string]string{}
	for _, p := range e.cfg.Pipelines {
		for _, r := range p.Routes {
			byPipeline[p.Name] = append(byPipeline[p.Name], r.OperationName())
			byEvent[r.Event] = r.OperationName()
		}
	}
	return byPipeline, byEvent
}
