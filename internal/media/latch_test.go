package media

import (
	"net/netip"
	"testing"
	"time"
)

var (
	media1   = netip.MustParseAddrPort("198.51.100.11:30000") // signalled
	media2   = netip.MustParseAddrPort("198.51.100.11:40000") // its IP, another port
	sip      = netip.MustParseAddrPort("198.51.100.10:30000") // the IP of the SIP messages
	third    = netip.MustParseAddrPort("203.0.113.66:30000")
	another  = netip.MustParseAddrPort("203.0.113.67:30000")
	offerPTs = []uint8{0, 8, 101}
)

// A script drives a latch packet by packet.
type script struct {
	t   *testing.T
	l   latch
	p   *policy
	now time.Duration
	seq map[netip.AddrPort]uint16
}

func newScript(t *testing.T) *script {
	s := &script{t: t, seq: map[netip.AddrPort]uint16{}, now: time.Hour}
	s.offer(policy{rtp: media1, trust: sip.Addr()})
	return s
}

func (s *script) offer(p policy) {
	p.at = s.now
	for _, pt := range offerPTs {
		p.payloads.add(pt)
	}
	s.p = &p
}

func (s *script) packet(b []byte, from netip.AddrPort) verdict { return s.l.judge(s.p, b, from, s.now) }

// rtp sends n packets of one source and expects these verdicts, the last one
// for the rest.
func (s *script) rtp(from netip.AddrPort, ssrc uint32, n int, want ...verdict) {
	s.t.Helper()
	for i := range n {
		s.seq[from]++
		got := s.packet(punchRTP(8, s.seq[from], ssrc), from)
		if w := want[min(i, len(want)-1)]; got != w {
			s.t.Fatalf("packet %d of %v at %v: verdict %d, want %d", i, from, s.now-time.Hour, got, w)
		}
	}
}

func TestLatchSignalled(t *testing.T) {
	s := newScript(t)
	s.rtp(third, 6, 9, drop)
	s.rtp(media1, 1, 9, learn, accept)
	s.rtp(third, 1, 9, drop)
	s.rtp(media2, 1, 9, drop)
	s.rtp(sip, 1, 9, drop)
	s.now += 4 * time.Second // silent, yet locked: nobody else is heard
	s.rtp(third, 1, 9, drop)
}

func TestLatchRanks(t *testing.T) {
	s := newScript(t)
	s.rtp(sip, 2, 5, drop, drop, drop, drop, learn)
	s.rtp(sip, 2, 2, accept)
	s.rtp(media2, 3, 5, drop, drop, drop, drop, learn) // the signalled IP is better
	s.rtp(sip, 2, 9, drop)
	s.rtp(media1, 1, 1, learn) // the signalled address is best
	s.rtp(media2, 3, 9, drop)

	s = newScript(t)
	s.rtp(media2, 3, 6, accept, accept, accept, accept, learn, accept)
}

// TestLatchFiveGood: five in a row, of one source, with a payload type that
// was negotiated.
func TestLatchFiveGood(t *testing.T) {
	for name, bad := range map[string]func(s *script) []byte{
		"payload type": func(s *script) []byte { return punchRTP(9, s.seq[sip]+1, 2) },
		"source":       func(s *script) []byte { return punchRTP(8, s.seq[sip]+1, 3) },
		"repeated":     func(s *script) []byte { return punchRTP(8, s.seq[sip], 2) },
		"backwards":    func(s *script) []byte { return punchRTP(8, s.seq[sip]-1, 2) },
		"far ahead":    func(s *script) []byte { return punchRTP(8, s.seq[sip]+maxGap, 2) },
	} {
		s := newScript(t)
		s.rtp(sip, 2, 4, drop)
		if got := s.packet(bad(s), sip); got != drop {
			t.Errorf("%s: verdict %d", name, got)
		}
		if name == "payload type" { // ignored
			s.rtp(sip, 2, 1, learn)
			continue
		}
		s.seq[sip] += 2 * maxGap
		s.rtp(sip, 2, 5, drop, drop, drop, drop, learn)
	}

	s := newScript(t)
	s.seq[sip] = 65533
	s.rtp(sip, 2, 5, drop, drop, drop, drop, learn) // over the wrap
}

func TestLatchMoves(t *testing.T) {
	s := newScript(t)
	s.rtp(media1, 1, 3, learn, accept)
	s.now += relatchAfter - 1
	s.rtp(media2, 1, 9, drop)
	s.now++
	s.rtp(media2, 7, 9, drop) // another synchronisation source
	s.rtp(netip.MustParseAddrPort("198.51.100.12:30000"), 1, 9, drop)
	s.rtp(sip, 1, 9, drop)
	s.rtp(media2, 1, 6, drop, drop, drop, drop, learn, accept)
	s.rtp(media1, 1, 1, learn) // the signalled address may always come back
}

