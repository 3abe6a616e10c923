package media

import (
	"net/netip"
	"testing"
	"time"

	"pinhole/testbed/memnet"
)

// TestBridge is a call between two phones of ours through a provider that
// leaves the SDP alone: no media crosses the router.
func TestBridge(t *testing.T) {
	inWorld(t, memnet.NAT{Filtering: memnet.AddressAndPortDependent}, nil, func(w *world) {
		alice, bob := w.end(w.phone, "192.168.1.10:4000"), w.end(w.lan.Host("192.168.1.11"), "192.168.1.11:4000")
		aliceRTCP := w.end(w.phone, "192.168.1.10:4001")
		bobIP := netip.MustParseAddr("192.168.1.11")
		out, in := w.open(1), w.open(1)
		out.SetRemote(LAN, 0, alice.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
		offer := out.Advertised(WAN, 0)
		in.SetRemote(WAN, 0, offer.RTP, offer.RTCP, offerPTs, sipIP, false)
		in.Punch(0)
		in.SetRemote(LAN, 0, bob.addr, netip.AddrPort{}, offerPTs, bobIP, false)
		answer := in.Advertised(WAN, 0)
		out.SetRemote(WAN, 0, answer.RTP, answer.RTCP, offerPTs, sipIP, false)
		out.Punch(0)

		crossed := 0
		w.wan.Tap(func(memnet.Packet) { crossed++ })
		alice.say(3, "hello", out.Advertised(LAN, 0).RTP)
		bob.hears(repeat("hello", 3)...)
		bob.say(3, "hi", in.Advertised(LAN, 0).RTP)
		alice.hears(repeat("hi", 3)...)
		rtcp := w.end(w.lan.Host("192.168.1.12"), "192.168.1.12:4001") // nobody we know
		rtcp.send(rtcp.report("x"), in.Advertised(LAN, 0).RTCP)
		bob.send(bob.report("y"), in.Advertised(LAN, 0).RTCP)
		aliceRTCP.hears("y")
		time.Sleep(time.Minute)
		if crossed != 0 {
			t.Errorf("%d packets crossed the router", crossed)
		}

		// A re-INVITE takes the call to the provider's media.
		provider := w.end(w.provider, "198.51.100.11:30000")
		out.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
		alice.say(1, "away", out.Advertised(LAN, 0).RTP)
		provider.hears("away")
		bob.hears()
	})
}

// TestBridgeLoop: a packet must never go round for ever.
func TestBridgeLoop(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		a, b := w.open(1), w.open(1)
		set := func(s *Session, side Side, to Addrs) {
			s.SetRemote(side, 0, to.RTP, to.RTCP, offerPTs, netip.Addr{}, false)
			s.Punch(0)
		}
		set(a, WAN, a.Advertised(WAN, 0)) // itself
		set(a, WAN, b.Advertised(WAN, 0))
		set(b, WAN, a.Advertised(WAN, 0))
		set(a, LAN, b.Advertised(LAN, 0)) // a PBX joins the two: fine so far
		set(b, LAN, a.Advertised(LAN, 0)) // now each feeds the other for ever
		if r := b.legs[LAN][0].remote.Load(); r.to.IsValid() {
			t.Errorf("a loop was closed towards %v", r.to)
		}
		w.end(w.box, "192.168.1.2:5000").say(20, "x", a.Advertised(LAN, 0).RTP)
		time.Sleep(time.Minute)
		if got := a.Stats().Streams[0][LAN].RTP.Packets; got != 0 {
			t.Errorf("%d packets went in", got)
		}
		a.Close()
		set(b, LAN, b.Advertised(LAN, 0))
		if r := b.legs[LAN][0].remote.Load(); r.to.IsValid() {
			t.Errorf("a loop was closed towards %v", r.to)
		}
	})
}
