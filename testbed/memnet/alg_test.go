package memnet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pinhole/internal/transport"
)

// The flow of all ALG tests: its inside and its provider.
const (
	in  = "192.168.1.10:40010"
	reg = "198.51.100.10:5060"
)

// algWorld is a world with the ALG and a NAT that does not keep our port, so
// that address and port can be told apart; remote is the provider's.
func algWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	inWorld(t, NAT{ALG: true, Filtering: AddressAndPortDependent, RefreshInbound: true}, f)
}

// A leg carries messages one way and the other over UDP or TCP.
type leg struct {
	out, back func(text string) string // what arrives, or "nothing"
	mapped    string                   // the phone's outside address
}

func (w *world) leg(tcp bool) leg {
	if tcp {
		p := w.dial(in, reg)
		return leg{
			func(text string) string { w.write(p.near, text); return w.read(p.far) },
			func(text string) string { w.write(p.far, text); return w.read(p.near) },
			p.far.RemoteAddr().String(),
		}
	}
	a, b := w.udp(w.phone, in), w.udp(w.provider, reg)
	mapped := w.seen(a, b, reg)
	return leg{
		func(text string) string { w.send(a, reg, text); return w.text(b) },
		func(text string) string { w.send(b, mapped, text); return w.text(a) },
		mapped,
	}
}

// text returns the datagram that has arrived at c, or "nothing".
func (w *world) text(c transport.PacketConn) string {
	from, text := w.arrived(c)
	if from == "nothing" {
		return from
	}
	return text
}

// register is a REGISTER with these sent-by and Contact addresses.
func register(proto, via, contact string) string {
	return "REGISTER sip:example.com SIP/2.0\r\n" +
		"Via: SIP/2.0/" + proto + " " + via + ";branch=z9hG4bK1;rport\r\n" +
		"From: <sip:al@example.com>;tag=1\r\nTo: <sip:al@example.com>\r\n" +
		"Call-ID: 192.168.1.10\r\nCSeq: 1 REGISTER\r\n" +
		"Contact: <sip:al@" + contact + ">;expires=300\r\n" +
		"Content-Length: 0\r\n\r\n"
}

// answered is the registrar's 200 to a REGISTER as it arrived from mapped.
func answered(req, mapped string) string {
	ip, port, _ := strings.Cut(mapped, ":")
	res := "SIP/2.0 200 OK\r\n" + req[strings.Index(req, "\r\n")+2:]
	return strings.Replace(res, ";rport", ";received="+ip+";rport="+port, 1)
}

func line(msg, name string) string {
	for _, l := range strings.Split(msg, "\r\n") {
		if v, ok := strings.CutPrefix(l, name+": "); ok {
			return v
		}
	}
	return ""
}

