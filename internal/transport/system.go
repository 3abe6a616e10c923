package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// System returns the Net of the machine we run on.
func System() Net { return system{} }

type system struct{}

// ListenPacket implements Net. [::] takes both families.
func (system) ListenPacket(ctx context.Context, local netip.AddrPort) (PacketConn, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, family("udp", local.Addr()), host(local))
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// Listen implements Net. [::] takes both families.
func (system) Listen(ctx context.Context, local netip.AddrPort) (Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // its sockets answer no TCP_INFO, and middleboxes strip it
	l, err := lc.Listen(ctx, family("tcp", local.Addr()), host(local))
	if err != nil {
		return nil, err
	}
	return tcpListener{l.(*net.TCPListener)}, nil
}

// Dial implements Net.
func (system) Dial(ctx context.Context, local, remote netip.AddrPort) (Conn, error) {
	d := net.Dialer{Control: control(local.Addr().IsValid())}
	d.KeepAlive = -1 // the flow keeps itself open, or is not to be kept open
	d.SetMultipathTCP(false)
	if local != (netip.AddrPort{}) {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	c, err := d.DialContext(ctx, family("tcp", remote.Addr()), remote.String())
	if err != nil {
		return nil, err
	}
	conn, err := newTCPConn(c.(*net.TCPConn))
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if local.IsValid() {
		if err := conn.SetLinger(0); err != nil { // the kernel's half-closed rest would block the port
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// Interfaces implements Net.
func (system) Interfaces() ([]netip.Prefix, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var found []netip.Prefix
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// Source implements Net: a connected UDP socket has the address, and sends
// nothing.
func (system) Source(remote netip.Addr) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return addrPort(c.LocalAddr()).Addr(), nil
}

// Watch implements Net.
func (system) Watch(ctx context.Context, changed func()) error { return watch(ctx, changed) }

// family narrows network to IPv4 for an IPv4 address; the others take both.
func family(network string, a netip.Addr) string {
	if a.Is4() {
		return network + "4"
	}
	return network
}

// host is a as the net package reads it; no address is any address.
func host(a netip.AddrPort) string {
	if !a.IsValid() {
		return ":" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

type tcpListener struct{ *net.TCPListener }

// Accept implements Listener.
func (l tcpListener) Accept() (Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return newTCPConn(c)
}

// A tcpConn has TCP_NODELAY, as every connection of the net package.
type tcpConn struct {
	*net.TCPConn
	raw syscall.RawConn
}

func newTCPConn(c *net.TCPConn) (tcpConn, error) {
	raw, err := c.SyscallConn()
	return tcpConn{c, raw}, err
}

// TryWrite writes what fits into the socket's buffer now.
func (c tcpConn) TryWrite(b []byte) (n int, err error) {
	failed := c.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	switch {
	case failed != nil:
		return 0, failed
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	case err != nil:
		return 0, &net.OpError{Op: "write", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
	}
	return n, nil
}

// Abort implements Conn.
func (c tcpConn) Abort() error {
	_ = c.SetLinger(0) // fails only on a closed connection, as Close will
	return c.Close()
}
