package memnet

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The SIP helper of Linux (nf_conntrack_sip, nf_nat_sip), modelled by what it
// was measured to do to flows to port 5060: an address is replaced only where
// address and port are those of this very flow; what it cannot read in a
// REGISTER or an SDP makes it drop the packet, each time that it comes.
const (
	sipPort       = 5060
	algUDPTimeout = time.Hour       // the helper's sip_timeout
	expectTime    = 3 * time.Minute // of an expectation for media
)

// An alg works on one packet. The flow is src to dst before and newSrc to
// newDst after translation, in the direction of the packet.
type alg struct {
	tcp            bool
	src, dst       netip.AddrPort
	newSrc, newDst netip.AddrPort
	msg            string
	expect         func(tcp bool, remote netip.Addr, local netip.AddrPort, port uint16, life time.Duration)
}

// algOutbound rewrites a packet from inside; false drops it.
func (g *Gateway) algOutbound(p *packet, out netip.AddrPort) bool {
	if p.dst.Port() != sipPort {
		return true
	}
	a := alg{tcp: p.tcp != nil, src: p.src, dst: p.dst, newSrc: out, newDst: p.dst, expect: g.expect}
	return a.packet(p)
}

// algInbound rewrites a packet from outside; false drops it.
func (g *Gateway) algInbound(p *packet, local netip.AddrPort) bool {
	if p.src.Port() != sipPort {
		return true
	}
	a := alg{tcp: p.tcp != nil, src: p.src, dst: p.dst, newSrc: p.src, newDst: local, expect: g.expect}
	return a.packet(p)
}

// packet rewrites the messages of a packet. The helper does not reassemble:
// of a TCP segment it takes the messages that end in it.
func (a *alg) packet(p *packet) bool {
	rest := string(p.data)
	if len(rest) < len("SIP/2.0 200") {
		return true
	}
	if !a.tcp {
		a.msg = rest
		ok := a.message()
		p.data = []byte(a.msg)
		return ok
	}
	done := ""
	for {
		n := messageLength(rest)
		if n < 0 || n > len(rest) {
			break
		}
		a.msg = rest[:n]
		if !a.message() {
			return false
		}
		done, rest = done+a.msg, rest[n:]
	}
	p.data = []byte(done + rest)
	return true
}

// messageLength returns the length of the message that msg begins with, or
// of what follows its Content-Length; -1 where there is none.
func messageLength(msg string) int {
	f := fields(msg, "Content-Length", "l")
	if len(f) == 0 {
		return -1
	}
	digits := leadingDigits(msg[f[0].start:])
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	at := f[0].start + len(digits)
	end := strings.Index(msg[at:], "\r\n\r\n")
	if end < 0 {
		return -1
	}
	return at + end + 4 + n
}

// message rewrites a.msg; false drops it.
func (a *alg) message() bool {
	response := prefixFold(a.msg, "SIP/2.0 ")
	if !a.methods(response) {
		return false
	}
	if !response {
		a.requestLine()
	}
	a.via(response)
	a.contacts()
	a.header("From", "f")
	a.header("To", "t")
	return true
}

// methods does what depends on the method: it is looked for in the request
// line, or in the CSeq of a response.
func (a *alg) methods(response bool) bool {
	method := a.msg
	if !response && !a.handled(method) {
		return true
	}
	f := fields(a.msg, "CSeq", "")
	if len(f) == 0 || leadingDigits(a.msg[f[0].start:]) == "" {
		return false
	}
	if response {
		cseq := a.msg[f[0].start:]
		method = strings.TrimPrefix(cseq[len(leadingDigits(cseq)):], " ")
		code, _ := strconv.Atoi(leadingDigits(a.msg[len("SIP/2.0 "):]))
		switch {
		case code == 0:
			return false
		case code > 299 || prefixFold(method, "ACK") || prefixFold(method, "REGISTER"):
			return true
		}
	}
	switch {
	case prefixFold(method, "REGISTER"):
		return a.register()
	case a.handled(method) && !prefixFold(method, "BYE"):
		return a.sdp()
	}
	return true
}

func (a *alg) handled(method string) bool {
	for _, m := range []string{"INVITE", "UPDATE", "ACK", "PRACK", "BYE", "REGISTER"} {
		if prefixFold(method, m) {
			return true
		}
	}
	return false
}

