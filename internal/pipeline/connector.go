package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sluice/internal/config"
	"sluice/internal/decode"
	"sluice/internal/observe"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// Options are what a connector needs besides its configuration. Observe and Log are required; nil
// is a valid default for the other fields.
type Options struct {
	// Dial connects to the brokers; nil: TCP.
	Dial Dial
	// Transport makes the requests to the vendors and the registry; nil: HTTP, with one transport
	// for each account.
	Transport http.RoundTripper
	// Vendors are the vendors that the configuration's accounts may have; nil: BuiltinVendors. The
	// configuration must have been checked against the same ones.
	Vendors Vendors
	Observe *observe.Registry
	Log     *zap.Logger
}

// Connector is all pipelines of a configuration in one process.
type Connector struct {
	cfg      *config.Config
	opts     Options
	kafka    []kgo.Opt
	decoder  *decode.Decoder
	accounts map[string]account

	mu        sync.Mutex // guards pipelines while they are built
	pipelines []*Pipeline
}

// account is one account of a vendor. The pipelines that use it share its token and its limiter.
type account struct {
	config.Account
	operations map[string]sink.Operation
	limiter    *rate.Limiter // nil: no rate limit
}

// NewConnector returns a connector for a valid configuration. It makes no connection before Run.
func NewConnector(cfg *config.Config, opts Options) (*Connector, error) {
	if opts.Vendors == nil {
		opts.Vendors = builtinVendors
	}
	kafka, err := KafkaOptions(cfg.Kafka, opts.Dial, opts.Log)
	if err != nil {
		return nil, err
	}
	registry := cfg.SchemaRegistry
	decoder, err := decode.NewDecoder(decode.Config{
		URLs: registry.URLs, Username: registry.Username, Password: registry.Password.Reveal(),
		Transport: opts.Transport, Events: opts.Vendors.Events(),
	})
	if err != nil {
		return nil, fmt.Errorf("schema_registry: %w", err)
	}
	c := &Connector{cfg: cfg, opts: opts, kafka: kafka, decoder: decoder, accounts: map[string]account{}}
	for name, a := range cfg.Accounts {
		if c.accounts[name], err = c.openAccount(a); err != nil {
			return nil, fmt.Errorf("vendors.%s: %w", name, err)
		}
	}
	c.declareMetrics()
	return c, nil
}

func (c *Connector) openAccount(cfg config.Account) (account, error) {
	client, err := vendorhttp.NewClient(vendorhttp.Options{
		Transport: c.opts.Transport, Concurrency: c.maxConcurrentCalls(cfg.Name),
	})
	if err != nil {
		return account{}, err
	}
	operations, err := c.opts.Vendors[cfg.Type].Open(cfg.Name, cfg.Settings(), client)
	if err != nil {
		return account{}, err
	}
	opened := account{Account: cfg, operations: map[string]sink.Operation{}}
	for _, o := range operations {
		opened.operations[o.Spec().Name] = o
	}
	if cfg.RequestsPerSecond > 0 {
		opened.limiter = rate.NewLimiter(rate.Limit(cfg.RequestsPerSecond), 1)
	}
	return opened, nil
}

// maxConcurrentCalls returns how many calls of an account may be in flight at once.
func (c *Connector) maxConcurrentCalls(account string) int {
	calls := 0
	for _, p := range c.cfg.Pipelines {
		for _, r := range p.Routes {
			if r.Account == account {
				calls += p.Concurrency
			}
		}
	}
	return calls
}

// Run prepares the topics and runs every pipeline until fetchCtx ends. The end of workCtx cuts the
// drain short. If a pipeline fails, Run stops the others and returns the error: a process that a
// supervisor restarts is easier to notice than one that only partly works.
func (c *Connector) Run(fetchCtx, workCtx context.Context) error {
	defer c.decoder.Close()
	if err := c.buildPipelines(fetchCtx); err != nil {
		c.closePipelines()
		if fetchCtx.Err() != nil {
			return nil
		}
		return err
	}
	fetchCtx, stopFetching := context.WithCancel(fetchCtx)
	defer stopFetching()
	errs := make([]error, len(c.pipelines))
	var quotas, running sync.WaitGroup
	quotas.Go(func() { c.updateQuotas(fetchCtx) })
	for i, p := range c.pipelines {
		running.Go(func() {
			if errs[i] = p.Run(fetchCtx, workCtx); errs[i] != nil {
				stopFetching()
			}
		})
	}
	running.Wait()
	stopFetching()
	quotas.Wait()
	return errors.Join(errs...)
}

// closePipelines closes pipelines that will not run.
func (c *Connector) closePipelines() {
	for _, p := range c.pipelines {
		p.group.Close()
	}
}
