package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"pinhole/internal/transport"
)

// A Host is one machine; it is the transport.Net of the program that runs on
// it. Safe for concurrent use.
type Host struct {
	net      *Network
	ifaces   []iface
	udp      map[uint16][]*PacketConn
	tcp      map[uint16][]*Listener
	conns    map[tuple]*Conn
	waits    map[tuple]time.Time // TIME-WAIT, by its end
	nextPort uint16
	down     bool
	watchers map[chan struct{}]bool
}

var _ transport.Net = (*Host)(nil)

// An iface is one address on one segment.
type iface struct {
	seg  *Segment
	addr netip.Addr
	bits int
}

// A tuple names a TCP connection at one end.
type tuple struct{ local, remote netip.AddrPort }

// firstPort begins the ephemeral ports.
const firstPort = 32768

// Host adds a host with these addresses.
func (s *Segment) Host(addrs ...string) *Host {
	n := s.net
	h := &Host{
		net:      n,
		udp:      make(map[uint16][]*PacketConn),
		tcp:      make(map[uint16][]*Listener),
		conns:    make(map[tuple]*Conn),
		waits:    make(map[tuple]time.Time),
		nextPort: firstPort,
		watchers: make(map[chan struct{}]bool),
	}
	n.lock()
	n.hosts = append(n.hosts, h)
	n.unlock()
	for _, a := range addrs {
		h.Add(s, a)
	}
	return h
}

// Add gives the host one more address, on the segment s: an event for Watch.
// It panics when the address is not one or is taken.
func (h *Host) Add(s *Segment, addr string) {
	h.net.lock()
	defer h.net.unlock()
	a := netip.MustParseAddr(addr)
	if _, ok := s.nodes[a]; ok {
		panic(fmt.Sprintf("memnet: %v is taken on %s", a, s.name))
	}
	bits := a.BitLen()
	for _, p := range s.prefixes {
		if p.Contains(a) {
			bits = p.Bits()
		}
	}
	s.nodes[a] = h
	h.ifaces = append(h.ifaces, iface{s, a, bits})
	h.changed()
}

// Remove takes the address away: an event for Watch. Sockets bound to it stay
// and reach nobody.
func (h *Host) Remove(addr string) {
	h.net.lock()
	defer h.net.unlock()
	a := netip.MustParseAddr(addr)
	for i, f := range h.ifaces {
		if f.addr == a {
			delete(f.seg.nodes, a)
			h.ifaces = slices.Delete(h.ifaces, i, i+1)
			h.changed()
			return
		}
	}
	panic(fmt.Sprintf("memnet: no address %v to remove", a))
}

// Down pulls the cable: sockets stay, packets vanish both ways.
func (h *Host) Down() { h.link(true) }

// Up plugs the cable in again.
func (h *Host) Up() { h.link(false) }

func (h *Host) link(down bool) {
	h.net.lock()
	defer h.net.unlock()
	h.down = down
	h.changed()
}

// Kill closes all sockets as the kernel does when their process dies: UDP
// ports are free, TCP peers see a FIN, or a RST where data was left unread or
// the connection was dialled from a local address.
func (h *Host) Kill() {
	h.net.lock()
	defer h.net.unlock()
	for _, l := range h.listeners() {
		l.close()
	}
	for _, c := range h.connections() {
		if c.bound {
			c.abort()
		} else {
			c.close()
		}
	}
	h.forgetUDP()
}

// Crash is a power failure: all sockets are gone and nobody is told. What
// arrives for them afterwards is answered with a reset.
func (h *Host) Crash() {
	h.net.lock()
	defer h.net.unlock()
	h.forget()
}

func (h *Host) forget() {
	for _, l := range h.listeners() {
		l.close()
	}
	for _, c := range h.connections() {
		c.closed = true
		c.drop(net.ErrClosed)
	}
	clear(h.waits)
	h.forgetUDP()
}

func (h *Host) forgetUDP() {
	for _, socks := range h.udp {
		for _, c := range slices.Clone(socks) {
			c.close()
		}
	}
}

func (h *Host) listeners() []*Listener {
	var all []*Listener
	for _, ls := range h.tcp {
		all = append(all, ls...)
	}
	return all
}

