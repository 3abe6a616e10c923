package media

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/metrics"
	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

func pooled(n int) func(*Config) { return func(c *Config) { c.Pool = n } }

func TestPorts(t *testing.T) {
	for _, c := range []struct {
		low, high uint16
		want      int
	}{{20000, 29999, 5000}, {20001, 20004, 1}, {20000, 20001, 1}, {20000, 20000, 0}, {0, 0, 0}, {65534, 65535, 1}, {0, 3, 1}, {9, 8, 0}} {
		p := newPorts(c.low, c.high)
		seen := map[uint16]bool{}
		for {
			port, err := p.take(0)
			if err != nil {
				break
			}
			if port%2 != 0 || port < c.low || port >= c.high || seen[port] {
				t.Errorf("%d-%d: port %d", c.low, c.high, port)
			}
			seen[port] = true
		}
		if len(seen) != c.want {
			t.Errorf("%d-%d: %d pairs, want %d", c.low, c.high, len(seen), c.want)
		}
	}
	a, b := newPorts(20000, 29999), newPorts(20000, 29999)
	same := 0
	for range 20 {
		x, _ := a.take(0)
		y, _ := b.take(0)
		if x == y {
			same++
		}
	}
	if same == 20 {
		t.Error("the ports are not random")
	}
}

func TestQuarantine(t *testing.T) {
	var m metrics.Set
	inWorld(t, plainNAT, func(c *Config) { c.Ports, c.Metrics = [2]uint16{20000, 20003}, &m }, func(w *world) {
		s := w.open(1)
		none := func() {
			t.Helper()
			if _, err := w.relay.Open(w.ctx, 1, boxLAN, boxLAN); !errors.Is(err, ErrNoPorts) {
				t.Fatalf("error %v", err)
			}
		}
		none()
		s.Close()
		time.Sleep(quarantine - 1)
		none()
		time.Sleep(time.Nanosecond)
		w.open(1)
		none()
		if got := m.Get(metrics.MediaPortsExceeded); got != 3 {
			t.Errorf("%d times no ports, want 3", got)
		}
	})
}

// TestPortsOfOthers: another program holds ports of our range.
func TestPortsOfOthers(t *testing.T) {
	inWorld(t, plainNAT, func(c *Config) { c.Ports = [2]uint16{20000, 20011} }, func(w *world) {
		for _, a := range []string{"192.168.1.2:20000", "192.168.1.2:20003", "0.0.0.0:20005", "192.168.1.2:20008"} {
			w.end(w.box, a)
		}
		s := w.open(1)
		if l := w.relay.Load(); l.Used != 2 || l.Free != 4 {
			t.Errorf("%+v", l)
		}
		if _, err := w.relay.Open(w.ctx, 1, boxLAN, boxLAN); !errors.Is(err, ErrNoPorts) {
			t.Errorf("error %v", err)
		}
		s.Close()
		if _, err := w.relay.Open(w.ctx, 1, netip.MustParseAddr("192.0.2.1"), boxLAN); !errors.Is(err, ErrNoPorts) {
			t.Errorf("an address that is not ours: error %v", err)
		}
	})
}

