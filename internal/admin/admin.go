// Package admin is the process's HTTP face for operators and collectors: metrics, health by progress, readiness and status. It shows no
// configuration, no record and no profile. It has no authentication of its own: it is meant for a loopback or cluster address.
package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"sluice/internal/observe"
)

// DefaultStuckAfter is how long a record may stay unsettled without a stated reason before the process counts as unhealthy.
const DefaultStuckAfter = 15 * time.Minute

// Config is when a pipeline counts as stuck.
type Config struct {
	// StuckAfter gives it for a pipeline, in the manner of DefaultStuckAfter; nil is that for all.
	StuckAfter func(pipeline string) time.Duration
}

// Server serves GET and HEAD of /metrics, /healthz, /readyz and /status.
type Server struct {
	cfg       Config
	pipelines func() []*observe.Pipeline
	log       *zap.Logger
	mux       *http.ServeMux
}

// The bounds of one request. A scrape of every partition is written in far less.
const (
	readTimeout     = 10 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
	headerMax       = 16 << 10 // bytes
	scrapesMax      = 4        // at a time
)

// NewServer makes a server of the metrics in reg and of the pipelines, which are asked for at each request and are to be all that the configuration names.
func NewServer(cfg Config, reg *prometheus.Registry, pipelines func() []*observe.Pipeline, log *zap.Logger) *Server {
	if cfg.StuckAfter == nil {
		cfg.StuckAfter = func(string) time.Duration { return DefaultStuckAfter }
	}
	s := &Server{cfg: cfg, pipelines: pipelines, log: log, mux: http.NewServeMux()}
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: zap.NewStdLog(log), Registry: reg, MaxRequestsInFlight: scrapesMax, Timeout: writeTimeout / 2, EnableOpenMetrics: true,
	}))
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /status", s.status)
	return s
}

// Handle adds a page or command, by a pattern of http.ServeMux. It is called before Serve. Commands take POST alone, so that no link can give one.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Handler is what the server serves.
func (s *Server) Handler() http.Handler { return s.mux }

// ServeOn serves on a listener, which it closes, until ctx ends, then lets running requests end within 5 s. It gives nil after that.
func (s *Server) ServeOn(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.mux, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerMax, ErrorLog: zap.NewStdLog(s.log),
	}
	serving := make(chan error, 1)
	go func() { serving <- srv.Serve(l) }()
	s.log.Info("admin server is listening", zap.Stringer("address", l.Addr()))
	select {
	case err := <-serving:
		return fmt.Errorf("serving admin requests: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if served := <-serving; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stopping the admin server: %w", err)
	}
	return nil
}
