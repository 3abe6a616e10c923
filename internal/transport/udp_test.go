package transport_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
)

// phoneUDP is the phone's socket, and a way to send from it and see what the
// owner hears.
func (l *lan) phoneUDP() (transport.PacketConn, func(string) string) {
	l.t.Helper()
	pc, err := l.phone.ListenPacket(l.ctx, ap("192.168.1.10:5060"))
	if err != nil {
		l.t.Fatal(err)
	}
	return pc, func(datagram string) string {
		l.t.Helper()
		if _, err := pc.WriteToUDPAddrPort([]byte(datagram), ap(server)); err != nil {
			l.t.Fatal(err)
		}
		synctest.Wait()
		return l.owner.events()
	}
}

// TestUDPSplit: SIP, STUN and nothing are told apart.
func TestUDPSplit(t *testing.T) {
	stun := "\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl"
	for _, c := range []struct{ name, in, want string }{
		{"message", options("a", "body"), "OPTIONS a body=4"},
		{"octets past the end", options("a", "body") + options("b", ""), "OPTIONS a body=4"},
		{"body too short", strings.Replace(options("a", "body"), "Length: 4", "Length: 5", 1), "broken 400 close=false"},
		{"garbage", "garbage", "broken 0 close=false"},
		{"leading CRLF", "\r\n" + options("a", ""), "OPTIONS a body=0"},
		{"empty", "", ""},
		{"CRLF", "\r\n", ""},
		{"ping", "\r\n\r\n", ""},
		{"NULs", "\x00\x00\x00\x00", ""},
		{"STUN", stun, "stun 20"},
		{"STUN, longer", stun + "attributes", "stun 30"},
		{"STUN, cut", stun[:19], "broken 0 close=false"},
		{"no cookie", strings.Replace(stun, "\x21", "\x22", 1), "broken 0 close=false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(l *lan) {
				l.serveUDP()
				_, says := l.phoneUDP()
				l.want("opened", l.owner.events(), "opened UDP")
				l.want("heard", says(c.in), c.want)
			})
		})
	}
}

func TestUDPAnswer(t *testing.T) {
	onLAN(t, func(l *lan) {
		l.owner.answer = "SIP/2.0 200 OK\r\n\r\n"
		l.serveUDP()
		pc, says := l.phoneUDP()
		says(options("a", ""))
		b := make([]byte, 100)
		n, from, err := pc.ReadFromUDPAddrPort(b)
		if err != nil || string(b[:n]) != l.owner.answer || from != ap(server) {
			t.Errorf("%q from %v, %v", b[:n], from, err)
		}
		s := l.owner.socket(0)
		if s.Proto() != transport.UDP || s.Local() != ap(server) || s.Remote().IsValid() || s.Proto().Reliable() {
			t.Errorf("%v %v %v", s.Proto(), s.Local(), s.Remote())
		}
	})
}

// TestUDPStrangers get silence and are counted.
func TestUDPStrangers(t *testing.T) {
	onLAN(t, func(l *lan) {
		refused := l.count()
		l.allow = func(a netip.Addr) bool { return a.String() == "192.168.1.77" }
		l.serveUDP()
		_, says := l.phoneUDP()
		l.want("heard", says(options("a", "")), "opened UDP")
		l.want("counted", refused(), "stranger 192.168.1.10")
	})
}

// refusing is a socket whose reads fail at times, as after an ICMP error.
type refusing struct {
	transport.PacketConn
	fails int
	reads atomic.Int32
}

func (r *refusing) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	r.reads.Add(1)
	if r.fails > 0 {
		r.fails--
		return 0, netip.AddrPort{}, &net.OpError{Op: "read", Err: syscall.ECONNREFUSED}
	}
	return r.PacketConn.ReadFromUDPAddrPort(b)
}

// TestUDPErrors: a transient error ends nothing, and does not make the reader
// spin.
func TestUDPErrors(t *testing.T) {
	onLAN(t, func(l *lan) {
		pc, err := l.server.ListenPacket(l.ctx, ap(server))
		if err != nil {
			t.Fatal(err)
		}
		r := &refusing{PacketConn: pc, fails: 20}
		go func() { l.done <- transport.ServeUDP(l.ctx, r, nil, l.lim, l.owner) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := r.reads.Load(); n < 15 || n > 21 {
			t.Errorf("%d reads in 10 s", n)
		}
		time.Sleep(time.Minute)
		_, says := l.phoneUDP()
		l.want("afterwards", says(options("a", "")), "opened UDP; OPTIONS a body=0")
	})
}

// mapped is a socket of both families: it shows IPv4 as ::ffff:a.b.c.d.
type mapped struct{ transport.PacketConn }

func (m mapped) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := m.PacketConn.ReadFromUDPAddrPort(b)
	return n, netip.AddrPortFrom(netip.AddrFrom16(from.Addr().As16()), from.Port()), err
}

// TestUDPMapped: an IPv4 peer is one to allow and to the owner.
func TestUDPMapped(t *testing.T) {
	onLAN(t, func(l *lan) {
		pc, err := l.server.ListenPacket(l.ctx, ap(server))
		if err != nil {
			t.Fatal(err)
		}
		allow := func(a netip.Addr) bool { return a == netip.MustParseAddr("192.168.1.10") }
		go func() { l.done <- transport.ServeUDP(l.ctx, mapped{pc}, allow, l.lim, l.owner) }()
		_, says := l.phoneUDP()
		l.want("heard", says(options("a", "")), "opened UDP; OPTIONS a body=0")
	})
}

// TestUDPEnds: by its context, by Close and by the socket.
func TestUDPEnds(t *testing.T) {
	why := errors.New("settings changed")
	for _, c := range []struct {
		name string
		end  func(l *lan, pc transport.PacketConn)
		want string
	}{
		{"context", func(l *lan, _ transport.PacketConn) { l.stop() }, "context canceled"},
		{"close", func(l *lan, _ transport.PacketConn) { l.owner.socket(0).Close(why) }, "settings changed"},
		{"socket", func(_ *lan, pc transport.PacketConn) { _ = pc.Close() }, "closed"},
		{"context while waiting", func(l *lan, pc transport.PacketConn) { l.stop() }, "context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(l *lan) {
				pc, err := l.server.ListenPacket(l.ctx, ap(server))
				if err != nil {
					t.Fatal(err)
				}
				r := &refusing{PacketConn: pc}
				if c.name == "context while waiting" {
					r.fails = 1 << 30
				}
				go func() { l.done <- transport.ServeUDP(l.ctx, r, nil, l.lim, l.owner) }()
				synctest.Wait()
				c.end(l, pc)
				l.want("error", reason(<-l.done), c.want)
				l.want("events", l.owner.events(), "opened UDP; closed: "+c.want)
				if _, err := l.server.ListenPacket(context.Background(), ap(server)); err != nil {
					t.Errorf("the port is not free: %v", err)
				}
			})
		})
	}
}