// register looks at the first Contact of a REGISTER: where it names the
// sender, whatever the port, it becomes the outside address and an expectation
// for calls from the registrar.
func (a *alg) register() bool {
	s, addr, ok, bad := a.uri("Contact", "m")
	if bad {
		return false
	}
	if !ok || addr.Addr() != a.src.Addr() {
		return true
	}
	expires := 0
	if f := fields(a.msg, "Expires", ""); len(f) > 0 {
		expires, _ = strconv.Atoi(leadingDigits(a.msg[f[0].start:]))
	}
	params := a.msg[s.end:valueEnd(a.msg, s.end)]
	if _, v, found := cutFold(params, "transport="); found && !prefixFold(v, a.proto()) {
		return true
	}
	if _, v, found := cutFold(params, "expires="); found {
		digits := leadingDigits(v)
		if digits == "" {
			return false
		}
		expires, _ = strconv.Atoi(digits)
	}
	if expires == 0 {
		return true
	}
	out := netip.AddrPortFrom(a.newSrc.Addr(), addr.Port())
	if addr.Port() == a.src.Port() {
		out = a.newSrc
	}
	a.expect(a.tcp, a.dst.Addr(), addr, out.Port(), time.Duration(expires)*time.Second)
	a.replace(s, out.String())
	return true
}

func (a *alg) proto() string {
	if a.tcp {
		return "TCP"
	}
	return "UDP"
}

// requestLine maps the host of the Request-URI.
func (a *alg) requestLine() {
	line, _, _ := strings.Cut(a.msg, "\n")
	before, _, found := cutFold(line, "sip:")
	if !found {
		return
	}
	if s, addr, ok, _ := hostPort(a.msg, afterUser(a.msg, len(before)+len("sip:"))); ok {
		a.mapAddr(s, addr)
	}
}

// via maps the first Via with an address, and its parameters, if it is this
// flow's.
func (a *alg) via(response bool) {
	mine := a.src
	if response {
		mine = a.dst
	}
	for _, f := range fields(a.msg, "Via", "v") {
		before, _, found := cutFold(a.msg[f.start:f.end], a.proto()+" ")
		if !found {
			continue
		}
		s, addr, ok, bad := hostPort(a.msg, f.start+len(before)+len(a.proto())+1)
		if bad || ok && addr != mine {
			return
		}
		if !ok {
			continue
		}
		end := s.end + a.mapAddr(s, addr)
		a.param(end, "maddr=", a.src.Addr().String(), a.newSrc.Addr().String())
		a.param(end, "received=", a.dst.Addr().String(), a.newDst.Addr().String())
		a.param(end, "rport=", port(a.dst), port(a.newDst))
		return
	}
}

func port(a netip.AddrPort) string { return strconv.Itoa(int(a.Port())) }

// param replaces a parameter's value in the header value that goes on at from.
func (a *alg) param(from int, name, old, with string) {
	value := a.msg[from:valueEnd(a.msg, from)]
	before, v, found := cutFold(value, name)
	if !found {
		return
	}
	end := strings.IndexFunc(v, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(v)
	}
	if v[:end] == old {
		at := from + len(before) + len(name)
		a.replace(span{at, at + end}, with)
	}
}

// contacts maps every Contact.
func (a *alg) contacts() {
	for i := 0; ; i++ {
		all := fields(a.msg, "Contact", "m")
		if i >= len(all) {
			return
		}
		from := all[i].start
		for {
			// Values are told apart by commas, whatever is quoted.
			value := a.msg[from:fieldEnd(a.msg, from)]
			before, _, found := cutFold(value, "sip:")
			if !found {
				break
			}
			at := from + len(before) + len("sip:")
			s, addr, ok, bad := hostPort(a.msg, afterUser(a.msg, at))
			if bad {
				return
			}
			if ok {
				at = s.end + a.mapAddr(s, addr)
			}
			comma := strings.IndexByte(a.msg[at:fieldEnd(a.msg, at)], ',')
			if comma < 0 {
				break
			}
			from = at + comma + 1
		}
	}
}

// header maps the first field of that name that has an address.
func (a *alg) header(name, compact string) {
	if s, addr, ok, _ := a.uri(name, compact); ok {
		a.mapAddr(s, addr)
	}
}

// uri returns the address of the first field of that name whose SIP URI has
// one; bad says that its port is none.
func (a *alg) uri(name, compact string) (s span, addr netip.AddrPort, ok, bad bool) {
	for _, f := range fields(a.msg, name, compact) {
		before, _, found := cutFold(a.msg[f.start:f.end], "sip:")
		if !found {
			continue
		}
		s, addr, ok, bad = hostPort(a.msg, afterUser(a.msg, f.start+len(before)+len("sip:")))
		if ok || bad {
			return s, addr, ok, bad
		}
	}
	return span{}, netip.AddrPort{}, false, false
}

// mapAddr replaces the flow's own addresses and returns by how much the
// message grew.
func (a *alg) mapAddr(s span, addr netip.AddrPort) int {
	with := addr
	switch addr {
	case a.src:
		with = a.newSrc
	case a.dst:
		with = a.newDst
	}
	if with == addr {
		return 0
	}
	return a.replace(s, with.String())
}

func (a *alg) replace(s span, with string) int {
	a.msg = a.msg[:s.start] + with + a.msg[s.end:]
	return len(with) - (s.end - s.start)
}
