package testkit

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Uplink is one process's connections, which can be cut all at once: what a crash looks like from outside. Nothing is said to the other side
// but that the connections ended, and no new one comes about before Mend. Safe for concurrent use.
type Uplink struct {
	dial func(context.Context, string, string) (net.Conn, error)

	mu    sync.Mutex
	conns []net.Conn
	cut   bool
}

// NewUplink makes connections by dial until it is cut.
func NewUplink(dial func(context.Context, string, string) (net.Conn, error)) *Uplink {
	return &Uplink{dial: dial}
}

// Dial connects; it fits kgo.Dialer and http.Transport.DialContext.
func (l *Uplink) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.dial(ctx, network, address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.cut {
		_ = conn.Close()
		err = &net.OpError{Op: "dial", Net: network, Addr: pipeAddr(address), Err: syscall.ENETDOWN}
	}
	if err != nil {
		return nil, err
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

// Cut ends all connections and refuses new ones, until Mend.
func (l *Uplink) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// Restore lets new connections come about again.
func (l *Uplink) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}
