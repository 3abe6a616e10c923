package memnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
)

var bg = context.Background()

func TestBind(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		h := w.provider
		is := func(what string, err error, want syscall.Errno) {
			t.Helper()
			if want == 0 && err != nil || want != 0 && !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		_, err := h.ListenPacket(bg, ap("198.51.100.10:5060"))
		is("udp", err, 0)
		_, err = h.ListenPacket(bg, ap("198.51.100.10:5060"))
		is("udp twice", err, syscall.EADDRINUSE)
		_, err = h.ListenPacket(bg, ap("0.0.0.0:5060"))
		is("udp, any address over one", err, syscall.EADDRINUSE)
		_, err = h.ListenPacket(bg, ap("198.51.100.11:5060"))
		is("udp, other address", err, 0)
		_, err = h.ListenPacket(bg, ap("192.0.2.1:5060"))
		is("udp, not ours", err, syscall.EADDRNOTAVAIL)
		l, err := h.Listen(bg, ap("0.0.0.0:5060"))
		is("tcp beside udp", err, 0)
		_, err = h.Listen(bg, ap("198.51.100.10:5060"))
		is("tcp twice", err, syscall.EADDRINUSE)
		_, err = h.Dial(bg, ap("198.51.100.10:5060"), ap("198.51.100.11:5060"))
		is("dial from a listener's port", err, syscall.EADDRINUSE)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		_, err = h.Listen(bg, ap("198.51.100.10:5060"))
		is("tcp after close", err, 0)
		a, err := h.ListenPacket(bg, ap("198.51.100.10:0"))
		is("udp, any port", err, 0)
		b, err := h.ListenPacket(bg, netip.AddrPort{})
		is("udp, anything", err, 0)
		if a.LocalAddr().String() == b.LocalAddr().String() || a.LocalAddr().(*net.UDPAddr).Port == 0 {
			t.Errorf("any port gave %v and %v", a.LocalAddr(), b.LocalAddr())
		}
	})
}

// TestWildcard: a socket bound to no address gets what comes for all of them,
// and one bound to an address goes first.
func TestWildcard(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		any4, any6 := w.udp(w.provider, "0.0.0.0:1000"), w.udp(w.provider, "[::]:2000")
		a, a6 := w.udp(w.phone, "192.168.1.10:5060"), w.udp(w.phone, "[2001:db8:1::10]:5060")
		w.want("second address", w.seen(a, any4, "198.51.100.11:1000")[:9], "203.0.113")
		w.want("v4 on [::]", w.seen(a, any6, "198.51.100.11:2000")[:9], "203.0.113")
		w.want("v6 on [::]", w.seen(a6, any6, "[2001:db8:2::10]:2000"), "[2001:db8:1::10]:5060")
		w.want("v6 on 0.0.0.0", w.seen(a6, any4, "[2001:db8:2::10]:1000"), "nothing")
		w.want("reply comes from the routed address", w.seen(any4, a, w.seen(a, any4, "198.51.100.10:1000")), "198.51.100.10:1000")
	})
}

func TestLoopback(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		a, b := w.udp(w.phone, "127.0.0.1:1"), w.udp(w.provider, "127.0.0.1:1")
		w.want("own loopback", w.seen(a, a, "127.0.0.1:1"), "127.0.0.1:1")
		from, _ := w.arrived(b)
		w.want("another's loopback", from, "nothing")
		if _, err := a.WriteToUDPAddrPort([]byte("x"), ap("198.51.100.10:1")); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("from loopback to the world: %v", err)
		}
		c := w.udp(w.phone, "192.168.1.10:1")
		w.want("own address", w.seen(c, c, "192.168.1.10:1"), "192.168.1.10:1")
		w.phone.Down()
		w.want("loopback without a cable", w.seen(a, a, "127.0.0.1:1"), "127.0.0.1:1")
	})
}

