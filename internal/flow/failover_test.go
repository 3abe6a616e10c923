package flow

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

// zone gives example.com two servers over TCP.
func (w *world) twoServers() {
	w.record("SRV _sip._tcp.example.com", "10 0 5080 a.example.com.\n20 0 5080 b.example.com.\n")
	w.record("SRV _sip._udp.example.com", "10 0 5080 a.example.com.\n20 0 5080 b.example.com.\n")
	w.record("A a.example.com", one)
	w.record("A b.example.com", two)
}

// TestFailover: the second server when the first is not there; it is kept
// while it works, and the first is taken when it does not.
func TestFailover(t *testing.T) {
	for name, c := range map[string]struct {
		first func(w *world) // what the first server does
		after time.Duration
	}{
		"refuses": {func(*world) {}, 0},
		"silent": {func(w *world) {
			w.wan.Filter(func(p memnet.Packet) bool { return p.Dst != ap(one+":5080") })
		}, dialTime},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				w.names()
				w.twoServers()
				c.first(w)
				s := w.serve(two+":5080", nil, true)
				w.run(Config{Transport: "tcp"})
				up := w.at(Up, c.after)
				if up.Remote != ap(two+":5080") {
					t.Errorf("up: %+v", up)
				}
				w.wan.Filter(nil)
				first := w.serve(one+":5080", nil, true)
				conn := s.accepted()
				_, _ = conn.Write([]byte(answer))
				time.Sleep(time.Hour) // long after the TTL
				w.drain()
				_ = conn.tcp.Abort()
				w.at(Down, 0)
				if again := w.at(Up, 0); again.Remote != up.Remote || !again.SameSource {
					t.Errorf("up again: %+v", again)
				}
				conn = s.accepted()
				_ = s.ln.Close()
				_ = conn.tcp.Abort()
				w.at(Down, 0)
				if again := w.at(Up, 0); again.Remote != ap(one+":5080") || !again.SameSource {
					t.Errorf("up at the other: %+v", again)
				}
				first.accepted()
			})
		})
	}
}

// TestElsewhere: a server that lives but does not serve us is left for the
// next one; when none serves us, we wait.
func TestElsewhere(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		w.names()
		w.twoServers()
		a, b := w.serve(one+":5080", nil, true), w.serve(two+":5080", nil, true)
		w.run(Config{Transport: "tcp"})
		for round, wait := range []time.Duration{0, 45 * time.Second, 90 * time.Second} {
			for i, s := range []*server{a, b} {
				if i > 0 {
					wait = 0
				}
				up := w.at(Up, wait)
				_, _ = s.accepted().Write([]byte(answer))
				w.at(Message, 0)
				w.flow.Fail(up.Gen, errors.Join(errors.New("503"), ErrElsewhere))
				w.at(Down, 0)
			}
			_ = round
		}
		w.saw("err=\"none of the provider's servers serves us\"")
	})
}

// TestFailoverUDP: opening a socket proves nothing, so that the verdict of the
// core leads to the next server, and back.
func TestFailoverUDP(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		w.names()
		w.twoServers()
		reply := func(pc transport.PacketConn, _ []byte, from netip.AddrPort) {
			_, _ = pc.WriteToUDPAddrPort([]byte(answer), from)
		}
		a, b := w.udp(w.provider, one+":5080", reply), w.udp(w.provider, two+":5080", reply)
		_, _ = a, b
		w.run(Config{Transport: "udp"})
		up := w.at(Up, 0)
		for gen, want := range []string{one, two, one} {
			if up.Remote != ap(want+":5080") || up.SameSource != (gen > 0) {
				t.Errorf("up: %+v, want %s", up, want)
			}
			if err := w.flow.Send(up.Gen, []byte(options)); err != nil {
				t.Error(err)
			}
			w.at(Message, 0)
			time.Sleep(15 * time.Second)
			w.flow.Fail(up.Gen, errors.New("OPTIONS not answered"))
			w.at(Down, 0)
			up = w.at(Up, 0)
		}
		// Now both are silent: each is tried once, then we wait.
		w.flow.Fail(up.Gen, errors.New("OPTIONS not answered"))
		w.at(Down, 0)
		up = w.at(Up, 0)
		w.flow.Fail(up.Gen, errors.New("OPTIONS not answered"))
		w.at(Down, 0)
		w.at(Up, 45*time.Second)
	})
}

// TestDNSLate: DNS that does not answer at the start is asked again for ever.
func TestDNSLate(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, true)
		w.run(Config{Transport: "tcp"})
		w.none(time.Hour)
		w.names()
		w.twoServers()
		w.next(Up, time.Hour)
		s.accepted()
		w.saw("flow not made", "dns does not answer")
	})
	inWorld(t, keeps, func(t *testing.T, w *world) { // no such name yet
		w.names()
		s := w.serve(one+":5080", nil, true)
		w.run(Config{Transport: "tcp"})
		w.none(10 * time.Minute)
		w.saw("cause=\"dns knows no such server\"", "remedy=\"check domain and server\"")
		w.twoServers()
		w.next(Up, time.Hour)
		s.accepted()
	})
}

// TestDNSLost: a redial does not wait for a DNS that is down.
func TestDNSLost(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		w.names()
		w.twoServers()
		s := w.serve(one+":5080", nil, true)
		w.run(Config{Transport: "tcp"})
		w.at(Up, 0)
		c := s.accepted()
		_, _ = c.Write([]byte(answer))
		time.Sleep(time.Hour)
		w.drain()
		w.others.Down()
		_ = c.tcp.Abort()
		w.at(Down, 0)
		w.at(Up, 2*time.Second) // for NAPTR, which there was none of, and for SRV
	})
}

// TestAuto: TLS before TCP before UDP, as far as they are there.
func TestAuto(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		w.names()
		w.twoServers()
		w.record("SRV _sips._tcp.example.com", "10 0 5061 a.example.com.\n")
		w.run(Config{Transport: "auto"})
		if up := w.at(Up, 0); up.Proto != transport.UDP || up.Remote != ap(one+":5080") {
			t.Errorf("up: %+v", up)
		}
		w.end()
		w.drain()
		w.serve(two+":5080", nil, true)
		w.run(Config{Transport: "auto"})
		if up := w.at(Up, 0); up.Proto != transport.TCP || up.Remote != ap(two+":5080") {
			t.Errorf("up: %+v", up)
		}
	})
}
