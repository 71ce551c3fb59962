// Package embedded runs a Kafka cluster and a schema registry inside the process, for the demo and for tests.
//
// The cluster is kfake and the registry srfake, both of franz-go: they speak the real protocols, so that clients are the real
// ones. They are kinder than the servers they stand for, and nothing that hangs on these points is proved here:
//
//   - Commit metadata has no limit; a Kafka broker refuses more than offset.metadata.max.bytes (4,096).
//   - Commits of partitions that the member does not own are taken, also from an older epoch than a KIP-848 broker would take.
//   - There is no replication: no in-sync set, no min.insync.replicas, no data lost with a broker.
//   - There are no quotas, and retention and compaction run only when asked for (kfake.Cluster.ApplyRetention, Compact).
//   - Groups do not wait for more members before the first assignment, and in a test binary KIP-848 heartbeats are 100 ms apart.
//   - The registry takes every schema as compatible, and knows ccompat paths only at its root.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// Network is where the servers listen and how clients reach them.
type Network interface {
	// Listen takes "tcp" and a loopback address, whose port may be 0 for any that is free.
	Listen(network, address string) (net.Listener, error)
	// DialContext reaches what listens at the address.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Options say what to start. The zero value is one broker on a free loopback port with its data in memory.
type Options struct {
	// Brokers is their number, from 1; 0 means 1.
	Brokers int
	// Ports are the brokers' ports, one a broker; nil for free ones. Clients outlive a restart of the cluster only when it keeps its ports.
	Ports []int
	// DataDir keeps topics, records, groups and commits, so that a later Start finds them, also after the process was killed; a loss of
	// power may cost the latest. Empty: memory. The registry is never kept: schemas get the same ids again when registered in the same order.
	DataDir string
	// Network is where to listen; nil: TCP on the loopback interface.
	Network Network
}

// Platform is a running cluster with its registry. Safe for concurrent use.
type Platform struct {
	cluster  *kfake.Cluster
	brokers  []string
	registry *srfake.Registry
	server   *http.Server
	url      string
	network  Network
	served   chan error // why the registry's server ended; closed once read
}

// StartPlatform runs the cluster and the registry until Close.
func StartPlatform(opts Options) (*Platform, error) {
	if opts.Network == nil {
		opts.Network = loopbackNetwork{}
	}
	cluster, err := newCluster(opts)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded cluster: %w", err)
	}
	listener, err := opts.Network.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("listening for the embedded registry: %w", err)
	}
	platform := &Platform{
		cluster:  cluster,
		brokers:  cluster.ListenAddrs(),
		registry: srfake.NewRegistry(),
		url:      "http://" + listener.Addr().String(),
		network:  opts.Network,
		served:   make(chan error, 1),
	}
	platform.server = &http.Server{Handler: platform.registry.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { platform.served <- platform.server.Serve(listener) }()
	return platform, nil
}

func newCluster(options Options) (*kfake.Cluster, error) {
	brokers := max(options.Brokers, 1)
	if options.Brokers < 0 || (options.Ports != nil && len(options.Ports) != brokers) {
		return nil, fmt.Errorf(
			"%d brokers with %d ports: allowed are 1 or more brokers, and one port a broker or none", options.Brokers,
			len(options.Ports),
		)
	}
	opts := []kfake.Opt{kfake.NumBrokers(brokers), kfake.ListenFn(options.Network.Listen)}
	if options.Ports != nil {
		opts = append(opts, kfake.Ports(options.Ports...))
	}
	if options.DataDir != "" {
		opts = append(opts, kfake.DataDir(options.DataDir))
	}
	return kfake.NewCluster(opts...)
}

// Brokers are the addresses of the brokers started, host:port each.
func (p *Platform) Brokers() []string { return slices.Clone(p.brokers) }

// RegistryURL is the registry's base URL, without a slash at its end.
func (p *Platform) RegistryURL() string { return p.url }

// Dial reaches the brokers and the registry. It fits kgo.Dialer and http.Transport.DialContext.
func (p *Platform) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return p.network.DialContext(ctx, network, address)
}

// Cluster is the cluster itself, to put faults in and to look at groups. After Close its methods block for ever.
func (p *Platform) Cluster() *kfake.Cluster { return p.cluster }

// Registry is the registry itself, to put faults in and to look at schemas.
func (p *Platform) Registry() *srfake.Registry { return p.registry }

// Close stops both and waits for the registry to end. Data in DataDir is written out. A second Close does nothing.
func (p *Platform) Close() error {
	p.cluster.Close()
	if err := p.server.Close(); err != nil {
		return fmt.Errorf("closing the embedded registry: %w", err)
	}
	if err, open := <-p.served; open {
		close(p.served)
		if !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the embedded registry: %w", err)
		}
	}
	return nil
}

type loopbackNetwork struct{}

func (loopbackNetwork) Listen(network, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), network, address)
}

func (loopbackNetwork) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}
