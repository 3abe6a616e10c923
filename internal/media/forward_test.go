package media

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"pinhole/internal/transport"
)

// A sink is a socket that swallows what is written.
type sink struct {
	transport.PacketConn
	n int
}

func (s *sink) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	s.n++
	return len(b), nil
}

// TestForwardAllocs: one packet, RTP or RTCP, accepted or foreign, allocates
// nothing.
func TestForwardAllocs(t *testing.T) {
	s := &Session{relay: New(Config{})}
	out := &sink{}
	leg := func(side Side, remote netip.AddrPort) *leg {
		p := &pair{rtp: socket{conn: out, local: media1}, rtcp: socket{conn: out, local: media2}}
		l := newLeg(s, side, p)
		pol := &policy{rtp: remote, rtcp: netip.AddrPortFrom(remote.Addr(), remote.Port()+1)}
		pol.payloads.add(8)
		l.arm(pol)
		return l
	}
	lan, wan := leg(LAN, ap("192.168.1.10:4000")), leg(WAN, ap("198.51.100.11:30000"))
	lan.peer, wan.peer = wan, lan
	var rtp latch
	var rtcp rtcpLatch
	voice := append(punchRTP(8, 1, 1), make([]byte, 160)...)
	report := punchRTCP(1)
	lan.takeRTP(&rtp, voice, ap("192.168.1.10:4000"), 1)
	from, fromRTCP, nobody := ap("192.168.1.10:4000"), ap("192.168.1.10:4001"), ap("192.168.1.66:4000")
	const runs = 1000
	if n := testing.AllocsPerRun(runs, func() {
		now := s.relay.now()
		lan.takeRTP(&rtp, voice, from, now)
		lan.takeRTP(&rtp, voice, nobody, now)
		lan.takeRTCP(&rtcp, report, fromRTCP, now)
		lan.takeRTCP(&rtcp, report, nobody, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if out.n != 1+2*(runs+1) {
		t.Errorf("%d packets went out", out.n)
	}
}

// BenchmarkForward is one packet of 172 bytes through real loopback sockets:
// written, relayed, read, one at a time. Direct is the same without the relay.
func BenchmarkForward(b *testing.B) {
	loopback := netip.MustParseAddr("127.0.0.1")
	r := New(Config{Ports: [2]uint16{20000, 29999}, Net: transport.System()})
	s, err := r.Open(b.Context(), 1, loopback, loopback)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	socket := func() *net.UDPConn {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		return c
	}
	phone, provider := socket(), socket()
	addr := func(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }
	s.SetRemote(LAN, 0, addr(phone), netip.AddrPort{}, []uint8{8}, loopback, false)
	s.SetRemote(WAN, 0, addr(provider), netip.AddrPort{}, []uint8{8}, loopback, false)
	run := func(to netip.AddrPort) func(b *testing.B) {
		return func(b *testing.B) {
			packet, buf := append(punchRTP(8, 0, 1), make([]byte, 160)...), make([]byte, maxPacket)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := phone.WriteToUDPAddrPort(packet, to); err != nil {
					b.Fatal(err)
				}
				_ = provider.SetReadDeadline(time.Now().Add(10 * time.Second))
				if n, _, err := provider.ReadFromUDPAddrPort(buf); err != nil || n != len(packet) {
					b.Fatal(n, err)
				}
			}
		}
	}
	b.Run("relayed", run(s.Advertised(LAN, 0).RTP))
	b.Run("direct", run(addr(provider)))
}
