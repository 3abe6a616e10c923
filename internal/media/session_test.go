package media

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"pinhole/internal/metrics"
	"pinhole/testbed/memnet"
)

// twoEnds are the phone's and the provider's RTP sockets.
func twoEnds(w *world) (phone, provider *end) {
	return w.end(w.phone, "192.168.1.10:4000"), w.end(w.provider, "198.51.100.11:30000")
}

func TestRelaysBothWays(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		phoneRTCP, providerRTCP := w.end(w.phone, "192.168.1.10:4001"), w.end(w.provider, "198.51.100.11:30001")
		s := w.call(phone, provider)
		providerRTCP.heard()
		lan, wan := s.Advertised(LAN, 0), s.Advertised(WAN, 0)
		if lan.RTP.Addr() != boxLAN || lan.RTP.Port()%2 != 0 || lan.RTCP.Port() != lan.RTP.Port()+1 || wan.RTP.Addr() != publicIP {
			t.Fatalf("advertised %v and %v", lan, wan)
		}
		for _, text := range []string{"one", "two", ""} {
			text += "\x00\xff" // opaque
			phone.send(phone.voice(text), lan.RTP)
			provider.hears(text)
			provider.send(provider.voice(text), wan.RTP)
			phone.hears(text)
			phoneRTCP.send(phoneRTCP.report(text), lan.RTCP)
			providerRTCP.hears(text)
			providerRTCP.send(providerRTCP.report(text), wan.RTCP)
			phoneRTCP.hears(text)
		}
		st := s.Stats().Streams[0]
		for side, want := range []netip.AddrPort{phone.addr, provider.addr} {
			got := st[side]
			if got.Source != want || got.RTP.Packets != 3 || got.RTCP.Packets != 3 || got.RTP.Bytes != 3*14+6 ||
				got.RTP.Foreign+got.RTCP.Foreign+got.RTP.Unsent+got.Strange != 0 || !got.RTP.LastSeen.Equal(time.Now()) {
				t.Errorf("%v: %+v", Side(side), got)
			}
		}
		before := s.Advertised(WAN, 0)
		s.SetRemote(WAN, 0, ap("198.51.100.11:31000"), netip.AddrPort{}, offerPTs, sipIP, false)
		if s.Advertised(WAN, 0) != before {
			t.Error("a re-INVITE changed our ports")
		}
		s.Close()
		s.Close()
		if st := s.Stats(); st.Streams[0][LAN].RTP.Packets != 3 {
			t.Errorf("after Close: %+v", st)
		}
	})
}

func TestNothingBeforeOffer(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		s := w.open(1)
		phone.say(9, "early", s.Advertised(LAN, 0).RTP)
		s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
		phone.say(1, "no answer yet", s.Advertised(LAN, 0).RTP)
		provider.hears()
		st := s.Stats().Streams[0]
		if st[LAN].RTP.Foreign != 9 || st[LAN].RTP.Packets != 1 || st[WAN].RTP.Unsent != 1 {
			t.Errorf("%+v", st)
		}
		s.SetRemote(LAN, 7, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false) // no such stream
		s.Punch(7)
		if a := s.Advertised(WAN, 7); a != (Addrs{}) {
			t.Errorf("advertised %v", a)
		}
	})
}

