package transport_test

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pinhole/internal/transport"
)

// eventually waits until ok, for ten seconds at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within 10 s", what)
		case <-tick.C:
		}
	}
}

// leaks fails the test when it leaves goroutines behind.
func leaks(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		eventually(t, "goroutines gone", func() bool { return runtime.NumGoroutine() <= before })
	})
}

// TestSystemTCP: over real sockets: serve, dial, redial from the same port
// after a reset, user timeout and unacknowledged segments.
func TestSystemTCP(t *testing.T) {
	leaks(t)
	sys := transport.System()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ln, err := sys.Listen(ctx, ap("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	near, far := &owner{}, &owner{answer: "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"}
	done := make(chan error, 2)
	go func() {
		done <- transport.ServeStream(ctx, ln, transport.TCP, nil, nil, transport.DefaultLimits(), far)
	}()
	local := netip.AddrPort{}
	for range 2 {
		c, err := sys.Dial(ctx, local, ap(ln.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetUserTimeout(15 * time.Second); err != nil {
			t.Error(err)
		}
		s := transport.NewStream(c, transport.TCP, transport.DefaultLimits(), near)
		if local.IsValid() && s.Local() != local {
			t.Errorf("from %v, want %v", s.Local(), local)
		}
		local = s.Local()
		go func() { done <- s.Run(ctx) }()
		_ = s.Send([]byte(options("a", "body")), netip.AddrPort{})
		_ = s.Ping()
		var heard string
		eventually(t, "answer and pong", func() bool {
			heard += near.events()
			return strings.HasPrefix(heard, "broken 0") && strings.Contains(heard, "pong")
		})
		eventually(t, "all acknowledged", func() bool {
			n, err := c.Unacked()
			if err != nil {
				t.Fatal(err)
			}
			return n == 0
		})
		s.Abort(errors.New("redial"))
		if err := <-done; reason(err) != "redial" {
			t.Error(err)
		}
		near.events()
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestSystemDialRefused: the error tells.
func TestSystemDialRefused(t *testing.T) {
	sys := transport.System()
	ln, err := sys.Listen(context.Background(), ap("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	addr := ap(ln.Addr().String())
	_ = ln.Close()
	if _, err := sys.Dial(context.Background(), netip.AddrPort{}, addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

// TestSystemUDP: a real socket, as ServeUDP sees it.
func TestSystemUDP(t *testing.T) {
	leaks(t)
	sys := transport.System()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	pc, err := sys.ListenPacket(ctx, ap("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{answer: "SIP/2.0 200 OK\r\n\r\n"}
	done := make(chan error, 1)
	go func() {
		done <- transport.ServeUDP(ctx, pc, nil, transport.DefaultLimits(), o)
	}()
	c, err := sys.ListenPacket(ctx, ap("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := ap(pc.LocalAddr().String())
	if _, err := c.WriteToUDPAddrPort([]byte(options("a", "")), to); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 100)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil || string(b[:n]) != o.answer || from != to {
		t.Errorf("%q from %v, %v", b[:n], from, err)
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestSystemAddresses: loopback is always there.
func TestSystemAddresses(t *testing.T) {
	sys := transport.System()
	all, err := sys.Interfaces()
	if err != nil || !slices.Contains(all, netip.MustParsePrefix("127.0.0.1/8")) {
		t.Errorf("%v, %v", all, err)
	}
	if a, err := sys.Source(netip.MustParseAddr("127.0.0.1")); err != nil || a != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("Source: %v, %v", a, err)
	}
}
