package media

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"pinhole/internal/metrics"
	"pinhole/internal/transport"
)

// An inlet is a socket as STUN sees it while the relay reads it: its reader
// passes on what it would drop. Writes go to the socket itself.
type inlet struct {
	transport.PacketConn
	life context.Context // of the session
	in   chan datagram

	mu       sync.Mutex // guards following
	deadline time.Time
	changed  chan struct{} // closed when deadline is
}

type datagram struct {
	b    []byte
	from netip.AddrPort
}

// newInlet opens the inlet of a port.
func newInlet(p *port, life context.Context) *inlet {
	c := &inlet{PacketConn: p.conn, life: life, in: make(chan datagram, 8), changed: make(chan struct{})}
	p.inlet.Store(c)
	return c
}

// refuse counts a packet as foreign, or hands it to STUN while that waits.
func (p *port) refuse(b []byte, from netip.AddrPort) {
	c := p.inlet.Load()
	if c == nil {
		p.foreign.Add(1)
		p.metrics.Add(metrics.MediaStrangers)
		return
	}
	select {
	case c.in <- datagram{slices.Clone(b), from}:
	default: // STUN is sent again
	}
}

// ReadFromUDPAddrPort implements transport.PacketConn.
func (c *inlet) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		c.mu.Lock()
		deadline, changed := c.deadline, c.changed
		c.mu.Unlock()
		var passed <-chan time.Time
		if !deadline.IsZero() {
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			passed = t.C
		}
		select {
		case d := <-c.in:
			return copy(b, d.b), d.from, nil
		case <-passed:
			return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
		case <-c.life.Done():
			return 0, netip.AddrPort{}, net.ErrClosed
		case <-changed:
		}
	}
}

// ReadFrom implements net.PacketConn.
func (c *inlet) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

// SetReadDeadline implements net.PacketConn; it wakes a reader.
func (c *inlet) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// SetDeadline implements net.PacketConn; writes need none.
func (c *inlet) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// Close implements net.PacketConn: the socket is not the prober's to close.
func (c *inlet) Close() error { return nil }
