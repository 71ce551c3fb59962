// Package embedded runs a Kafka cluster and a schema registry inside the process, for the demo and
// for tests.
//
// The cluster is kfake and the registry srfake, both from franz-go. They speak the real protocols,
// so the clients are the real ones. They are more lenient than real servers, so nothing that
// depends on the following is tested by them:
//
//   - Commit metadata has no limit; a Kafka broker refuses more than offset.metadata.max.bytes
//     (4,096).
//   - Commits for partitions that the member does not own are accepted, even from an epoch older
//     than a KIP-848 broker would accept.
//   - There is no replication: no in-sync replicas, no min.insync.replicas, no data loss with a
//     broker.
//   - There are no quotas. Retention and compaction run only on request
//     (kfake.Cluster.ApplyRetention, Compact).
//   - Groups do not wait for more members before the first assignment, and in a test binary KIP-848
//     heartbeats are 100 ms apart.
//   - The registry considers all schemas compatible and serves ccompat paths only at its root.
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
	// Listen is called with "tcp" and a loopback address; port 0 means any free port.
	Listen(network, address string) (net.Listener, error)
	// DialContext connects to a listener's address.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Options configure a platform. The zero value is one broker on a free loopback port with its data
// in memory.
type Options struct {
	// Brokers is the number of brokers; 0 means 1.
	Brokers int
	// Ports has one port per broker; nil means free ports. Clients survive a restart of the cluster
	// only if it keeps its ports.
	Ports []int
	// DataDir stores topics, records, groups and commits, so that a later StartPlatform finds them,
	// even after the process was killed; a power failure may lose the latest ones. If it is empty,
	// they are kept in memory. The registry is never stored: schemas get the same ids again if they
	// are registered in the same order.
	DataDir string
	// Network is the network to use; nil means TCP on the loopback interface.
	Network Network
}

// Platform is a running cluster with its registry. It is safe for concurrent use.
type Platform struct {
	cluster  *kfake.Cluster
	brokers  []string
	registry *srfake.Registry
	server   *http.Server
	url      string
	network  Network
	served   chan error // receives the error of the registry's server; closed once read
}

// StartPlatform starts a cluster and a registry. The caller must call Close.
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

// Brokers returns the addresses of the brokers as host:port.
func (p *Platform) Brokers() []string { return slices.Clone(p.brokers) }

// RegistryURL returns the base URL of the registry, without a trailing slash.
func (p *Platform) RegistryURL() string { return p.url }

// DialContext connects to a broker or to the registry. It can be used as kgo.Dialer and as
// http.Transport.DialContext.
func (p *Platform) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return p.network.DialContext(ctx, network, address)
}

// Cluster returns the cluster, to inject faults and to inspect groups. After Close its methods
// block forever.
func (p *Platform) Cluster() *kfake.Cluster { return p.cluster }

// Registry returns the registry, to inject faults and to inspect schemas.
func (p *Platform) Registry() *srfake.Registry { return p.registry }

// Close stops both servers, waits for the registry's server to end and flushes the data in DataDir.
// A second Close does nothing.
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
