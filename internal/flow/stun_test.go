package flow

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

const stun2 = "198.51.100.21:3478"

// TestSTUNOverUDP: from the SIP socket itself, at once and then every 24 to
// 29 s; a change is asked for twice.
func TestSTUNOverUDP(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		var seen netip.AddrPort
		w.udp(w.provider, one+":5060", func(_ transport.PacketConn, _ []byte, from netip.AddrPort) { seen = from })
		w.stun(stun1)
		w.stun(stun2)
		w.run(Config{Server: one, Transport: "udp", STUN: []string{stun1, "198.51.100.21"}, Rand: drawn(4)})
		w.at(Up, 0)
		if err := w.flow.Send(1, []byte(options)); err != nil {
			t.Error(err)
		}
		mapped := w.at(Probed, 0).Mapped
		synctest.Wait()
		if mapped != seen || mapped.Addr() != netip.MustParseAddr(public) {
			t.Errorf("mapped %v, the provider sees %v", mapped, seen)
		}
		from, at := time.Now(), []time.Time(nil)
		for len(at) < 12 {
			if e := w.next(0, 30*time.Second); e.Kind == Probed {
				at = append(at, time.Now())
				if e.Mapped != mapped {
					t.Errorf("mapped %v", e.Mapped)
				}
			}
		}
		checkGaps(t, "answers", gaps(from, at), 24*time.Second, 29*time.Second)
		w.drain()
		w.nat.Rebind()
		var moved []netip.AddrPort
		for start := time.Now(); time.Since(start) < 29*time.Second; {
			if e := w.next(0, 30*time.Second); e.Kind == Probed {
				moved = append(moved, e.Mapped)
				at = append(at, time.Now())
			}
			if len(moved) == 2 {
				break
			}
		}
		if len(moved) != 2 || moved[0] == mapped || moved[1] != moved[0] || !at[len(at)-1].Equal(at[len(at)-2]) {
			t.Errorf("after a rebind: %v, before %v", moved, mapped)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		for len(w.events) > 0 {
			if e := <-w.events; e.Kind == Probed {
				t.Error("asked again at once")
			}
		}
	})
}

// TestSTUNServers: the one that answers is kept, and left when it falls silent.
func TestSTUNServers(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		w.udp(w.provider, one+":5060", func(transport.PacketConn, []byte, netip.AddrPort) {})
		var asked []netip.AddrPort
		w.lan.Tap(func(p memnet.Packet) {
			if p.Dst.Port() == 3478 {
				asked = append(asked, p.Dst)
			}
		})
		second := w.stun(stun2)
		w.run(Config{Server: one, Transport: "udp", STUN: []string{stun1, stun2}})
		w.at(Up, 0)
		w.at(Probed, 0)
		w.next(ProbeDue, time.Minute)
		w.at(Probed, 0)
		if want := []netip.AddrPort{ap(stun1), ap(stun2), ap(stun2)}; !slices.Equal(asked, want) {
			t.Errorf("asked %v, want %v", asked, want)
		}
		_ = second.Close()
		w.stun(stun1)
		for range 3 {
			if e := w.next(0, time.Minute); e.Kind == Probed {
				return
			}
		}
		t.Error("the other server is not asked")
	})
}

// TestSTUNOverTCP: from the flow's local port; where the server has no TCP,
// the address that UDP tells with our own port.
func TestSTUNOverTCP(t *testing.T) {
	for name, c := range map[string]struct {
		nat   memnet.NAT
		with  func(w *world)
		after time.Duration
		guess bool
	}{
		"both":                      {keeps, func(w *world) { w.stun(stun1); w.stunTCP(stun1) }, 0, false},
		"tcp only":                  {keeps, func(w *world) { w.stunTCP(stun1) }, 0, false},
		"udp only, port preserved":  {memnet.NAT{PreservePort: true}, func(w *world) { w.stun(stun1) }, 0, true},
		"udp only, tcp disappears":  {keeps, func(w *world) { w.stun(stun1); w.dropTCP(stun1) }, stunHead, true},
		"the second server has udp": {keeps, func(w *world) { w.stun(stun2); w.dropTCP(stun1) }, stunHead, true},
		"tcp is slow": {keeps, func(w *world) {
			w.stun(stun1)
			w.stunTCP(stun1)
			w.wan.Delay(50 * time.Millisecond)
		}, 150 * time.Millisecond, false}, // since the SYN's way
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, c.nat, func(t *testing.T, w *world) {
				s := w.serve(one+":5080", nil, true)
				c.with(w)
				cfg := plain
				cfg.STUN = []string{stun1, stun2}
				w.run(cfg)
				up := w.next(Up, time.Minute)
				seen := s.accepted().from()
				if c.guess {
					seen = netip.AddrPortFrom(seen.Addr(), up.Local.Port())
				}
				if e := w.at(Probed, c.after); e.Gen != 1 || e.Mapped != seen {
					t.Errorf("mapped %v, want %v", e.Mapped, seen)
				}
				w.none(25 * time.Second)
			})
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		inWorld(t, keeps, func(t *testing.T, w *world) {
			w.serve(one+":5080", nil, true)
			cfg := plain
			cfg.STUN = []string{stun1, "nowhere.example.com"}
			w.names()
			w.run(cfg)
			w.at(Up, 0)
			w.none(25 * time.Second)
			w.saw("going on without a stun server", "server=nowhere.example.com")
		})
	})
}

// dropTCP drops what goes to addr over TCP.
func (w *world) dropTCP(addr string) {
	w.wan.Filter(func(p memnet.Packet) bool { return !p.TCP || p.Dst != ap(addr) })
}