// TestALGRegister: the measured rows of a REGISTER and its 200. MAPPED stands
// for the outside address of the flow, PORT for another port of it.
func TestALGRegister(t *testing.T) {
	const lan, mapped, other = in, "MAPPED", "203.0.113.2:7000"
	for _, c := range []struct {
		name              string
		via, contact      string
		viaOut, conOut    string // on the wire
		viaBack, received string // in the response: sent-by and received:rport
		conBack           string
	}{
		{"a", lan, lan, mapped, mapped, lan, lan, lan},
		{"b1", lan, mapped, mapped, mapped, lan, lan, lan},
		{"b2", mapped, mapped, mapped, mapped, lan, lan, lan},
		{"c1", lan, "192.168.1.10:7000", mapped, other, lan, lan, other},
		{"c2", lan, other, mapped, other, lan, lan, other},
		{"c3", other, other, other, other, other, mapped, other},
		{"d", lan, "192.168.1.77:5060", mapped, "192.168.1.77:5060", lan, lan, "192.168.1.77:5060"},
		{"e", "a.example.org", "a.example.org", "a.example.org", "a.example.org", "a.example.org", mapped, "a.example.org"},
		{"star", "x.invalid", mapped, "x.invalid", mapped, "x.invalid", mapped, lan},
	} {
		for _, proto := range []string{"UDP", "TCP"} {
			t.Run(c.name+" "+proto, func(t *testing.T) {
				algWorld(t, func(w *world) {
					l := w.leg(proto == "TCP")
					is := func(s string) string { return strings.ReplaceAll(s, "MAPPED", l.mapped) }
					got := l.out(register(proto, is(c.via), is(c.contact)))
					w.want("request", got, register(proto, is(c.viaOut), is(c.conOut)))
					back := l.back(answered(got, l.mapped))
					ip, port, _ := strings.Cut(is(c.received), ":")
					w.want("Via", line(back, "Via"), fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK1;received=%s;rport=%s", proto, is(c.viaBack), ip, port))
					w.want("Contact", line(back, "Contact"), fmt.Sprintf("<sip:al@%s>;expires=300", is(c.conBack)))
				})
			})
		}
	}
}

// TestALGForms: compact names are rewritten, other ports are left alone.
func TestALGForms(t *testing.T) {
	algWorld(t, func(w *world) {
		l := w.leg(false)
		compact := strings.NewReplacer("Via:", "v:", "Contact:", "m:").Replace(register("UDP", in, in))
		w.want("compact", l.out(compact), strings.NewReplacer("v: SIP/2.0/UDP "+in, "v: SIP/2.0/UDP "+l.mapped, "al@"+in, "al@"+l.mapped).Replace(compact))
		for _, pass := range []string{
			"\r\n\r\n", "\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl", "\x16\x03\x01 some TLS bytes",
			strings.Replace(register("UDP", "x.invalid", in), "<sip:al@"+in+">;expires=300", "*", 1),
		} {
			w.want("passes", l.out(pass), pass)
		}
		a, b := w.udp(w.phone, "192.168.1.10:40011"), w.udp(w.provider, "198.51.100.10:5070")
		w.send(a, "198.51.100.10:5070", register("UDP", in, in))
		w.want("port 5070", w.text(b), register("UDP", in, in))
	})
}

// invite is a request with a body; addr is the phone's own in Via and Contact.
func invite(proto, addr, sdp string) string {
	return fmt.Sprintf("INVITE sip:bob@example.com SIP/2.0\r\n"+
		"Via: SIP/2.0/%s %s;branch=z9hG4bK2;rport\r\n"+
		"From: <sip:al@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n"+
		"Call-ID: 2\r\nCSeq: 1 INVITE\r\nContact: <sip:al@%s>\r\n"+
		"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", proto, addr, addr, len(sdp), sdp)
}

func sdp(lines ...string) string {
	return "v=0\r\n" + strings.Join(lines, "\r\n") + "\r\n"
}

// TestALGSDP: what happens to a session description, and what is dropped.
func TestALGSDP(t *testing.T) {
	const (
		o, c, s, tt = "o=- 1 1 IN IP4 192.168.1.10", "c=IN IP4 192.168.1.10", "s=-", "t=0 0"
		po, pc      = "o=- 1 1 IN IP4 203.0.113.2", "c=IN IP4 203.0.113.2"
		m           = "m=audio 4000 RTP/AVP 0"
	)
	same := func(lines ...string) [2]string { return [2]string{sdp(lines...), sdp(lines...)} }
	drop := func(lines ...string) [2]string { return [2]string{sdp(lines...), ""} }
	for _, r := range []struct {
		name string
		sdp  [2]string // before and after; after "": dropped
	}{
		{"ours", [2]string{sdp(o, s, c, tt, m), sdp(po, s, pc, tt, m)}},
		{"ours, odd port, rtcp and candidates stay", [2]string{
			sdp(o, s, c, tt, "m=audio 4001 RTP/AVP 0", "a=rtcp:4002 IN IP4 192.168.1.10", "a=candidate:1 1 UDP 1 192.168.1.10 4001 typ host"),
			sdp(po, s, pc, tt, "m=audio 4001 RTP/AVP 0", "a=rtcp:4002 IN IP4 192.168.1.10", "a=candidate:1 1 UDP 1 192.168.1.10 4001 typ host"),
		}},
		{"ours, c= in the stream", [2]string{sdp(o, s, tt, m, c), sdp(po, s, tt, m, pc)}},
		{"public", same(po, s, pc, tt, m)},
		{"another LAN host", same("o=- 1 1 IN IP4 192.168.1.77", s, "c=IN IP4 192.168.1.77", tt, m)},
		{"port 0", same(o, s, "c=IN IP6 ::1", tt, "m=audio 0 RTP/AVP 0")},
		{"no stream", same(o, s, c, tt)},
		{"unknown medium", same(o, s, tt, "m=application 99 TCP/BFCP *")},
		{"port 1023", drop(o, s, c, tt, "m=audio 1023 RTP/AVP 0")},
		{"no c=", drop(o, s, tt, m)},
		{"c= IPv6", drop(o, s, "c=IN IP6 2001:db8::1", tt, m)},
		{"c= host name", drop(o, s, "c=IN IP4 host.lan", tt, m)},
	} {
		for _, proto := range []string{"UDP", "TCP"} {
			t.Run(r.name+" "+proto, func(t *testing.T) {
				algWorld(t, func(w *world) {
					l := w.leg(proto == "TCP")
					want := "nothing"
					if r.sdp[1] != "" {
						want = invite(proto, l.mapped, r.sdp[1])
					}
					w.want("request", l.out(invite(proto, in, r.sdp[0])), want)
				})
			})
		}
	}
}

// TestALGDrops: what else cannot be read.
func TestALGDrops(t *testing.T) {
	r := register("UDP", "x.invalid", in)
	for _, c := range []struct {
		name, msg string
		dropped   bool
	}{
		{"no CSeq", strings.Replace(r, "CSeq: 1 REGISTER\r\n", "", 1), true},
		{"unreadable CSeq", strings.Replace(r, "CSeq: 1", "CSeq: x", 1), true},
		{"CSeq 0", strings.Replace(r, "CSeq: 1", "CSeq: 0", 1), false},
		{"response without CSeq", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x.invalid\r\n\r\n", true},
		{"private Contact, expires=abc", strings.Replace(r, "expires=300", "expires=abc", 1), true},
		{"foreign Contact, expires=abc", strings.Replace(strings.Replace(r, "expires=300", "expires=abc", 1), in, "203.0.113.2:7000", 1), false},
		{"OPTIONS without CSeq", strings.NewReplacer("REGISTER", "OPTIONS", "CSeq: 1 REGISTER\r\n", "").Replace(r), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			algWorld(t, func(w *world) {
				if got := w.leg(false).out(c.msg); (got == "nothing") != c.dropped {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

// TestALGInbound: a request to our Contact has our private address when it
// arrives, our answer goes out untouched where it names the mapped one.
func TestALGInbound(t *testing.T) {
	for _, proto := range []string{"UDP", "TCP"} {
		t.Run(proto, func(t *testing.T) {
			algWorld(t, func(w *world) {
				l := w.leg(proto == "TCP")
				req := func(addr string) string {
					return "INVITE sip:al@" + addr + " SIP/2.0\r\nVia: SIP/2.0/" + proto + " 198.51.100.10;branch=z9hG4bK3\r\n" +
						"From: <sip:bob@example.com>;tag=9\r\nTo: <sip:al@" + addr + ">\r\nCall-ID: 3\r\nCSeq: 7 INVITE\r\n" +
						"Contact: <sip:bob@198.51.100.10>\r\nContent-Length: 0\r\n\r\n"
				}
				w.want("request", l.back(req(l.mapped)), req(in))
				w.want("other port", l.back(req("203.0.113.2:7000")), req("203.0.113.2:7000"))
				res := "SIP/2.0 180 Ringing\r\n" + req(l.mapped)[strings.Index(req(l.mapped), "\r\n")+2:]
				w.want("response", l.out(res), res)
			})
		})
	}
}

// TestALGWedge: one SDP that cannot be read stops a TCP flow for good, in
// either direction, until the sender gives up.
func TestALGWedge(t *testing.T) {
	bad := invite("TCP", "x.invalid:9", sdp("o=- 1 1 IN IP4 203.0.113.2", "c=IN IP4 host.lan", "m=audio 4000 RTP/AVP 0"))
	good := strings.Replace(bad, "host.lan", "203.0.113.2", 1)
	for _, inbound := range []bool{false, true} {
		t.Run(fmt.Sprintf("inbound %t", inbound), func(t *testing.T) {
			algWorld(t, func(w *world) {
				p := w.dial(in, reg)
				from, to := p.near, p.far
				if inbound {
					from, to = to, from
				}
				if err := from.SetUserTimeout(15 * time.Second); err != nil {
					t.Fatal(err)
				}
				w.write(to, "\r\n")
				w.want("the other way", w.read(from), "\r\n")
				w.write(from, bad)
				w.write(from, good)
				w.want("wedged", w.readWithin(to, 14*time.Second), "nothing")
				if n, err := from.Unacked(); n != 2 || err != nil {
					t.Errorf("%d unacked, %v", n, err)
				}
				w.want("sender", w.readWithin(from, 2*time.Second), "connection timed out")
			})
		})
	}
}

// TestALGSegments: the helper does not reassemble: of an INVITE split in its
// header it rewrites what the second segment holds, but no SDP.
func TestALGSegments(t *testing.T) {
	algWorld(t, func(w *world) {
		p := w.dial(in, reg)
		mapped := p.far.RemoteAddr().String()
		msg := invite("TCP", in, sdp("o=- 1 1 IN IP4 192.168.1.10", "c=IN IP4 192.168.1.10", "m=audio 4000 RTP/AVP 0"))
		cut := strings.Index(msg, "CSeq")
		w.write(p.near, msg[:cut])
		w.write(p.near, msg[cut:])
		w.want("split", w.read(p.far), strings.Replace(msg, "al@"+in, "al@"+mapped, 1))
		two := register("TCP", in, in)
		w.write(p.near, two+two)
		w.want("two in one", w.read(p.far), strings.ReplaceAll(two+two, in, mapped))
	})
}

// TestALGExpectation: media is let in from the SIP server's address only, and
// the mapping of a flow to port 5060 lives an hour.
func TestALGExpectation(t *testing.T) {
	algWorld(t, func(w *world) {
		l := w.leg(false)
		rtp := w.udp(w.phone, "192.168.1.10:4000")
		l.out(invite("UDP", in, sdp("o=- 1 1 IN IP4 192.168.1.10", "c=IN IP4 192.168.1.10", "m=audio 4000 RTP/AVP 0")))
		same, other := w.udp(w.provider, "198.51.100.10:7000"), w.udp(w.provider, "198.51.100.11:7000")
		w.want("from another address", w.seen(other, rtp, "203.0.113.2:4000"), "nothing")
		w.want("from the server", w.seen(same, rtp, "203.0.113.2:4000"), "198.51.100.10:7000")
		time.Sleep(time.Hour - time.Second)
		w.want("flow", l.back("\r\n"), "\r\n")
	})
}