func TestLatchStranger(t *testing.T) {
	s := newScript(t)
	s.now += strangeAfter - 1
	s.rtp(third, 6, 9, drop)
	s.now++
	s.rtp(third, 6, 3, drop)
	s.rtp(another, 7, 1, drop) // two of them: nobody has five in a row
	s.rtp(third, 6, 6, drop, drop, drop, drop, learn, accept)
	s.rtp(another, 7, 9, drop)
	if s.l.rank != stranger {
		t.Errorf("rank %v", s.l.rank)
	}
	s.rtp(sip, 2, 5, drop, drop, drop, drop, learn) // a better one takes over
	s.rtp(third, 6, 9, drop)

	for name, p := range map[string]policy{
		"hold":    {rtp: media1, hold: true},
		"bridged": {rtp: media1, bridged: true},
		"opaque":  {rtp: media1, opaque: true},
	} {
		s := newScript(t)
		s.offer(p)
		s.now += time.Minute
		for range 9 {
			if s.rtp(third, 6, 1, drop); s.l.src.IsValid() {
				t.Errorf("%s: a stranger is heard", name)
			}
		}
	}
	s = newScript(t)
	s.now += time.Minute
	for range 9 {
		s.seq[third]++
		if got := s.packet(punchRTP(9, s.seq[third], 6), third); got != drop {
			t.Errorf("payload type never negotiated: verdict %d", got)
		}
	}
}

// TestLatchNewOffer: the old source is heard until the new one speaks.
func TestLatchNewOffer(t *testing.T) {
	s := newScript(t)
	s.rtp(media1, 1, 3, learn, accept)
	s.offer(policy{rtp: another})
	s.rtp(media1, 1, 3, accept)
	s.rtp(third, 6, 9, drop)
	s.rtp(another, 7, 2, learn, accept)
	s.rtp(media1, 1, 3, drop)

	// The same address again, the source on another port of its IP.
	s = newScript(t)
	s.rtp(media2, 1, 5, accept, accept, accept, accept, learn)
	s.offer(policy{rtp: media1, hold: true})
	s.rtp(media2, 1, 6, accept, accept, accept, accept, learn, accept)

	// 0.0.0.0: what was heard may go on, nobody else begins.
	s = newScript(t)
	s.rtp(media1, 1, 3, learn, accept)
	s.offer(policy{hold: true})
	s.now += time.Minute
	s.rtp(media1, 1, 3, accept)
	s.rtp(third, 6, 9, drop)
}

func TestLatchNonRTP(t *testing.T) {
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	hello := append([]byte{22, 0xfe, 0xff}, make([]byte, 60)...)
	report := punchRTCP(1)
	s := newScript(t)
	s.now += time.Minute
	for _, b := range [][]byte{stun, hello, report, {}} {
		for from, want := range map[netip.AddrPort]verdict{media1: accept, media2: accept, sip: drop, third: drop} {
			if got := s.packet(b, from); got != want {
				t.Errorf("% x of %v: verdict %d, want %d", b[:min(len(b), 3)], from, got, want)
			}
		}
	}
	if s.l.src.IsValid() {
		t.Error("a source was learned from no RTP")
	}
	s.rtp(sip, 2, 5, drop, drop, drop, drop, learn)
	if got := s.packet(hello, sip); got != accept {
		t.Errorf("hello of the locked source: verdict %d", got)
	}
}

// TestLatchOpaque is UDPTL: packets of any form, addresses alone count.
func TestLatchOpaque(t *testing.T) {
	s := newScript(t)
	s.p = &policy{rtp: media1, trust: sip.Addr(), opaque: true, at: s.now}
	udptl := []byte{0, 0, 6, 1, 0, 0}
	for i, want := range []verdict{accept, accept, accept, accept, learn, accept} {
		if got := s.packet(udptl, media2); got != want {
			t.Errorf("packet %d: verdict %d, want %d", i, got, want)
		}
	}
	if got := s.packet(udptl, third); got != drop {
		t.Errorf("foreign: verdict %d", got)
	}
	if got := s.packet(udptl, media1); got != learn {
		t.Errorf("signalled: verdict %d", got)
	}
}

func TestLatchUnarmed(t *testing.T) {
	var l latch
	if got := l.judge(nil, punchRTP(8, 1, 1), media1, 0); got != drop {
		t.Errorf("verdict %d before any offer", got)
	}
}

func TestSpare(t *testing.T) {
	var p payloads
	for pt := range uint8(128) {
		if p.has(pt) {
			t.Errorf("%d in the empty set", pt)
		}
	}
	if got := p.spare(); got != 20 {
		t.Errorf("spare %d, want 20", got)
	}
	for _, pt := range []uint8{0, 20, 21, 63, 64, 127} {
		if p.add(pt); !p.has(pt) {
			t.Errorf("%d was added and is not there", pt)
		}
	}
	if got := p.spare(); got != 22 || p.has(22) || p.has(126) {
		t.Errorf("spare %d, want 22", got)
	}
}