// TestAttacker sprays before, during and after the lock, RTP and garbage, from
// outside and inside.
func TestAttacker(t *testing.T) {
	open := memnet.NAT{PreservePort: true} // endpoint-independent filtering: everything reaches us
	var m metrics.Set
	inWorld(t, open, func(c *Config) { c.Metrics = &m }, func(w *world) {
		phone, provider := twoEnds(w)
		outside, inside := w.end(w.other, "198.51.100.66:30000"), w.end(w.lan.Host("192.168.1.66"), "192.168.1.66:4000")
		s := w.open(1)
		lan, wan := s.Advertised(LAN, 0), s.Advertised(WAN, 0)
		attack := func() {
			for range 20 {
				for _, b := range [][]byte{outside.voice("evil"), {0, 1, 2}, {22, 254, 255}, outside.report("evil")} {
					outside.send(b, wan.RTP)
					outside.send(b, wan.RTCP)
					inside.send(b, lan.RTP)
					inside.send(b, lan.RTCP)
				}
			}
		}
		attack()
		s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
		s.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
		s.Punch(0)
		attack()
		phone.hears()
		provider.hears("punch 20")
		for range 20 {
			attack()
			phone.say(1, "hello", lan.RTP)
			provider.say(1, "hello", wan.RTP)
			time.Sleep(20 * time.Millisecond)
		}
		phone.hears(repeat("hello", 20)...)
		if got := provider.heard(); len(got) != 20 {
			t.Errorf("the provider heard %v", got)
		}
		time.Sleep(time.Minute) // both silent
		attack()
		phone.hears()
		outside.hears()
		inside.hears()
		st := s.Stats().Streams[0]
		foreign := st[LAN].RTP.Foreign + st[LAN].RTCP.Foreign + st[WAN].RTP.Foreign + st[WAN].RTCP.Foreign
		if got := m.Get(metrics.MediaStrangers); got != foreign {
			t.Errorf("%d strangers counted, %d dropped", got, foreign)
		}
		if st[WAN].RTP.Packets != 20 || st[LAN].RTP.Packets != 20 || st[LAN].RTCP.Packets+st[WAN].RTCP.Packets != 0 || st[WAN].RTP.Foreign < 400 {
			t.Errorf("%+v", st)
		}
	})
}

// TestPhoneMoves is a NAT in front of the phone that gives it another port in
// the middle of the call; the same from another IP is not heard.
func TestPhoneMoves(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		moved, elsewhere := w.end(w.phone, "192.168.1.10:5000"), w.end(w.lan.Host("192.168.1.11"), "192.168.1.11:4000")
		s := w.call(phone, provider)
		lan, wan := s.Advertised(LAN, 0), s.Advertised(WAN, 0)
		phone.say(10, "a", lan.RTP)
		provider.hears(repeat("a", 10)...)
		moved.ssrc, moved.seq = phone.ssrc, phone.seq
		elsewhere.ssrc = phone.ssrc
		gone := time.Now()
		var healed time.Duration
		for time.Since(gone) < 10*time.Second {
			time.Sleep(20 * time.Millisecond)
			moved.send(moved.voice("b"), lan.RTP)
			elsewhere.send(elsewhere.voice("c"), lan.RTP)
			for _, h := range provider.heard() {
				if h.text == "c" {
					t.Fatal("another IP was heard")
				}
				if h.text == "b" && healed == 0 {
					healed = time.Since(gone)
				}
			}
		}
		if healed != relatchAfter+4*20*time.Millisecond {
			t.Errorf("healed after %v", healed)
		}
		provider.say(1, "back", wan.RTP)
		moved.hears("back")
		phone.hears()
		elsewhere.hears()
	})
}

// TestPhoneOfAnotherAddress: the SDP names an address the phone does not send
// from; where its SIP comes from is where it is.
func TestPhoneOfAnotherAddress(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		s := w.open(1)
		lan, wan := s.Advertised(LAN, 0), s.Advertised(WAN, 0)
		s.SetRemote(LAN, 0, ap("203.0.113.2:4000"), netip.AddrPort{}, offerPTs, phoneIP, false)
		s.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
		phone.say(6, "a", lan.RTP)
		provider.hears("a", "a")
		provider.say(1, "b", wan.RTP)
		phone.hears("b")
	})
}

// TestSilentAddress is media from an address other than the signalled one:
// after 2 s it is heard, but gets nothing.
func TestSilentAddress(t *testing.T) {
	open := memnet.NAT{PreservePort: true}
	var m metrics.Set
	inWorld(t, open, func(c *Config) { c.Metrics = &m }, func(w *world) {
		phone, provider := twoEnds(w)
		real, late := w.end(w.other, "198.51.100.66:30000"), w.end(w.other, "198.51.100.67:30000")
		began := time.Now()
		s := w.call(phone, provider)
		lan, wan := s.Advertised(LAN, 0), s.Advertised(WAN, 0)
		var first time.Duration
		for time.Since(began) < 4*time.Second {
			real.send(real.voice("a"), wan.RTP)
			if h := phone.heard(); len(h) > 0 && first == 0 {
				first = time.Since(began)
			}
			late.send([]byte("garbage"), wan.RTP)
			time.Sleep(20 * time.Millisecond)
		}
		if first != strangeAfter+4*20*time.Millisecond {
			t.Errorf("first heard after %v", first)
		}
		late.say(9, "b", wan.RTP)
		phone.hears()
		phone.say(3, "c", lan.RTP)
		real.hears()
		if got := s.Stats().Streams[0][WAN]; got.Strange != got.RTP.Packets || got.Strange < 90 || got.Source != real.addr {
			t.Errorf("%+v", got)
		}
		if got := m.Get(metrics.MediaSecondSources); got != 1 {
			t.Errorf("%d second sources counted", got)
		}
		provider.heard()
		provider.say(1, "d", wan.RTP) // the signalled address speaks: it alone
		real.say(9, "a", wan.RTP)
		phone.hears("d")
	})
}

