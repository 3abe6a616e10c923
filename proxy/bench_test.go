package proxy

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/internal/transport"
)

// A rig is a core with one UDP listener and one TCP flow.
type rig struct {
	core  *Core
	now   time.Time
	phone netip.AddrPort
}

func newRig() *rig {
	r := &rig{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), phone: netip.MustParseAddrPort("192.168.1.10:5060")}
	r.core = New(Settings{
		Upstreams: []Upstream{{
			Name: "main", Domain: "sip.example.com", ViaHost: "auto", Placement: "param", Advertise: "auto",
			ICE: "strip", LANLease: 180 * time.Second, Rate: 20,
		}},
		LAN: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")},
		Key: make([]byte, 32), Log: slog.New(slog.DiscardHandler), Metrics: &metrics.Set{}, Rand: rand.Uint64,
	})
	lan := netip.MustParseAddrPort("192.168.1.2:5060")
	r.core.Listening(lan)
	r.core.Opened(r.now, Path{ID: 1, Side: LAN, Listener: "lan", Proto: transport.UDP, Local: lan})
	r.core.FlowUp(r.now, Path{
		ID: 2, Side: WAN, Upstream: "main", Gen: 1, Proto: transport.TCP,
		Local: netip.MustParseAddrPort("192.168.1.2:40000"), Remote: netip.MustParseAddrPort("198.51.100.10:5060"),
	}, false)
	return r
}

// in hands a message to the core and returns what it sends.
func (r *rig) in(path PathID, from netip.AddrPort, raw string) string {
	framing := message.Datagram
	if path == 2 {
		framing = message.Stream
	}
	m, err := message.Parse(raw, framing)
	r.core.Message(r.now, path, from, m, err)
	return r.sent()
}

func (r *rig) sent() string {
	sent := ""
	for _, o := range r.core.Outputs() {
		switch o.Kind {
		case Send:
			sent = string(o.Data)
		case Save:
			if o.Serial != 0 {
				r.core.Saved(r.now, o.Serial)
				sent += r.sent()
			}
		}
	}
	return sent
}

// answer makes the provider's response to a request of ours.
func answer(request, status string, extra ...string) string {
	m, _ := message.Parse(request, message.Stream)
	var b strings.Builder
	b.WriteString("SIP/2.0 " + status + "\r\n")
	b.WriteString("Via: " + m.Get(message.Via) + "=40001;received=203.0.113.2\r\n")
	for _, h := range []message.Header{message.From, message.To, message.CallID, message.CSeq} {
		b.WriteString(h.String() + ": " + m.Get(h) + "\r\n")
	}
	for _, l := range extra {
		b.WriteString(l + "\r\n")
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return b.String()
}

func register(cseq int, auth string) string {
	return fmt.Sprintf("REGISTER sip:sip.example.com SIP/2.0\r\n"+
		"Via: SIP/2.0/UDP 192.168.1.10:5060;rport;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\n"+
		"From: \"Alice\" <sip:alice@sip.example.com>;tag=9fxced76sl\r\nTo: \"Alice\" <sip:alice@sip.example.com>\r\n"+
		"Call-ID: 3848276298220188511@192.168.1.10\r\nCSeq: %d REGISTER\r\n"+
		"Contact: <sip:alice@192.168.1.10:5060;line=1>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\";expires=3600\r\n"+
		"User-Agent: Phone/1.0\r\nAllow: INVITE, ACK, OPTIONS, CANCEL, BYE, SUBSCRIBE, NOTIFY, INFO, REFER, UPDATE\r\n"+
		"Supported: replaces, outbound, gruu\r\n%sContent-Length: 0\r\n\r\n", cseq, cseq, auth)
}

// BenchmarkRegister is the core's share of REGISTER, 401, REGISTER, 200: parsing,
// transactions, bindings and the four messages written.
func BenchmarkRegister(b *testing.B) {
	r := newRig()
	first := r.sent()
	r.in(2, netip.AddrPort{}, answer(first, "200 OK"))
	const credentials = "Authorization: Digest username=\"alice\", realm=\"sip.example.com\", nonce=\"84f1c1ae6cbe5ua9c8e88dfa3ecm3459\", " +
		"uri=\"sip:sip.example.com\", response=\"dfe56131d1958046689d83306477ecc7\", cnonce=\"0a4f113b\", qop=auth, nc=00000001\r\n"
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.now = r.now.Add(time.Second)
		up := r.in(1, r.phone, register(2*i+1, ""))
		down := r.in(2, netip.AddrPort{}, answer(up, "401 Unauthorized",
			`WWW-Authenticate: Digest realm="sip.example.com", nonce="84f1c1ae6cbe5ua9c8e88dfa3ecm3459", qop="auth"`))
		if !strings.HasPrefix(down, "SIP/2.0 401") {
			b.Fatal(down)
		}
		up = r.in(1, r.phone, register(2*i+2, credentials))
		m, _ := message.Parse(up, message.Stream)
		down = r.in(2, netip.AddrPort{}, answer(up, "200 OK", "Contact: "+m.Get(message.Contact)))
		if !strings.HasPrefix(down, "SIP/2.0 200") || !strings.Contains(down, "line=1") {
			b.Fatal(down)
		}
		r.core.Fire(r.now)
		r.sent()
	}
}
