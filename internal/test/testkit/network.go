// Package testkit has what the tests of several packages share: an in-memory network, an oracle for
// offset commits, and a ledger of what became of each record. Production code does not import it.
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

// Network is an in-memory TCP made of net.Pipe, for testing/synctest: a goroutine that waits on one
// of its connections is durably blocked, so the clock of a bubble can advance. Any host name may be
// listened on. Dialing an address without a listener fails with ECONNREFUSED. The zero value is
// ready to use. A Network is safe for concurrent use and must not be copied.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	ports     int // assigned for port 0 so far
}

// firstPort is the first port assigned for port 0. It is above the ports that tests name.
const firstPort = 20000

// Listen listens on host:port. Port 0 assigns a free port, which the listener's Addr returns.
func (n *Network) Listen(network, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listening in memory: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		port = strconv.Itoa(firstPort + n.ports)
		n.ports++
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

// DialContext connects to the listener on host:port, and waits until the connection is accepted.
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

// NewTransport returns a new HTTP transport over the network, without a proxy or compression.
func (n *Network) NewTransport() *http.Transport {
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

// TB is the part of testing.TB that this package needs; *testing.T and *rapid.T implement it.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// ServeHTTP runs an HTTP server on host:port of the network until the test ends, and returns its
// base URL.
func ServeHTTP(t TB, network *Network, address string, handler http.Handler) string {
	t.Helper()
	l, err := network.Listen("tcp", address)
	if err != nil {
		t.Fatalf("serving HTTP in memory: %v", err)
	}
	server := &http.Server{Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving HTTP in memory at %s: %v", l.Addr(), err)
		}
	})
	return "http://" + l.Addr().String()
}