func TestNewAddress(t *testing.T) {
	inWorld(t, memnet.NAT{PreservePort: true}, nil, func(w *world) {
		phone, provider := twoEnds(w)
		next := w.end(w.provider, "198.51.100.10:31000")
		s := w.call(phone, provider)
		lan, wan := s.Advertised(LAN, 0), s.Advertised(WAN, 0)
		provider.say(1, "old", wan.RTP)
		s.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false) // the 200 after the 183
		w.end(w.provider, "198.51.100.11:32000").say(9, "of another call", wan.RTP)
		s.SetRemote(WAN, 0, next.addr, netip.AddrPort{}, offerPTs, sipIP, false)
		provider.say(1, "still", wan.RTP)
		phone.hears("old", "still")
		phone.say(1, "to the new one", lan.RTP)
		next.hears("to the new one")
		next.say(1, "new", wan.RTP)
		provider.say(9, "too late", wan.RTP)
		phone.hears("new")
		provider.hears()
	})
}

// TestHold is both styles: nothing times out, resuming works.
func TestHold(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		s := w.call(phone, provider)
		lan, wan := s.Advertised(LAN, 0), s.Advertised(WAN, 0)
		talk := func() {
			t.Helper()
			phone.say(1, "a", lan.RTP)
			provider.say(1, "b", wan.RTP)
			provider.hears("a")
			phone.hears("b")
		}
		talk()
		for _, held := range []netip.AddrPort{phone.addr, ap("0.0.0.0:4000"), {}} {
			s.SetRemote(LAN, 0, held, netip.AddrPort{}, offerPTs, phoneIP, true)
			time.Sleep(10 * time.Minute)
			if s.Idle() {
				t.Error("idle on hold")
			}
			for _, h := range provider.heard() {
				if h.text != "punch 20" {
					t.Errorf("on hold the provider heard %q", h.text)
				}
			}
			provider.say(1, "music", wan.RTP)
			if held == phone.addr {
				phone.hears("music")
			}
			phone.hears()
			s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
			talk()
		}
	})
}

func TestIdle(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		s := w.call(phone, provider)
		phone.say(1, "a", s.Advertised(LAN, 0).RTP)
		time.Sleep(idleAfter - 1)
		if s.Idle() {
			t.Error("idle too soon")
		}
		time.Sleep(time.Nanosecond)
		if !s.Idle() {
			t.Error("not idle")
		}
		phone.say(1, "a", s.Advertised(LAN, 0).RTP)
		if s.Idle() {
			t.Error("idle with media")
		}
	})
}

// TestRTCP: it follows RTP's IP and never learns one of its own.
func TestRTCP(t *testing.T) {
	inWorld(t, memnet.NAT{PreservePort: true}, nil, func(w *world) {
		phone, provider := twoEnds(w)
		phoneRTCP := w.end(w.phone, "192.168.1.10:4001")
		signalled, other := w.end(w.provider, "198.51.100.11:29000"), w.end(w.provider, "198.51.100.11:28000")
		stranger := w.end(w.other, "198.51.100.66:30001")
		s := w.open(1)
		lan, wan := s.Advertised(LAN, 0), s.Advertised(WAN, 0)
		s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
		s.SetRemote(WAN, 0, provider.addr, signalled.addr, offerPTs, sipIP, false)
		phoneRTCP.send(phoneRTCP.report("to a=rtcp"), lan.RTCP)
		signalled.hears("to a=rtcp")
		for range 9 {
			stranger.send(stranger.report("evil"), wan.RTCP)
		}
		other.send(other.report("same ip"), wan.RTCP)
		phoneRTCP.hears("same ip")
		phoneRTCP.send(phoneRTCP.report("not learned"), lan.RTCP)
		signalled.hears("not learned")
		provider.say(1, "voice", wan.RTP) // now the IP is known
		other.send(other.report("again"), wan.RTCP)
		phoneRTCP.send(phoneRTCP.report("learned"), lan.RTCP)
		other.hears("learned")
		signalled.send(signalled.report("I am here"), wan.RTCP)
		other.send(other.report("me too"), wan.RTCP)
		phoneRTCP.hears("again", "I am here", "me too")
		phoneRTCP.send(phoneRTCP.report("back"), lan.RTCP)
		signalled.hears("back")
		stranger.hears()
		if got := s.Stats().Streams[0][WAN].RTCP; got.Foreign != 9 || got.Packets != 4 {
			t.Errorf("%+v", got)
		}
	})
}

