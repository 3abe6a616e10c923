package memnet

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"pinhole/internal/transport"
)

// A Conn is one end of a TCP connection of a Host.
type Conn struct {
	host          *Host
	local, remote netip.AddrPort
	id, peer      uint64 // this end and the other one; 0: not known yet
	wake          *sync.Cond
	read, write   deadline

	established bool
	listener    *Listener // that it came through; nil: dialled
	accepted    bool      // Accept gave it away
	err         error     // why it is over
	closed      bool      // Close was called
	finished    bool      // FIN is queued: nothing more to write
	active      bool      // we finished first: TIME-WAIT is ours
	bound       bool      // dialled from a local address: dies with a reset

	sender
	receiver
}

var _ transport.Conn = (*Conn)(nil)

// Dial implements transport.Net. A port nobody listens on refuses, silence is
// ETIMEDOUT after 127 s as on Linux. A local port may be used for several
// remotes; EADDRNOTAVAIL says that this very pair of addresses is in use or in
// TIME-WAIT, EADDRINUSE that a listener has the port.
func (h *Host) Dial(ctx context.Context, local, remote netip.AddrPort) (transport.Conn, error) {
	h.net.lock()
	defer h.net.unlock()
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	c, err := h.dial(ctx, local, remote)
	if err != nil {
		return nil, &net.OpError{
			Op: "dial", Net: "tcp", Source: net.TCPAddrFromAddrPort(local),
			Addr: net.TCPAddrFromAddrPort(remote), Err: sysErr("connect", err),
		}
	}
	return c, nil
}

func (h *Host) dial(ctx context.Context, local, remote netip.AddrPort) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := h.connect(local, remote)
	if err != nil {
		return nil, err
	}
	c := h.newConn(t)
	c.bound = local.IsValid()
	c.queueSegment(&segment{syn: true})
	stop := context.AfterFunc(ctx, func() {
		h.net.lock()
		defer h.net.unlock()
		c.wake.Broadcast()
	})
	defer stop()
	for !c.established && c.err == nil {
		if ctx.Err() != nil {
			c.drop(ctx.Err())
			break
		}
		h.net.drain()
		if c.established || c.err != nil {
			break
		}
		c.wake.Wait()
	}
	if c.err != nil {
		return nil, c.err
	}
	return c, nil
}

// connect chooses and checks the local end of a connection.
func (h *Host) connect(local, remote netip.AddrPort) (tuple, error) {
	local, err := h.local(local)
	if err != nil {
		return tuple{}, err
	}
	if local.Addr().IsUnspecified() {
		a, err := h.source(remote.Addr())
		if err != nil {
			return tuple{}, err
		}
		local = netip.AddrPortFrom(a, local.Port())
	}
	if local.Addr().Is4() != remote.Addr().Is4() {
		return tuple{}, syscall.EAFNOSUPPORT
	}
	if local.Port() == 0 {
		port, err := h.freePort(func(p uint16) bool { return len(h.tcp[p]) > 0 || h.connected(p) })
		return tuple{netip.AddrPortFrom(local.Addr(), port), remote}, err
	}
	if h.listener(local) != nil {
		return tuple{}, syscall.EADDRINUSE
	}
	t := tuple{local, remote}
	if h.conns[t] != nil || time.Now().Before(h.waits[t]) {
		return tuple{}, syscall.EADDRNOTAVAIL
	}
	return t, nil
}

// connected says that a connection uses the local port.
func (h *Host) connected(port uint16) bool {
	for t := range h.conns {
		if t.local.Port() == port {
			return true
		}
	}
	return false
}

// Conns returns the host's TCP connections that are not over, oldest first: to
// Reset them, or to see that there are no more than there should be.
func (h *Host) Conns() []*Conn {
	h.net.lock()
	defer h.net.unlock()
	return h.connections()
}

// connections returns the connections in the order of their making.
func (h *Host) connections() []*Conn {
	all := make([]*Conn, 0, len(h.conns))
	for _, c := range h.conns {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Conn) int { return int(a.id) - int(b.id) })
	return all
}

func (h *Host) newConn(t tuple) *Conn {
	c := &Conn{host: h, local: t.local, remote: t.remote, id: h.net.id(), wake: sync.NewCond(&h.net.mu)}
	c.window, c.rto, c.base = 1, firstRTO, minRTO
	h.conns[t] = c
	delete(h.waits, t)
	return c
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	c.host.net.lock()
	defer c.host.net.unlock()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.read.passed():
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case len(c.got) > 0:
			return c.take(b), nil
		case c.ended:
			return 0, io.EOF
		case c.err != nil:
			return 0, c.opError("read", sysErr("read", c.err))
		}
		c.host.net.drain()
		c.wake.Wait()
	}
}