func TestAdvertised(t *testing.T) {
	random := memnet.NAT{} // the outside port is not the inside one
	silent := func(c *Config) {
		c.STUN = func(ctx context.Context, _ transport.PacketConn) (netip.AddrPort, error) {
			<-ctx.Done()
			return netip.AddrPort{}, ctx.Err()
		}
	}
	none := func(c *Config) { c.STUN = nil }
	for name, c := range map[string]struct {
		change func(*Config)
		public netip.Addr
		stun   bool
		want   netip.Addr
		took   time.Duration
	}{
		"stun":              {nil, publicIP, true, publicIP, 0},
		"stun, no public":   {nil, netip.Addr{}, true, publicIP, 0},
		"silent":            {silent, publicIP, false, publicIP, probeBudget},
		"silent, no public": {silent, netip.Addr{}, false, boxLAN, probeBudget},
		"no stun":           {none, publicIP, false, publicIP, 0},
		"no nat":            {none, netip.Addr{}, false, boxLAN, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, random, c.change, func(w *world) {
				w.relay.SetPublic(boxLAN, c.public)
				start := time.Now()
				s := w.open(2)
				if took := time.Since(start); took != c.took {
					t.Errorf("Open took %v, want %v", took, c.took)
				}
				for i := range 2 {
					a := s.Advertised(WAN, i)
					local := s.legs[WAN][i].rtp.local
					if a.RTP.Addr() != c.want || a.RTCP.Addr() != c.want {
						t.Errorf("advertised %v, want %v", a, c.want)
					}
					want := Addrs{netip.AddrPortFrom(c.want, local.Port()), netip.AddrPortFrom(c.want, local.Port()+1)}
					if c.stun {
						want.RTP, _ = w.nat.Mapped(false, local, w.stun.addr)
						want.RTCP, _ = w.nat.Mapped(false, s.legs[WAN][i].rtcp.local, w.stun.addr)
					}
					if a != want {
						t.Errorf("advertised %v, want %v", a, want)
					}
				}
			})
		})
	}
}

// TestPublicChanges: running calls advertise the new address with their ports.
func TestPublicChanges(t *testing.T) {
	inWorld(t, plainNAT, pooled(2), func(w *world) {
		w.relay.SetPublic(boxLAN, publicIP)
		synctest.Wait()
		s := w.open(1)
		before := s.Advertised(WAN, 0)
		w.nat.SetOutside("203.0.113.9")
		now := netip.MustParseAddr("203.0.113.9")
		w.relay.SetPublic(boxLAN, now)
		after := s.Advertised(WAN, 0)
		want := Addrs{netip.AddrPortFrom(now, before.RTP.Port()), netip.AddrPortFrom(now, before.RTCP.Port())}
		if after != want {
			t.Errorf("advertised %v, want %v", after, want)
		}
		synctest.Wait()
		if s := w.open(1); s.Advertised(WAN, 0).RTP.Addr() != now {
			t.Errorf("a new call advertises %v", s.Advertised(WAN, 0))
		}
	})
}

// TestPool: set-up never waits, and the mappings live.
func TestPool(t *testing.T) {
	nat := plainNAT
	nat.UDPTimeout = 30 * time.Second
	inWorld(t, nat, pooled(4), func(w *world) {
		w.wan.Delay(50 * time.Millisecond)
		if l := w.relay.Load(); l.Pooled != 0 {
			t.Errorf("%+v", l)
		}
		w.relay.SetPublic(boxLAN, publicIP)
		time.Sleep(time.Second)
		if l := w.relay.Load(); l.Pooled != 4 || l.Used != 4 {
			t.Errorf("%+v", l)
		}
		time.Sleep(10 * time.Minute)
		start := time.Now()
		s := w.open(1)
		if took := time.Since(start); took != 0 {
			t.Errorf("Open took %v", took)
		}
		l := s.legs[WAN][0]
		if m, ok := w.nat.Mapped(false, l.rtp.local, w.stun.addr); !ok || m != s.Advertised(WAN, 0).RTP {
			t.Errorf("mapped %v, %t, advertised %v", m, ok, s.Advertised(WAN, 0))
		}
		time.Sleep(time.Second)
		if l := w.relay.Load(); l.Pooled != 4 || l.Used != 6 {
			t.Errorf("not filled again: %+v", l)
		}
		for range 3 { // more than there are
			w.open(2)
		}
		time.Sleep(time.Second)
		if l := w.relay.Load(); l.Pooled != 4 {
			t.Errorf("%+v", l)
		}

		w.nat.Block(true) // the pool's mappings die unseen: they are not handed out
		time.Sleep(2 * poolRefresh)
		if l := w.relay.Load(); l.Pooled != 0 {
			t.Errorf("with a dead STUN server: %+v", l)
		}
		w.nat.Block(false)
		time.Sleep(poolRefresh + 5*time.Second)
		if l := w.relay.Load(); l.Pooled != 4 {
			t.Errorf("not recovered: %+v", l)
		}
	})
}
