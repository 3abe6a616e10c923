package memnet

import (
	"context"
	"net/netip"
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
		defer n.Close()
		w := &world{
			t: t, net: n,
			lan: n.Segment("lan", netip.MustParsePrefix("192.168.1.0/24")),
			wan: n.Segment("wan"),
		}
		cfg.Inside, cfg.Outside = w.lan, w.wan
		cfg.InsideAddr, cfg.OutsideAddr = "192.168.1.1", "203.0.113.2"
		w.nat = n.NAT(cfg)
		w.phone = w.lan.Host("192.168.1.10")
		w.provider = w.wan.Host("198.51.100.10", "198.51.100.11")
		f(w)
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

// exchange sends one datagram and returns whence it came at to, or !IsValid.
func (w *world) exchange(from, to transport.PacketConn, dst string) netip.AddrPort {
	w.t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte("hello"), ap(dst)); err != nil {
		w.t.Fatal(err)
	}
	return w.arrived(to)
}

// arrived returns the source of the next datagram within a second.
func (w *world) arrived(c transport.PacketConn) netip.AddrPort {
	b := make([]byte, 1500)
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return netip.AddrPort{}
	}
	return from
}

func TestUDP(t *testing.T) {
	inWorld(t, NAT{PreservePort: true}, func(w *world) {
		a, b := w.udp(w.phone, "192.168.1.10:5060"), w.udp(w.provider, "198.51.100.10:5060")
		from := w.exchange(a, b, "198.51.100.10:5060")
		if from != ap("203.0.113.2:5060") {
			t.Fatalf("seen from %v", from)
		}
		if back := w.exchange(b, a, from.String()); back != ap("198.51.100.10:5060") {
			t.Fatalf("answer from %v", back)
		}
	})
}

func TestTCP(t *testing.T) {
	inWorld(t, NAT{PreservePort: true}, func(w *world) {
		l, err := w.provider.Listen(context.Background(), ap("198.51.100.10:5060"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := w.phone.Dial(context.Background(), ap("192.168.1.10:40000"), ap("198.51.100.10:5060"))
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := d.RemoteAddr().String(); got != "203.0.113.2:40000" {
			t.Fatalf("seen from %v", got)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := d.Read(b)
		if err != nil || string(b[:n]) != "hello" {
			t.Fatalf("read %q, %v", b[:n], err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(b); err == nil || err.Error() != "EOF" {
			t.Fatalf("after close: %v", err)
		}
	})
}