// Write implements net.Conn. Each call begins a segment of its own; it blocks
// while the send buffer is full.
func (c *Conn) Write(b []byte) (int, error) {
	c.host.net.lock()
	defer c.host.net.unlock()
	n := 0
	for first := true; first || n < len(b); first = false {
		if err := c.writable(); err != nil {
			return n, c.opError("write", sysErr("write", err))
		}
		if len(b) == 0 {
			break
		}
		end := min(len(b), n+MSS)
		c.queueSegment(&segment{data: slices.Clone(b[n:end])})
		n = end
	}
	return n, nil
}

// TryWrite writes what fits into the send buffer now.
func (c *Conn) TryWrite(b []byte) (int, error) {
	c.host.net.lock()
	defer c.host.net.unlock()
	n := 0
	for n < len(b) && c.held < sendBuffer {
		if err := c.writable(); err != nil {
			return n, c.opError("write", sysErr("write", err))
		}
		end := min(len(b), n+MSS)
		c.queueSegment(&segment{data: slices.Clone(b[n:end])})
		n = end
	}
	return n, nil
}

// writable waits for room in the send buffer.
func (c *Conn) writable() error {
	for {
		switch {
		case c.closed:
			return net.ErrClosed
		case c.err != nil:
			return c.err
		case c.finished:
			return syscall.EPIPE
		case c.write.passed():
			return os.ErrDeadlineExceeded
		case c.held < sendBuffer:
			return nil
		}
		c.host.net.drain()
		if c.held < sendBuffer {
			continue
		}
		c.wake.Wait()
	}
}

// Close implements net.Conn: the peer gets what was written and a FIN, or a
// RST when data was left unread here.
func (c *Conn) Close() error {
	c.host.net.lock()
	defer c.host.net.unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.close()
	return nil
}

func (c *Conn) close() {
	if c.closed {
		return
	}
	if len(c.got) > 0 {
		c.abort()
		return
	}
	c.closed = true
	c.stopTimers()
	c.finish()
	c.wake.Broadcast()
}

// CloseWrite sends a FIN and keeps reading.
func (c *Conn) CloseWrite() error {
	c.host.net.lock()
	defer c.host.net.unlock()
	if c.closed || c.finished || c.err != nil {
		return c.opError("close", net.ErrClosed)
	}
	c.finish()
	return nil
}

// Abort implements transport.Conn: a RST, and nothing stays behind.
func (c *Conn) Abort() error {
	c.host.net.lock()
	defer c.host.net.unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.abort()
	return nil
}

func (c *Conn) abort() {
	if c.err == nil {
		c.transmit(&header{rst: true, ack: true, seq: c.next}, nil)
	}
	c.closed = true
	c.drop(net.ErrClosed)
}

// Reset is what a middlebox or a provider's load balancer does: both ends find
// the connection reset by the other one.
func (c *Conn) Reset() {
	c.host.net.lock()
	defer c.host.net.unlock()
	if c.err != nil {
		return
	}
	c.transmit(&header{rst: true, ack: true, seq: c.next}, nil)
	c.drop(syscall.ECONNRESET)
}

// stopTimers forgets the deadlines.
func (c *Conn) stopTimers() {
	c.read.set(c.host.net, time.Time{}, nil)
	c.write.set(c.host.net, time.Time{}, nil)
}

// drop ends the connection here and now, without a word to the peer.
func (c *Conn) drop(err error) {
	if c.err == nil {
		c.err = err
	}
	c.queued, c.held = nil, 0
	c.host.net.cancel(c.retry)
	c.stopTimers()
	t := tuple{c.local, c.remote}
	if c.host.conns[t] == c {
		delete(c.host.conns, t)
	}
	if l := c.listener; l != nil {
		l.ready = slices.DeleteFunc(l.ready, func(o *Conn) bool { return o == c })
	}
	c.wake.Broadcast()
}

// LocalAddr implements net.Conn: a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn: a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.read, &c.write) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.read) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *Conn) setDeadlines(t time.Time, ds ...*deadline) error {
	c.host.net.lock()
	defer c.host.net.unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range ds {
		d.set(c.host.net, t, c.wake.Broadcast)
	}
	return nil
}

// SetUserTimeout implements transport.Conn.
func (c *Conn) SetUserTimeout(d time.Duration) error {
	c.host.net.lock()
	defer c.host.net.unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.userTimeout = d
	c.rearm()
	return nil
}

// Unacked implements transport.Conn.
func (c *Conn) Unacked() (int, error) {
	c.host.net.lock()
	defer c.host.net.unlock()
	if c.closed {
		return 0, c.opError("get", net.ErrClosed)
	}
	return int(c.top - c.first), nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
