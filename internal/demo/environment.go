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

// partitions is the partition count of each topic.
const partitions = 4

// retryDelays are short, so that a run sees records pass all of them.
var retryDelays = []time.Duration{time.Second, 3 * time.Second}

// drainTimeout is how long the connector may take to stop.
const drainTimeout = 15 * time.Second

// configuration is the connector's file. Breakers open sooner and for less time than by default, so that a run sees them close again.
const configuration = `
kafka: {brokers: [%q], rebalance_timeout: 30s}
schema_registry: {urls: [%q], unknown_id_wait: 1s}
drain_timeout: %s
vendors:
  crmcom: {base_url: "%[4]s/crmapi/rest/v2", timeout: 5s, auth: {web_api_key: %[7]s}}
  expoints:
    base_url: %[5]s
    timeout: 5s
    event_id_column: EventId
    auth: {token_url: "%[5]s%[8]s", client_id: %[9]s, client_secret: %[10]s}
  propel: {base_url: "%[6]s/v2", timeout: 5s, auth: {token_url: "%[6]s%[11]s", client_id: %[9]s, client_secret: %[10]s}}
pipelines:
  purchases: &pipeline
    concurrency: 2
    retry: &retry {delays: [%[12]s]}
    breaker: &breaker {failures: 3, window: 10s, open_for: 1s}
  referrals: *pipeline
  feedback: {concurrency: 4, retry: *retry, breaker: *breaker}
  customer-changes: *pipeline
  activities: {concurrency: 2, retry: *retry, breaker: *breaker, tombstones: skip}
`

// vendors are the sandbox on its listeners.
type vendors struct {
	listeners map[sandbox.Vendor]net.Listener
	server    *sandbox.Server
	servers   []*http.Server
	served    chan error // why each server ended
}

// world is everything that a run needs, in this process.
type world struct {
	platform  *embedded.Platform
	vendors   vendors
	accounts  *accounts
	cfg       *config.Config
	client    *kgo.Client // the producer, and the administrator
	admin     *kadm.Client
	samples   *sample.Generator
	observe   *observe.Registry
	connector *pipeline.Connector
	started   time.Time // when the vendors' script began
}

// newWorld starts the broker, the registry and the vendors, makes topics and schemas, and puts the connector together without running it.
func newWorld(ctx context.Context, o Options, s script) (w *world, err error) {
	w = &world{accounts: newAccounts(), observe: observe.NewRegistry(prometheus.NewRegistry())}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.platform, err = embedded.StartPlatform(embedded.Options{}); err != nil {
		return w, err
	}
	if w.vendors, err = listen(ctx); err != nil {
		return w, err
	}
	if w.cfg, err = w.configure(); err != nil {
		return w, err
	}
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(w.platform.Brokers()...), kgo.ProducerLinger(0), kgo.RequiredAcks(kgo.AllISRAcks())); err != nil {
		return w, fmt.Errorf("making the producer: %w", err)
	}
	w.admin = kadm.NewClient(w.client)
	if err = w.makeTopics(ctx); err != nil {
		return w, err
	}
	if w.samples, err = w.register(ctx, o.Seed); err != nil {
		return w, err
	}
	if w.connector, err = pipeline.NewConnector(w.cfg, pipeline.Options{Observe: w.observe, Log: o.Log}); err != nil {
		return w, err
	}
	return w, w.open(o, s)
}

func listen(ctx context.Context) (vendors, error) {
	v := vendors{listeners: map[sandbox.Vendor]net.Listener{}}
	for _, name := range []sandbox.Vendor{sandbox.CRMCOM, sandbox.Expoints, sandbox.Propel} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return v, fmt.Errorf("listening for %s: %w", name, err)
		}
		v.listeners[name] = l
	}
	return v, nil
}

func (v vendors) url(name sandbox.Vendor) string {
	return "http://" + v.listeners[name].Addr().String()
}

func (w *world) configure() (*config.Config, error) {
	delays := make([]string, len(retryDelays))
	for i, d := range retryDelays {
		delays[i] = d.String()
	}
	text := fmt.Sprintf(configuration, w.platform.Brokers()[0], w.platform.RegistryURL(), drainTimeout,
		w.vendors.url(sandbox.CRMCOM), w.vendors.url(sandbox.Expoints), w.vendors.url(sandbox.Propel),
		sandbox.DefaultWebAPIKey, sandbox.ExpointsTokenPath, sandbox.DefaultClientID, sandbox.DefaultClientSecret, sandbox.PropelTokenPath,
		strings.Join(delays, ", "))
	return config.Parse("demo", []byte(text), config.Options{Vendors: pipeline.VendorTypes()})
}

func (w *world) makeTopics(ctx context.Context) error {
	for _, p := range w.cfg.Pipelines {
		answer, err := w.admin.CreateTopic(ctx, partitions, -1, nil, p.Topic)
		if err = errors.Join(err, answer.Err); err != nil {
			return fmt.Errorf("making topic %s: %w", p.Topic, err)
		}
	}
	if _, err := topics.ApplyTopics(ctx, w.admin, topics.RequiredTopics(w.cfg), false); err != nil {
		return fmt.Errorf("making the connector's topics: %w", err)
	}
	return nil
}

func (w *world) register(ctx context.Context, seed uint64) (*sample.Generator, error) {
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

// open begins the vendors' script and serves them.
func (w *world) open(o Options, s script) error {
	opts, err := sample.SandboxOptions(s.rules...)
	if err != nil {
		return err
	}
	opts.CRMCOM.AccountExists = w.accounts.exists
	opts.Latency = sandbox.Latency{Fixed: 15 * time.Millisecond, Jitter: 30 * time.Millisecond, Seed: o.Seed}
	w.vendors.server, w.started = sandbox.New(opts), time.Now()
	w.vendors.served = make(chan error, len(w.vendors.listeners))
	for name, listener := range w.vendors.listeners {
		server := &http.Server{Handler: w.vendors.server.Handler(name), ReadHeaderTimeout: 10 * time.Second, ErrorLog: zap.NewStdLog(zap.NewNop())}
		w.vendors.servers = append(w.vendors.servers, server)
		go func() { w.vendors.served <- server.Serve(listener) }()
	}
	return nil
}

// close ends all that was started, as far as it was.
func (w *world) close() error {
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
		for _, l := range w.vendors.listeners {
			errs = append(errs, l.Close())
		}
	}
	if w.platform != nil {
		errs = append(errs, w.platform.Close())
	}
	return errors.Join(errs...)
}

// routes are the operations of each pipeline, and the operation of each event.
func (w *world) routes() (byPipeline map[string][]string, byEvent map[string]string) {
	byPipeline, byEvent = map[string][]string{}, map[string]string{}
	for _, p := range w.cfg.Pipelines {
		for _, r := range p.Routes {
			byPipeline[p.Name] = append(byPipeline[p.Name], r.FullName())
			byEvent[r.Event] = r.FullName()
		}
	}
	return byPipeline, byEvent
}
