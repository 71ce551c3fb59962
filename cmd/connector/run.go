package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"sluice/internal/admin"
	"sluice/internal/config"
	"sluice/internal/observe"
	"sluice/internal/pipeline"
)

func newRun() *cobra.Command {
	c := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the pipelines until SIGTERM",
		Long: "Run the pipelines until SIGTERM or SIGINT: then what is in flight is finished and committed, and the exit code is 0.\n" +
			"A second signal stops at once; what was not settled is read again at the next start.",
		Example: "  connector run -c connector.yaml",
		Args:    cobra.NoArgs,
	}
	load := configFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return run(cmd.Context(), cfg, cmd.ErrOrStderr())
	}
	return c
}

// errCutShort is a stop that did not wait.
var errCutShort = errors.New("stopped before all that was in flight was settled: it is read again at the next start")

// run runs the pipelines. The admin server outlasts the drain, so that the drain can be watched.
func run(ctx context.Context, cfg *config.Config, logTo io.Writer) error {
	log, err := observe.NewLogger(cfg.Log.Level, cfg.Log.Format, logTo)
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	obs := observe.NewRegistry(reg)
	for _, p := range cfg.Pipelines {
		obs.Pipeline(p.Name) // not ready until each of them has started
	}
	connector, err := pipeline.NewConnector(cfg, pipeline.Options{Observe: obs, Log: log})
	if err != nil {
		return err
	}
	stops := stopOnSignals(ctx, log)
	defer stops.end()
	server := admin.NewServer(admin.Config{StuckAfter: stuckAfter(cfg)}, reg, obs.Pipelines, log)
	server.Handle("POST /pipelines/{name}/release", admin.ReleaseHandler(connector.Release))
	closeAdmin, err := serveAdmin(stops, server, cfg.Admin.Listen)
	if err != nil {
		return err
	}
	log.Info("starting", zap.String("version", version), zap.Int("pipelines", len(cfg.Pipelines)))
	err = connector.Run(stops.take, stops.work)
	switch {
	case stops.work.Err() != nil:
		err = errCutShort
	case stops.take.Err() != nil && errors.Is(err, context.Canceled):
		err = nil // the signal came before there was anything to drain
	}
	err = errors.Join(err, closeAdmin())
	if err != nil {
		log.Error("stopped", zap.Error(err))
		return err
	}
	log.Info("stopped")
	return nil
}

// stuckAfter is when a pipeline is stuck: where a record waits in its place for the retry delays, only beyond them. To end the process sooner would
// have the record wait anew.
func stuckAfter(cfg *config.Config) func(pipeline string) time.Duration {
	after := map[string]time.Duration{}
	for _, p := range cfg.Pipelines {
		after[p.Name] = admin.DefaultStuckAfter
		if p.Ordering != config.OrderingKey {
			continue
		}
		for _, d := range p.Retry.Delays {
			after[p.Name] += d
		}
	}
	return func(pipeline string) time.Duration { return after[pipeline] }
}

// serveAdmin starts the admin server, and gives the function that ends it and awaits its end. A server that fails ends the taking of records.
func serveAdmin(s *stops, server *admin.Server, address string) (func() error, error) {
	if address == "" {
		return func() error { return nil }, nil
	}
	listener, err := new(net.ListenConfig).Listen(s.work, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for admin requests (admin.listen): %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.work))
	served := make(chan error, 1)
	go func() {
		err := server.ServeOn(ctx, listener)
		s.endTake()
		served <- err
	}()
	return func() error {
		cancel()
		return <-served
	}, nil
}

// stops are the two ways to stop: the end of take drains, the end of work does not wait.
type stops struct {
	take, work       context.Context
	endTake, endWork context.CancelFunc
	signals          chan os.Signal
	ended            chan struct{} // closed when nobody listens to signals any more
}

// stopOnSignals ends take at the first SIGTERM or SIGINT and work at the second.
func stopOnSignals(ctx context.Context, log *zap.Logger) *stops {
	s := &stops{signals: make(chan os.Signal, 2), ended: make(chan struct{})}
	s.work, s.endWork = context.WithCancel(ctx)
	s.take, s.endTake = context.WithCancel(s.work)
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		defer close(s.ended)
		if sig, ok := <-s.signals; ok {
			log.Info("finishing what is in flight; a second signal stops at once", zap.Stringer("signal", sig))
			s.endTake()
		}
		if sig, ok := <-s.signals; ok {
			log.Warn("stopping at once", zap.Stringer("signal", sig))
			s.endWork()
		}
	}()
	return s
}

// end gives signals back to the runtime and awaits the goroutine.
func (s *stops) end() {
	signal.Stop(s.signals)
	close(s.signals)
	<-s.ended
	s.endTake()
	s.endWork()
}
