package media

import (
	"net/netip"
	"testing"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

// shortNAT forgets a mapping after 30 s and never gives the same port twice.
var shortNAT = memnet.NAT{Filtering: memnet.AddressAndPortDependent, UDPTimeout: 30 * time.Second}

// TestRingingKeepsTheMapping: between our offer and the answer nothing is sent
// to the provider; what was advertised must live all the same.
func TestRingingKeepsTheMapping(t *testing.T) {
	for name, pool := range map[string]int{"pool": 2, "no pool": 0} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, shortNAT, pooled(pool), func(w *world) {
				phone, provider := twoEnds(w)
				rtcp := w.end(w.provider, "198.51.100.11:30001")
				w.relay.SetPublic(boxLAN, publicIP)
				time.Sleep(19 * time.Second)
				s := w.open(2)
				wan := s.Advertised(WAN, 1)
				s.SetRemote(LAN, 1, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
				mayHaveGone := func(phase string) {
					t.Helper()
					for _, c := range []*port{&s.legs[WAN][1].rtp, &s.legs[WAN][1].rtcp} {
						if m, ok := w.nat.Mapped(false, c.local, w.stun.addr); !ok || m != c.mapped {
							t.Errorf("%s: %v is mapped to %v, %t", phase, c.local, m, ok)
						}
					}
					s.SetRemote(WAN, 1, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
					s.Punch(1)
					for _, got := range [][]heard{provider.heard(), rtcp.heard()} {
						if len(got) != 1 || got[0].from != wan.RTP && got[0].from != wan.RTCP {
							t.Errorf("%s: heard %v, advertised %v", phase, got, wan)
						}
					}
					if s.Advertised(WAN, 1) != wan {
						t.Errorf("%s: advertised %v", phase, s.Advertised(WAN, 1))
					}
				}
				time.Sleep(3 * time.Minute)
				mayHaveGone("ringing")
				time.Sleep(time.Minute)
				s.SetRemote(WAN, 1, ap("0.0.0.0:30000"), netip.AddrPort{}, offerPTs, sipIP, true)
				provider.heard()
				rtcp.heard()
				time.Sleep(10 * time.Minute)
				provider.hears()
				mayHaveGone("hold")
			})
		})
	}
}

// TestProbe: the public address changes in the middle of a call.
func TestProbe(t *testing.T) {
	inWorld(t, shortNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		s := w.call(phone, provider)
		before := s.Advertised(WAN, 0)
		w.nat.SetOutside("203.0.113.9")
		if err := s.Probe(w.ctx); err != nil {
			t.Fatal(err)
		}
		after := s.Advertised(WAN, 0)
		local := s.legs[WAN][0].rtp.local
		if m, _ := w.nat.Mapped(false, local, w.stun.addr); after.RTP != m || after.RTP.Addr() != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("advertised %v, mapped %v, before %v", after, m, before)
		}
		s.Punch(0)
		provider.heard()
		provider.say(1, "still here", after.RTP)
		phone.hears("still here")

		w.nat.Block(true)
		start := time.Now()
		if err := s.Probe(w.ctx); err == nil || time.Since(start) != probeBudget {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if s.Advertised(WAN, 0) != after {
			t.Errorf("advertised %v", s.Advertised(WAN, 0))
		}
		go func() { _ = s.Probe(w.ctx) }() // Close waits for nobody's answer
		time.Sleep(time.Millisecond)
		start = time.Now()
		s.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %v", took)
		}
	})
}

// TestInlet is what a prober may ask of a socket.
func TestInlet(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		s := w.open(1)
		p := &s.legs[WAN][0].rtp
		c := newInlet(p, s.life)
		var pc transport.PacketConn = c
		for range 20 { // more than it keeps
			p.refuse([]byte("x"), w.stun.addr)
		}
		b := make([]byte, 9)
		if n, from, err := pc.ReadFrom(b); err != nil || string(b[:n]) != "x" || from.String() != w.stun.addr.String() {
			t.Errorf("%q %v %v", b[:n], from, err)
		}
		for len(c.in) > 0 {
			<-c.in
		}
		start := time.Now()
		_ = pc.SetDeadline(start.Add(time.Hour))
		go func() { // as ctx ends
			time.Sleep(time.Second)
			_ = pc.SetReadDeadline(time.Unix(1, 0))
		}()
		if _, _, err := pc.ReadFromUDPAddrPort(b); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := pc.Close(); err != nil || p.foreign.Load() != 0 {
			t.Errorf("%v, %d foreign", err, p.foreign.Load())
		}
	})
}
