// Package testkit holds what tests share: a network in memory, oracles that watch the broker, and a ledger of what became of each record.
// Production code never imports it.
package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
)

// Network is TCP in memory, made of net.Pipe, for testing/synctest: a goroutine that waits on it is durably blocked, so that a bubble's clock
// can advance. Any host name may be listened on. An address where nobody listens refuses with ECONNREFUSED, as a host's kernel does.
// The zero value is ready. Safe for concurrent use, and not to be copied.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	port      int
}

// firstPort is where port 0 begins to be given out: low enough to be seen as ours, high enough not to meet a port that a test names.
const firstPort = 20000

// Listen listens at host:port; port 0 means any that is free, and Addr then tells which.
func (n *Network) Listen(network, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listening in memory: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		port = strconv.Itoa(firstPort + n.port)
		n.port++
	}
	addr := pipeAddr(net.JoinHostPort(host, port))
	if n.listeners[string(addr)] != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: addr, Err: syscall.EADDRINUSE}
	}
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	l := &listener{network: n, addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[string(addr)] = l
	return l, nil
}

// DialContext connects to what listens at host:port, and waits until it accepts.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: network, Addr: pipeAddr(address), Err: syscall.ECONNREFUSED}
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, refused
	}
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Addr: pipeAddr(address), Err: ctx.Err()}
	}
}

// Transport is a new HTTP transport over the network, without proxy or compression.
func (n *Network) Transport() *http.Transport {
	return &http.Transport{DialContext: n.DialContext, DisableCompression: true}
}

type listener struct {
	network *Network
	addr    pipeAddr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.addr))
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

type pipeAddr string

func (pipeAddr) Network() string  { return "tcp" }
func (a pipeAddr) String() string { return string(a) }

// TB is what the helpers here need of a test; *testing.T and *rapid.T have it.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// ServeHTTP runs an HTTP server at host:port of the network until the test ends, and gives its base URL.
func ServeHTTP(t TB, n *Network, address string, h http.Handler) string {
	t.Helper()
	l, err := n.Listen("tcp", address)
	if err != nil {
		t.Fatalf("serving HTTP in memory: %v", err)
	}
	server := &http.Server{Handler: h}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving HTTP in memory at %s: %v", l.Addr(), err)
		}
	})
	return "http://" + l.Addr().String()
}
