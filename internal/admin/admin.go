// Package admin serves metrics, health, readiness and status over HTTP to operators and metric
// collectors. Health is judged by the progress of the partitions. The server exposes no
// configuration, no records and no profiles. It has no authentication, so it belongs on a loopback
// or cluster-internal address.
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

// DefaultStuckAfter is how long a partition may make no progress without a stated reason before the
// process counts as unhealthy.
const DefaultStuckAfter = 15 * time.Minute

// Config configures a Server.
type Config struct {
	// StuckAfter returns the pipeline's replacement for DefaultStuckAfter. If it is nil,
	// DefaultStuckAfter applies to all pipelines.
	StuckAfter func(pipeline string) time.Duration
}

// Server serves /metrics, /healthz, /readyz and /status for GET and HEAD requests.
type Server struct {
	cfg       Config
	pipelines func() []*observe.Pipeline
	log       *zap.Logger
	mux       *http.ServeMux
}

// Limits of requests and connections. Writing the metrics of every partition takes far less time.
const (
	readTimeout     = 10 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
	maxHeaderBytes  = 16 << 10
	maxScrapes      = 4 // concurrent scrapes of /metrics
)

// NewServer returns a server for the metrics in reg and the status of the pipelines. It calls
// pipelines for each request; the result must contain every configured pipeline.
func NewServer(cfg Config, reg *prometheus.Registry, pipelines func() []*observe.Pipeline, log *zap.Logger) *Server {
	if cfg.StuckAfter == nil {
		cfg.StuckAfter = func(string) time.Duration { return DefaultStuckAfter }
	}
	s := &Server{cfg: cfg, pipelines: pipelines, log: log, mux: http.NewServeMux()}
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: zap.NewStdLog(log), Registry: reg, MaxRequestsInFlight: maxScrapes, Timeout: writeTimeout / 2,
		EnableOpenMetrics: true,
	}))
	s.mux.HandleFunc("GET /healthz", s.handleHealth)
	s.mux.HandleFunc("GET /readyz", s.handleReadiness)
	s.mux.HandleFunc("GET /status", s.handleStatus)
	return s
}

// Handle registers a handler for a pattern of [http.ServeMux]. It must be called before ServeOn.
// Handlers that change something should accept only POST, so that following a link cannot trigger
// them.
func (s *Server) Handle(pattern string, handler http.Handler) { s.mux.Handle(pattern, handler) }

// Handler returns the handler of all registered patterns.
func (s *Server) Handler() http.Handler { return s.mux }

// ServeOn serves on the listener until ctx ends, and closes the listener. It then gives requests in
// progress 5 s to finish, and returns nil.
func (s *Server) ServeOn(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s.mux, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: zap.NewStdLog(s.log),
	}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	s.log.Info("admin server is listening", zap.Stringer("address", listener.Addr()))
	select {
	case err := <-serving:
		return fmt.Errorf("serving admin requests: %w", err)
	case <-ctx.Done():
	}
	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(shutdownCtx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if served := <-serving; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stopping the admin server: %w", err)
	}
	return nil
}