// changed wakes the watchers.
func (h *Host) changed() {
	for w := range h.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Watch implements transport.Net: Add, Remove, Down and Up are changes.
func (h *Host) Watch(ctx context.Context, changed func()) error {
	w := make(chan struct{}, 1)
	h.net.lock()
	h.watchers[w] = true
	h.net.unlock()
	defer func() {
		h.net.lock()
		delete(h.watchers, w)
		h.net.unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w:
			changed()
		}
	}
}

// Interfaces implements transport.Net.
func (h *Host) Interfaces() ([]netip.Prefix, error) {
	h.net.lock()
	defer h.net.unlock()
	all := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}
	for _, f := range h.ifaces {
		all = append(all, netip.PrefixFrom(f.addr, f.bits))
	}
	return all, nil
}

// Source implements transport.Net.
func (h *Host) Source(remote netip.Addr) (netip.Addr, error) {
	h.net.lock()
	defer h.net.unlock()
	return h.source(remote.Unmap())
}

func (h *Host) source(remote netip.Addr) (netip.Addr, error) {
	if remote.IsLoopback() || h.owns(remote) {
		return remote, nil
	}
	if f, ok := h.route(remote); ok {
		return f.addr, nil
	}
	return netip.Addr{}, syscall.ENETUNREACH
}

// owns says that a is an address of this host, loopback included.
func (h *Host) owns(a netip.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(h.ifaces, func(f iface) bool { return f.addr == a })
}

// route returns the interface to dst: the one whose segment holds dst, else
// the first that has a way out.
func (h *Host) route(dst netip.Addr) (iface, bool) {
	var out iface
	for _, f := range h.ifaces {
		switch {
		case f.addr.Is4() != dst.Is4():
		case f.seg.contains(dst):
			return f, true
		case !out.addr.IsValid() && (f.seg.gateway != nil || len(f.seg.prefixes) == 0):
			out = f
		}
	}
	return out, out.addr.IsValid()
}

// send sends p from this host. A source address that is gone is an error.
func (h *Host) send(p packet) error {
	p.ttl = hops
	if !h.owns(p.src.Addr()) {
		return syscall.ENETUNREACH
	}
	if h.owns(p.dst.Addr()) {
		h.net.queue = append(h.net.queue, delivery{h, nil, p})
		return nil
	}
	f, ok := h.route(p.dst.Addr())
	if !ok || p.src.Addr().IsLoopback() {
		return syscall.ENETUNREACH
	}
	if !h.down {
		f.seg.send(h, p)
	}
	return nil
}

// receive hands a packet to its socket.
func (h *Host) receive(p packet, in *Segment) {
	if in != nil && (h.down || !h.owns(p.dst.Addr()) || p.dst.Addr().IsLoopback()) {
		return
	}
	if p.tcp != nil {
		h.receiveTCP(p)
		return
	}
	if c := h.packetConn(p.dst); c != nil {
		c.receive(p)
	}
}

// local checks and completes an address to bind to.
func (h *Host) local(local netip.AddrPort) (netip.AddrPort, error) {
	a := local.Addr().Unmap()
	if !a.IsValid() {
		a = netip.IPv4Unspecified()
	}
	if !a.IsUnspecified() && !h.owns(a) {
		return local, syscall.EADDRNOTAVAIL
	}
	return netip.AddrPortFrom(a, local.Port()), nil
}

// freePort returns the next ephemeral port that is not in use.
func (h *Host) freePort(used func(port uint16) bool) (uint16, error) {
	for range 1<<16 - firstPort {
		p := h.nextPort
		h.nextPort++
		if h.nextPort < firstPort {
			h.nextPort = firstPort
		}
		if !used(p) {
			return p, nil
		}
	}
	return 0, syscall.EADDRINUSE
}

// overlap says that two sockets bound to a and b would get the same packets.
func overlap(a, b netip.Addr) bool {
	return a == b || covers(a, b) || covers(b, a)
}

// covers says that a socket bound to a gets packets for b. As on Linux, [::]
// takes both families.
func covers(a, b netip.Addr) bool {
	return a == b || a.IsUnspecified() && (a.Is6() || b.Is4())
}