// TestMux: RTCP on the RTP port passes like any packet of a known address.
func TestMux(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		s := w.open(1)
		s.SetRemote(LAN, 0, phone.addr, phone.addr, offerPTs, phoneIP, false)
		s.SetRemote(WAN, 0, provider.addr, provider.addr, offerPTs, sipIP, false)
		s.Punch(0)
		provider.hears("punch 20") // and no report
		phone.send(phone.voice("a"), s.Advertised(LAN, 0).RTP)
		phone.send(phone.report("b"), s.Advertised(LAN, 0).RTP)
		provider.send(provider.report("c"), s.Advertised(WAN, 0).RTP)
		provider.hears("a", "b")
		phone.hears("c")
	})
}

// TestFax is UDPTL: no header, no RTCP, an empty datagram to punch with.
func TestFax(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		rtcp := w.end(w.provider, "198.51.100.11:30001")
		s := w.open(1)
		s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, nil, phoneIP, false)
		s.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, nil, sipIP, false)
		s.Punch(0)
		provider.hears("")
		rtcp.hears()
		phone.send([]byte{0, 1, 2}, s.Advertised(LAN, 0).RTP)
		provider.send([]byte{0, 0, 3}, s.Advertised(WAN, 0).RTP)
		provider.hears("\x00\x01\x02")
		phone.hears("\x00\x00\x03")
		time.Sleep(time.Hour)
		if s.Idle() {
			t.Error("a fax was called idle")
		}
	})
}

func TestGrow(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		s := w.call(phone, provider)
		before := s.Advertised(WAN, 0)
		if err := s.Grow(w.ctx, 3); err != nil {
			t.Fatal(err)
		}
		if err := s.Grow(w.ctx, 2); err != nil || len(s.Stats().Streams) != 3 {
			t.Fatalf("%v, %d streams", err, len(s.Stats().Streams))
		}
		if s.Advertised(WAN, 0) != before {
			t.Error("ports changed")
		}
		s.SetRemote(LAN, 2, ap("192.168.1.10:6000"), netip.AddrPort{}, offerPTs, phoneIP, false)
		s.SetRemote(WAN, 2, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
		video := w.end(w.phone, "192.168.1.10:6000")
		video.say(1, "picture", s.Advertised(LAN, 2).RTP)
		provider.hears("picture")
		s.Close()
		if err := s.Grow(w.ctx, 4); !errors.Is(err, ErrClosed) {
			t.Errorf("growing a closed session: %v", err)
		}
		if l := w.relay.Load(); l.Used != 0 || l.Resting != 8 { // two of them: the refused stream's
			t.Errorf("%+v", l)
		}
	})
}

// TestRelease opens and closes a thousand sessions.
func TestRelease(t *testing.T) {
	var m metrics.Set
	inWorld(t, plainNAT, func(c *Config) { c.Metrics = &m }, func(w *world) {
		total := w.relay.Load().Free
		for range 10 {
			var sessions []*Session
			for range 100 {
				sessions = append(sessions, w.open(1))
			}
			if got := goroutines(); got != 100*5 {
				t.Fatalf("%d goroutines for 100 sessions", got)
			}
			for _, s := range sessions {
				s.Close()
			}
		}
		if got := goroutines(); got != 0 {
			t.Errorf("%d goroutines stay", got)
		}
		if opened, closed := m.Get(metrics.MediaPortsOpened), m.Get(metrics.MediaPortsClosed); opened != 4000 || closed != 4000 {
			t.Errorf("%d ports opened, %d closed", opened, closed)
		}
		if l := w.relay.Load(); l.Used != 0 || l.Sessions != 0 || l.Free+l.Resting != total || l.Resting != 2000 {
			t.Errorf("%+v", l)
		}
	})
}
