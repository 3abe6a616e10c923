package memnet

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"pinhole/internal/transport"
)

const (
	udpQueue = 4096  // datagrams a socket holds before it drops
	udpMax   = 65507 // bytes of payload
)

// A PacketConn is a UDP socket of a Host.
type PacketConn struct {
	host   *Host
	local  netip.AddrPort
	queue  []packet
	wake   *sync.Cond
	read   deadline
	write  deadline
	closed bool
}

var _ transport.PacketConn = (*PacketConn)(nil)

// ListenPacket implements transport.Net. A port in use is EADDRINUSE.
func (h *Host) ListenPacket(ctx context.Context, local netip.AddrPort) (transport.PacketConn, error) {
	h.net.lock()
	defer h.net.unlock()
	bind, err := h.bindUDP(local)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(local), Err: sysErr("bind", err)}
	}
	c := &PacketConn{host: h, local: bind, wake: sync.NewCond(&h.net.mu)}
	h.udp[bind.Port()] = append(h.udp[bind.Port()], c)
	return c, nil
}

func (h *Host) bindUDP(local netip.AddrPort) (netip.AddrPort, error) {
	local, err := h.local(local)
	if err != nil {
		return local, err
	}
	used := func(port uint16) bool {
		return slices.ContainsFunc(h.udp[port], func(c *PacketConn) bool { return overlap(c.local.Addr(), local.Addr()) })
	}
	port := local.Port()
	if port == 0 {
		port, err = h.freePort(used)
	} else if used(port) {
		err = syscall.EADDRINUSE
	}
	return netip.AddrPortFrom(local.Addr(), port), err
}

// packetConn returns the socket that takes datagrams for dst, or nil; one
// bound to the address itself is preferred.
func (h *Host) packetConn(dst netip.AddrPort) *PacketConn {
	var found *PacketConn
	for _, c := range h.udp[dst.Port()] {
		if c.local.Addr() == dst.Addr() {
			return c
		}
		if covers(c.local.Addr(), dst.Addr()) {
			found = c
		}
	}
	return found
}

func (c *PacketConn) receive(p packet) {
	if len(c.queue) >= udpQueue {
		return
	}
	c.queue = append(c.queue, p)
	c.wake.Broadcast()
}

// ReadFromUDPAddrPort implements transport.PacketConn; what does not fit in b
// is lost.
func (c *PacketConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	c.host.net.lock()
	defer c.host.net.unlock()
	for {
		switch {
		case c.closed:
			return 0, netip.AddrPort{}, c.opError("read", net.ErrClosed)
		case c.read.passed():
			return 0, netip.AddrPort{}, c.opError("read", os.ErrDeadlineExceeded)
		case len(c.queue) > 0:
			p := c.queue[0]
			c.queue[0] = packet{}
			if c.queue = c.queue[1:]; len(c.queue) == 0 {
				c.queue = nil
			}
			return copy(b, p.data), p.src, nil
		}
		c.host.net.drain()
		c.wake.Wait()
	}
}

// ReadFrom implements net.PacketConn.
func (c *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToUDPAddrPort implements transport.PacketConn. Like a real socket it
// says nothing of datagrams that reach nobody.
func (c *PacketConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.host.net.lock()
	defer c.host.net.unlock()
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	err := c.send(b, to)
	if err != nil {
		return 0, c.opError("write", sysErr("sendto", err))
	}
	return len(b), nil
}

func (c *PacketConn) send(b []byte, to netip.AddrPort) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.write.passed():
		return os.ErrDeadlineExceeded
	case len(b) > udpMax:
		return syscall.EMSGSIZE
	case !to.IsValid() || to.Port() == 0:
		return syscall.EINVAL
	}
	src := c.local
	if src.Addr().IsUnspecified() {
		a, err := c.host.source(to.Addr())
		if err != nil {
			return err
		}
		src = netip.AddrPortFrom(a, src.Port())
	}
	if src.Addr().Is4() != to.Addr().Is4() {
		return syscall.EAFNOSUPPORT
	}
	return c.host.send(packet{src: src, dst: to, data: slices.Clone(b)})
}

// WriteTo implements net.PacketConn; addr must be a *net.UDPAddr.
func (c *PacketConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, c.opError("write", syscall.EINVAL)
	}
	return c.WriteToUDPAddrPort(b, u.AddrPort())
}

// Close implements net.PacketConn.
func (c *PacketConn) Close() error {
	c.host.net.lock()
	defer c.host.net.unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.close()
	return nil
}

func (c *PacketConn) close() {
	c.closed = true
	c.queue = nil
	c.read.set(c.host.net, time.Time{}, nil)
	port := c.local.Port()
	c.host.udp[port] = slices.DeleteFunc(c.host.udp[port], func(o *PacketConn) bool { return o == c })
	if len(c.host.udp[port]) == 0 {
		delete(c.host.udp, port)
	}
	c.wake.Broadcast()
}

// LocalAddr implements net.PacketConn: a *net.UDPAddr.
func (c *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// SetDeadline implements net.PacketConn.
func (c *PacketConn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.read, &c.write) }

// SetReadDeadline implements net.PacketConn.
func (c *PacketConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.read) }

// SetWriteDeadline implements net.PacketConn.
func (c *PacketConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *PacketConn) setDeadlines(t time.Time, ds ...*deadline) error {
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

func (c *PacketConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: net.UDPAddrFromAddrPort(c.local), Err: err}
}

// A deadline wakes those that wait when its time has come.
type deadline struct {
	at    time.Time
	event *event
}

// set sets the deadline to t, zero for none.
func (d *deadline) set(n *Network, t time.Time, wake func()) {
	n.cancel(d.event)
	d.at, d.event = t, nil
	if wake == nil {
		return
	}
	if !t.IsZero() && time.Now().Before(t) {
		d.event = n.at(t, wake)
	}
	wake()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// sysErr names the system call of an errno, as the net package does.
func sysErr(call string, err error) error {
	if no, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError(call, no)
	}
	return err
}
