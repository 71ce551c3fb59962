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

func newRunCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the pipelines until SIGTERM",
		Long: "Run the pipelines until SIGTERM or SIGINT. Then the connector stops fetching, finishes and commits what is in\n" +
			"flight, and exits with code 0. A second signal stops at once; unsettled records are delivered after the next start.",
		Example: "  connector run -c connector.yaml",
		Args:    cobra.NoArgs,
	}
	load := configFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return runConnector(cmd.Context(), cfg, cmd.ErrOrStderr())
	}
	return c
}

// errCutShort reports a stop that did not wait until everything was drained.
var errCutShort = errors.New("stopped before all records in flight were settled; they are delivered after the next start")

// runConnector runs the pipelines until a signal. The admin server outlives the drain, so that the
// drain can be observed.
func runConnector(ctx context.Context, cfg *config.Config, logOut io.Writer) error {
	log, err := observe.NewLogger(cfg.Log.Level, cfg.Log.Format, logOut)
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	obs := observe.NewRegistry(reg)
	obs.SetBuildInfo(version, buildSettings()["vcs.revision"])
	for _, p := range cfg.Pipelines {
		obs.Pipeline(p.Name) // /readyz waits for each of them
	}
	connector, err := pipeline.NewConnector(cfg, pipeline.Options{Observe: obs, Log: log})
	if err != nil {
		return err
	}
	signals := shutdownOnSignals(ctx, log)
	defer signals.close()
	server := admin.NewServer(admin.Config{StuckAfter: stuckThresholds(cfg)}, reg, obs.Pipelines, log)
	server.Handle("POST /pipelines/{name}/release", admin.ReleaseHandler(connector.ReleasePipeline))
	closeAdmin, err := serveAdmin(signals, server, cfg.Admin.Listen)
	if err != nil {
		return err
	}
	log.Info("connector starting", zap.String("version", version), zap.Int("pipelines", len(cfg.Pipelines)))
	err = connector.Run(signals.fetchCtx, signals.workCtx)
	switch {
	case signals.workCtx.Err() != nil:
		err = errCutShort
	case signals.fetchCtx.Err() != nil && errors.Is(err, context.Canceled):
		err = nil // the signal came before there was anything to drain
	}
	err = errors.Join(err, closeAdmin())
	if err != nil {
		log.Error("connector stopped with an error", zap.Error(err))
		return err
	}
	log.Info("connector stopped")
	return nil
}

// stuckThresholds returns the time without progress after which each pipeline counts as stuck.
// Where records wait in place for their retry delays, those delays are added: a restart before they
// have elapsed would only make the record wait again.
func stuckThresholds(cfg *config.Config) func(pipeline string) time.Duration {
	thresholds := map[string]time.Duration{}
	for _, p := range cfg.Pipelines {
		thresholds[p.Name] = admin.DefaultStuckAfter
		if p.Ordering != config.OrderingKey {
			continue
		}
		for _, d := range p.Retry.Delays {
			thresholds[p.Name] += d
		}
	}
	return func(pipeline string) time.Duration { return thresholds[pipeline] }
}

// serveAdmin starts the admin server, and returns a function that stops it and waits until it has
// ended. If the server fails, the connector drains and stops.
func serveAdmin(stop *shutdown, server *admin.Server, address string) (func() error, error) {
	if address == "" {
		return func() error { return nil }, nil
	}
	listener, err := new(net.ListenConfig).Listen(stop.workCtx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for admin requests (admin.listen): %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(stop.workCtx))
	served := make(chan error, 1)
	go func() {
		err := server.ServeOn(ctx, listener)
		stop.stopFetching()
		served <- err
	}()
	return func() error {
		cancel()
		return <-served
	}, nil
}

// shutdown has the two contexts by which the process stops. When fetchCtx ends, the connector
// drains; when workCtx ends, it stops without waiting.
type shutdown struct {
	fetchCtx, workCtx      context.Context
	stopFetching, stopWork context.CancelFunc
	signals                chan os.Signal
	ended                  chan struct{} // closed when the listening goroutine has ended
}

// shutdownOnSignals ends fetchCtx at the first SIGTERM or SIGINT and workCtx at the second.
func shutdownOnSignals(ctx context.Context, log *zap.Logger) *shutdown {
	s := &shutdown{signals: make(chan os.Signal, 2), ended: make(chan struct{})}
	s.workCtx, s.stopWork = context.WithCancel(ctx)
	s.fetchCtx, s.stopFetching = context.WithCancel(s.workCtx)
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		defer close(s.ended)
		if sig, ok := <-s.signals; ok {
			log.Info("draining; a second signal stops immediately", zap.Stringer("signal", sig))
			s.stopFetching()
		}
		if sig, ok := <-s.signals; ok {
			log.Warn("drain cut short, stopping immediately", zap.Stringer("signal", sig))
			s.stopWork()
		}
	}()
	return s
}

// close stops listening for signals and waits for the goroutine.
func (s *shutdown) close() {
	signal.Stop(s.signals)
	close(s.signals)
	<-s.ended
	s.stopFetching()
	s.stopWork()
}
