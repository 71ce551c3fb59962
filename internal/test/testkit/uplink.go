package testkit

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Uplink makes all network connections of one process, and can cut them at once, which is what a
// crash looks like from outside: the peers see their connections end and nothing else. No new
// connection is made until AllowConnections. It is safe for concurrent use.
type Uplink struct {
	dial func(context.Context, string, string) (net.Conn, error)

	mu    sync.Mutex
	conns []net.Conn
	cut   bool
}

// NewUplink returns an Uplink that makes its connections with dial.
func NewUplink(dial func(context.Context, string, string) (net.Conn, error)) *Uplink {
	return &Uplink{dial: dial}
}

// DialContext connects, or fails with ENETDOWN after CutConnections. Its type fits kgo.Dialer and
// http.Transport.DialContext.
func (u *Uplink) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := u.dial(ctx, network, address)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil && u.cut {
		_ = conn.Close()
		err = &net.OpError{Op: "dial", Net: network, Addr: pipeAddr(address), Err: syscall.ENETDOWN}
	}
	if err != nil {
		return nil, err
	}
	u.conns = append(u.conns, conn)
	return conn, nil
}

// CutConnections closes all connections and refuses new ones until AllowConnections.
func (u *Uplink) CutConnections() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cut = true
	for _, conn := range u.conns {
		_ = conn.Close()
	}
	u.conns = nil
}

// AllowConnections allows new connections again.
func (u *Uplink) AllowConnections() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cut = false
}
