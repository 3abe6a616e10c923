package memnet

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"pinhole/internal/transport"
)

// A Listener is a listening TCP socket of a Host.
type Listener struct {
	host   *Host
	local  netip.AddrPort
	ready  []*Conn
	wake   *sync.Cond
	closed bool
}

var _ transport.Listener = (*Listener)(nil)

// Listen implements transport.Net. A second listener on a port is EADDRINUSE;
// connections that use the port are no hindrance.
func (h *Host) Listen(ctx context.Context, local netip.AddrPort) (transport.Listener, error) {
	h.net.lock()
	defer h.net.unlock()
	bind, err := h.bindTCP(local)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(local), Err: sysErr("bind", err)}
	}
	l := &Listener{host: h, local: bind, wake: sync.NewCond(&h.net.mu)}
	h.tcp[bind.Port()] = append(h.tcp[bind.Port()], l)
	return l, nil
}

func (h *Host) bindTCP(local netip.AddrPort) (netip.AddrPort, error) {
	local, err := h.local(local)
	if err != nil {
		return local, err
	}
	used := func(port uint16) bool {
		return slices.ContainsFunc(h.tcp[port], func(l *Listener) bool { return overlap(l.local.Addr(), local.Addr()) })
	}
	port := local.Port()
	if port == 0 {
		port, err = h.freePort(func(port uint16) bool { return used(port) || h.connected(port) })
	} else if used(port) {
		err = syscall.EADDRINUSE
	}
	return netip.AddrPortFrom(local.Addr(), port), err
}

// listener returns the socket that takes connections to dst, or nil.
func (h *Host) listener(dst netip.AddrPort) *Listener {
	var found *Listener
	for _, l := range h.tcp[dst.Port()] {
		if l.local.Addr() == dst.Addr() {
			return l
		}
		if covers(l.local.Addr(), dst.Addr()) {
			found = l
		}
	}
	return found
}

// Accept implements transport.Listener.
func (l *Listener) Accept() (transport.Conn, error) {
	l.host.net.lock()
	defer l.host.net.unlock()
	for {
		if l.closed {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
		}
		if len(l.ready) > 0 {
			c := l.ready[0]
			l.ready = l.ready[1:]
			c.accepted = true
			return c, nil
		}
		l.host.net.drain()
		l.wake.Wait()
	}
}

// Addr implements transport.Listener: a *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// Close implements transport.Listener; connections not yet accepted are reset.
func (l *Listener) Close() error {
	l.host.net.lock()
	defer l.host.net.unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.close()
	return nil
}

func (l *Listener) close() {
	l.closed = true
	port := l.local.Port()
	l.host.tcp[port] = slices.DeleteFunc(l.host.tcp[port], func(o *Listener) bool { return o == l })
	if len(l.host.tcp[port]) == 0 {
		delete(l.host.tcp, port)
	}
	for _, c := range l.host.connections() {
		if c.listener == l && !c.accepted {
			c.abort()
		}
	}
	l.ready = nil
	l.wake.Broadcast()
}