func TestInterfacesAndSource(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		w.phone.Add(w.wan, "198.51.100.77")
		got, err := w.phone.Interfaces()
		if err != nil || len(got) != 5 || got[2].String() != "192.168.1.10/24" {
			t.Errorf("Interfaces: %v, %v", got, err)
		}
		for remote, want := range map[string]string{
			"192.168.1.1": "192.168.1.10", "127.0.0.1": "127.0.0.1", "198.51.100.10": "192.168.1.10",
			"2001:db8:2::1": "2001:db8:1::10", "192.168.1.10": "192.168.1.10",
		} {
			if got, err := w.phone.Source(netip.MustParseAddr(remote)); err != nil || got.String() != want {
				t.Errorf("Source(%s) = %v, %v, want %s", remote, got, err, want)
			}
		}
		w.phone.Remove("2001:db8:1::10")
		if _, err := w.phone.Source(netip.MustParseAddr("2001:db8:2::1")); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("no address of that family: %v", err)
		}
	})
}

// TestWatch: changes of addresses and of the cable are told, until ctx ends.
func TestWatch(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		ctx, cancel := context.WithCancel(bg)
		told := 0
		done := make(chan error)
		go func() { done <- w.phone.Watch(ctx, func() { told++ }) }()
		synctest.Wait()
		for i, change := range []func(){
			func() { w.phone.Add(w.lan, "192.168.1.20") }, func() { w.phone.Remove("192.168.1.10") },
			w.phone.Down, w.phone.Up,
		} {
			change()
			synctest.Wait()
			if told != i+1 {
				t.Errorf("change %d: told %d times", i, told)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestAddressGone: the socket stays and reaches nobody.
func TestAddressGone(t *testing.T) {
	inWorld(t, NAT{PreservePort: true}, func(w *world) {
		a, b := w.udp(w.phone, "192.168.1.10:5060"), w.udp(w.provider, "198.51.100.10:1000")
		p := w.dial("192.168.1.10:40000", "198.51.100.10:5060")
		w.seen(a, b, "198.51.100.10:1000")
		w.phone.Add(w.lan, "192.168.1.20")
		w.phone.Remove("192.168.1.10")
		if _, err := a.WriteToUDPAddrPort([]byte("x"), ap("198.51.100.10:1000")); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("udp: %v", err)
		}
		w.want("udp in", w.seen(b, a, "203.0.113.2:5060"), "nothing")
		w.write(p.near, "lost")
		w.want("tcp", w.read(p.far), "nothing")
		c := w.udp(w.phone, "192.168.1.20:5061")
		w.want("new address", w.seen(c, b, "198.51.100.10:1000"), "203.0.113.2:5061")
	})
}

// deadlines are what PacketConn and Conn have in common.
type deadlines interface {
	SetReadDeadline(time.Time) error
	Close() error
}

func TestDeadlines(t *testing.T) {
	for _, c := range []struct {
		name string
		conn func(w *world) deadlines
		read func(c deadlines) error
	}{
		{"udp", func(w *world) deadlines { return w.udp(w.phone, "192.168.1.10:1") }, func(c deadlines) error {
			_, _, err := c.(transport.PacketConn).ReadFrom(make([]byte, 10))
			return err
		}},
		{"tcp", func(w *world) deadlines { return w.dial("192.168.1.10:0", "198.51.100.10:5060").near }, func(c deadlines) error {
			_, err := c.(net.Conn).Read(make([]byte, 10))
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, NAT{}, func(w *world) {
				conn := c.conn(w)
				start := time.Now()
				_ = conn.SetReadDeadline(start.Add(time.Second))
				err := c.read(conn)
				var timeout net.Error
				if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("deadline: %v", err)
				}
				if d := time.Since(start); d != time.Second {
					t.Errorf("after %v", d)
				}
				if err := c.read(conn); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("still past: %v", err)
				}
				_ = conn.SetReadDeadline(time.Time{})
				done := make(chan error)
				go func() { done <- c.read(conn) }()
				synctest.Wait()
				_ = conn.SetReadDeadline(time.Unix(1, 0))
				if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("deadline set while reading: %v", err)
				}
				_ = conn.SetReadDeadline(time.Time{})
				go func() { done <- c.read(conn) }()
				synctest.Wait()
				_ = conn.Close()
				if err := <-done; !errors.Is(err, net.ErrClosed) {
					t.Errorf("closed while reading: %v", err)
				}
				if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("closed twice: %v", err)
				}
			})
		})
	}
}

// TestUDPClosedPort: nothing comes back.
func TestUDPClosedPort(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		a := w.udp(w.phone, "192.168.1.10:5060")
		w.send(a, "198.51.100.10:9", "hello")
		from, _ := w.arrived(a)
		w.want("answer", from, "nothing")
	})
}
