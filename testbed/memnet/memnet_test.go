package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// A world is a LAN behind a NAT, and a provider on the internet.
type world struct {
	t        *testing.T
	net      *Network
	lan, wan *Segment
	phone    *Host
	provider *Host
	nat      *Gateway
}

// inWorld runs f in a bubble with a world whose NAT is cfg.
func inWorld(t *testing.T, cfg NAT, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		w := &world{
			t: t, net: n,
			lan: n.Segment("lan", netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("2001:db8:1::/64")),
			wan: n.Segment("wan"),
		}
		cfg.Inside, cfg.Outside = w.lan, w.wan
		cfg.InsideAddr, cfg.OutsideAddr = "192.168.1.1", "203.0.113.2"
		w.nat = n.NAT(cfg)
		w.phone = w.lan.Host("192.168.1.10", "2001:db8:1::10")
		w.provider = w.wan.Host("198.51.100.10", "198.51.100.11", "2001:db8:2::10")
		f(w)
		n.Close() // what is left blocked after this fails the bubble
	})
}

func (w *world) udp(h *Host, local string) transport.PacketConn {
	w.t.Helper()
	c, err := h.ListenPacket(context.Background(), ap(local))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// send sends a datagram.
func (w *world) send(from transport.PacketConn, dst, text string) {
	w.t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte(text), ap(dst)); err != nil {
		w.t.Fatal(err)
	}
}

// arrived returns the source and text of the datagram that has arrived at c,
// or "nothing".
func (w *world) arrived(c transport.PacketConn) (from, text string) {
	w.t.Helper()
	b := make([]byte, 4000)
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, src, err := c.ReadFromUDPAddrPort(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "nothing", ""
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return src.String(), string(b[:n])
}

// seen sends a datagram and returns the source that to sees, or "nothing".
func (w *world) seen(from, to transport.PacketConn, dst string) string {
	w.t.Helper()
	w.send(from, dst, "hello")
	src, _ := w.arrived(to)
	return src
}

// A pipe is a TCP connection through the world, with both ends.
type pipe struct {
	near, far transport.Conn
	listener  transport.Listener
}

// dial connects the phone to the provider.
func (w *world) dial(local, remote string) pipe {
	w.t.Helper()
	l, err := w.provider.Listen(context.Background(), ap(remote))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.dialTo(l, local)
}

// dialTo connects the phone to a listener of the provider.
func (w *world) dialTo(l transport.Listener, local string) pipe {
	w.t.Helper()
	c, err := w.phone.Dial(context.Background(), ap(local), ap(l.Addr().String()))
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	return pipe{c, d, l}
}

// write writes text.
func (w *world) write(c net.Conn, text string) {
	w.t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// read returns what is there to read within a millisecond, or the error.
func (w *world) read(c net.Conn) string {
	w.t.Helper()
	return w.readWithin(c, time.Millisecond)
}

func (w *world) readWithin(c net.Conn, d time.Duration) string {
	b := make([]byte, 4000)
	_ = c.SetReadDeadline(time.Now().Add(d))
	n, err := c.Read(b)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing"
	case errors.Is(err, io.EOF):
		return "EOF"
	case err != nil:
		return cause(err)
	}
	return string(b[:n])
}

// cause returns the innermost error.
func cause(err error) string {
	if err == nil {
		return "nil"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

func (w *world) want(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: got %s, want %s", what, got, want)
	}
}
