//go:build lab

package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pinhole/internal/transport"
)

// A hostNet is the network as seen from inside a namespace: what the lab's own
// phones get, so that they are the same ones as on the in-memory network. It
// implements transport.Net.
type hostNet struct{ n *Netns }

// ListenPacket opens a UDP socket.
func (h hostNet) ListenPacket(_ context.Context, local netip.AddrPort) (pc transport.PacketConn, err error) {
	err = h.n.do(func() (err error) {
		pc, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(local))
		return err
	})
	return pc, err
}

// Listen opens a TCP listener.
func (h hostNet) Listen(_ context.Context, local netip.AddrPort) (ln transport.Listener, err error) {
	err = h.n.do(func() error {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(local))
		ln = listener{l}
		return err
	})
	return ln, err
}

// Dial connects; it returns at ctx's end.
func (h hostNet) Dial(ctx context.Context, local, remote netip.AddrPort) (c transport.Conn, err error) {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		})
		return errors.Join(err, set)
	}}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	err = h.n.do(func() error {
		dialled, err := d.DialContext(ctx, "tcp", remote.String())
		if err == nil {
			c = conn{dialled.(*net.TCPConn)}
		}
		return err
	})
	return c, err
}

// Interfaces returns the namespace's addresses.
func (h hostNet) Interfaces() (out []netip.Prefix, err error) {
	err = h.n.do(func() error {
		addrs, err := net.InterfaceAddrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, p)
			}
		}
		return err
	})
	return out, err
}

// Source asks the routing table.
func (h hostNet) Source(remote netip.Addr) (src netip.Addr, err error) {
	err = h.n.do(func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
		if err != nil {
			return err
		}
		src = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		return c.Close()
	})
	return src, err
}

// Watch sees no change: phones of the lab keep their addresses.
func (h hostNet) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

type listener struct{ *net.TCPListener }

// Accept waits for the next connection.
func (l listener) Accept() (transport.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

type conn struct{ *net.TCPConn }

// SetUserTimeout sets TCP_USER_TIMEOUT.
func (c conn) SetUserTimeout(d time.Duration) error {
	return c.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

// Unacked reads TCP_INFO.
func (c conn) Unacked() (n int, err error) {
	err = c.control(func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			n = int(info.Unacked)
		}
		return err
	})
	return n, err
}

// TryWrite leaves it all to Write.
func (c conn) TryWrite([]byte) (int, error) { return 0, nil }

// Abort closes with a reset.
func (c conn) Abort() error {
	return errors.Join(c.SetLinger(0), c.Close())
}

func (c conn) control(f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var asked error
	err = raw.Control(func(fd uintptr) { asked = f(int(fd)) })
	return errors.Join(err, asked)
}
